"""The three lowerings of one calibration: their contents, and that they agree on a CPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest
from lowered_networks import NETWORKS, OUTPUT, Lowered, lowered, network, untrained_roadnet
from onnx import ModelProto, TensorProto, helper, numpy_helper

from converters.graph.index import Graph, attributes
from converters.lowerings.implicit import (
    cache_differences,
    dynamic_ranges,
    fake_quantize,
    int8_region,
    to_cache,
)
from converters.lowerings.strongly_typed import to_strong
from converters.quantization.qdq import quantize_int8, shared_ranges
from converters.quantization.rules import r1_scale
from converters.verification.equivalence.fp16_emulation import emulate_fp16
from converters.verification.equivalence.graph_diff import differences
from converters.verification.equivalence.layer_error import steps_apart
from converters.verification.equivalence.verdict import STEPS_MAX, Equivalence, equivalence_of
from edge.contract.artifact_names import FLOAT, INT8
from edge.engine.calibration_cache import CalibrationCache, read_cache, write_cache
from edge.engine.releases import CACHE_RELEASES
from firmware_bridge.errors import UsageError

ByName = Callable[[str], Lowered]


def proof(net: Lowered, strong: ModelProto) -> Equivalence:
    return equivalence_of(
        "strong",
        differs=differences(net.int8, strong),
        steps=steps_apart(net.int8, emulate_fp16(strong), [net.picture], threads=2),
        networks={FLOAT: network(net.floating), INT8: network(net.int8)},
        lowered=network(emulate_fp16(strong)),
        pictures=[net.picture],
        names=(OUTPUT,),
    )


def cache_proof(net: Lowered, cache: CalibrationCache) -> Equivalence:
    again = quantize_int8(net.implicit, net.placement, net.ranges)
    return equivalence_of(
        "ranges",
        differs=[
            *differences(net.int8, again),
            *cache_differences(net.implicit, net.int8, cache, net.ranges),
        ],
        steps=None,
        networks={FLOAT: network(net.floating), INT8: network(net.int8)},
        lowered=network(fake_quantize(net.implicit, net.placement, cache.scales)),
        pictures=[net.picture],
        names=(OUTPUT,),
    )


def cache_of(net: Lowered) -> CalibrationCache:
    amax = dynamic_ranges(net.implicit, net.placement, net.ranges)
    return read_cache(write_cache(to_cache(amax, CACHE_RELEASES[-1])))


@pytest.mark.parametrize("name", NETWORKS)
def test_the_three_lowerings_agree_on_a_cpu(name: str, lowered_by_name: ByName) -> None:
    net = lowered_by_name(name)
    found = [proof(net, net.strong), cache_proof(net, cache_of(net))]
    assert [one.failures for one in found] == [(), ()]


def changed(model: ModelProto) -> ModelProto:
    other = ModelProto()
    other.CopyFrom(model)
    return other


def scaled(model: ModelProto, name: str, by: float) -> ModelProto:
    """The model with one scale changed."""
    other = changed(model)
    (scale,) = (one for one in other.graph.initializer if one.name == f"{name}/scale")
    values = (numpy_helper.to_array(scale) * np.float32(by)).astype(np.float32)
    scale.CopyFrom(numpy_helper.from_array(values, scale.name))
    return other


def along_another_axis(model: ModelProto, weight: str) -> ModelProto:
    """The model with the scales of one weight along its input channels."""
    other = changed(model)
    constants = {one.name: one for one in other.graph.initializer}
    values = np.abs(numpy_helper.to_array(constants[weight]))
    axes = tuple(axis for axis in range(values.ndim) if axis != 1)
    scale = r1_scale(values.max(axis=axes))
    for end, array in (("scale", scale), ("zero", np.zeros(scale.shape, np.int8))):
        constants[f"{weight}/{end}"].CopyFrom(numpy_helper.from_array(array, f"{weight}/{end}"))
    for node in other.graph.node:
        if node.name.startswith(f"{weight}/"):
            for attribute in node.attribute:
                if attribute.name == "axis":
                    attribute.i = 1
    return other


def without_pair(model: ModelProto, tensor: str) -> ModelProto:
    """The model in which everyone reads a tensor as it is, not quantized."""
    other = changed(model)
    plain = f"{tensor}/half"
    for node in other.graph.node:
        if not node.name.startswith(f"{tensor}/"):
            node.input[:] = [plain if n == f"{tensor}/dq/half" else n for n in node.input]
    return other


@pytest.mark.parametrize("name", NETWORKS)
def test_small_faults_in_strong_are_found(name: str, lowered_by_name: ByName) -> None:
    """Each of them hides in the noise of INT8 when only outputs are compared."""
    net = lowered_by_name(name)
    pair = net.placement.pairs[len(net.placement.pairs) // 2]
    weight = next(name for name in net.placement.weights if wide(net, name))
    graph = Graph(net.strong)
    twinned = next(n for n in net.placement.pairs if f"{n}/half" in graph.producer)
    faults = {
        "1 % more": scaled(net.strong, pair, 1.01),
        "1 % less": scaled(net.strong, pair, 0.99),
        "a weight 1 % more": scaled(net.strong, weight, 1.01),
        "another axis": along_another_axis(net.strong, weight),
        "no pair": without_pair(net.strong, twinned),
    }
    for fault, strong in faults.items():
        assert differences(net.int8, strong), fault
    assert not differences(net.int8, net.strong)


@pytest.mark.parametrize("name", NETWORKS)
def test_small_faults_in_a_cache_are_found(name: str, lowered_by_name: ByName) -> None:
    net = lowered_by_name(name)
    cache = cache_of(net)
    assert cache_differences(net.implicit, net.int8, cache, net.ranges) == ()
    for tensor in (
        net.placement.pairs[len(net.placement.pairs) // 2],
        int8_region(net.implicit)[-1],
    ):
        for by in (1.01, 0.99):
            value = float(np.float32(cache.scales[tensor] * by))
            wrong = replace(cache, scales={**cache.scales, tensor: value})
            assert cache_differences(net.implicit, net.int8, wrong, net.ranges), (tensor, by)
        fewer = {name: scale for name, scale in cache.scales.items() if name != tensor}
        found = cache_differences(net.implicit, net.int8, replace(cache, scales=fewer), net.ranges)
        assert f"'{tensor}' has no scale" in found
    other = along_another_axis(net.int8, next(w for w in net.placement.weights if wide(net, w)))
    assert differences(other, quantize_int8(net.implicit, net.placement, net.ranges))


def wide(net: Lowered, weight: str) -> bool:
    shape = Graph(net.int8).shape(weight)
    return shape is not None and shape[1] > 1


def test_a_scale_that_is_twice_too_large_is_also_seen_in_numbers(road_lowered: Lowered) -> None:
    """Numbers alone find what is coarse: the measure in steps can fail."""
    net = road_lowered
    pair = net.placement.pairs[len(net.placement.pairs) // 2]
    wrong = emulate_fp16(scaled(net.strong, pair, 2.0))
    assert max(steps_apart(net.int8, wrong, [net.picture], threads=2).values()) > STEPS_MAX
    halves = emulate_fp16(net.strong)
    good = steps_apart(net.int8, halves, [net.picture], threads=2)
    assert 0.0 < max(good.values()) < STEPS_MAX
    assert steps_apart(net.int8, net.int8, [net.picture], threads=2) == dict.fromkeys(good, 0.0)


def test_a_network_beyond_half_does_not_agree() -> None:
    picture = np.full((1, 3, 8, 8), 100.0, np.float32)
    net = lowered(weighted(1e3), picture)  # puts out 3e5: FP16 ends at 65504
    blind = proof(net, to_strong(net.int8))
    assert not blind.differs
    assert not blind.agrees
    assert "do not fit FP16" in " ".join(blind.failures)
    assert proof(net, net.strong).agrees, "with magnitudes known it stays in float32"


def typing_of(model: ModelProto) -> dict[str, int]:
    """How many weighted operators of a graph compute in INT8, FP16 and float32.

    INT8: both data and weight come from a DequantizeLinear, through casts at most.
    """
    graph = Graph(model)
    counts = {"int8": 0, "fp16": 0, "float32": 0}
    for node in graph.nodes:
        if node.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
            continue
        if all(_dequantized(graph, name) for name in node.input[:2]):
            counts["int8"] += 1
        elif _is_half(graph, node.input[0]):
            counts["fp16"] += 1
        else:
            counts["float32"] += 1
    return counts


def _dequantized(graph: Graph, name: str) -> bool:
    node = graph.producer.get(name)
    while node is not None and node.op_type == "Cast":
        node = graph.producer.get(node.input[0])
    return node is not None and node.op_type == "DequantizeLinear"


def _is_half(graph: Graph, name: str) -> bool:
    node = graph.producer.get(name)
    if node is not None and node.op_type == "Cast":
        return attributes(node).get("to") == TensorProto.FLOAT16
    return name.endswith("/half")


@pytest.mark.parametrize("name", NETWORKS)
def test_strong_is_int8_in_every_convolution_and_half_in_the_rest(
    name: str, lowered_by_name: ByName
) -> None:
    net = lowered_by_name(name)
    typed = typing_of(net.strong)
    assert typed == {**typed, "fp16": 0, "float32": 0}
    assert typed["int8"] == sum(net.placement.quantized_ops.values())
    graph = Graph(net.strong)
    for node in graph.nodes:
        if node.op_type in ("Conv", "Gemm", "Relu", "Concat", "Mul", "Add"):
            assert all(value.endswith("/half") for value in node.output), node.name
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            assert graph.initializers[node.input[1]].data_type == TensorProto.FLOAT
            assert graph.is_float(node.input[0]) or node.op_type == "DequantizeLinear"
    for name_, kind in (("input", net.strong.graph.input), ("output", net.strong.graph.output)):
        assert kind[0].type.tensor_type.elem_type == TensorProto.FLOAT, name_


def test_strong_at_opset_17_for_older_parsers() -> None:
    model, picture = untrained_roadnet()
    net = lowered(model, picture, opset=17)
    assert net.strong.opset_import[0].version == 17
    onnx.checker.check_model(net.strong, full_check=True)
    assert np.isfinite(network(net.strong)(picture)[0]).all()


def weighted(weight: float, *, then: str | None = None) -> ModelProto:
    """images -> Conv -> (then) -> detections, every weight the same."""
    nodes = [helper.make_node("Conv", ["images", "w"], ["c" if then else OUTPUT], name="conv")]
    if then:
        nodes.append(helper.make_node(then, ["c"], [OUTPUT], name="then"))
    weights = np.full((16, 3, 1, 1), weight, np.float32)
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, (1, 3, 8, 8))],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, (1, 16, 8, 8))],
        [numpy_helper.from_array(weights, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def test_scales_too_small_for_half_stay_float() -> None:
    net = lowered(weighted(1e-6), np.ones((1, 3, 8, 8), np.float32))
    graph = Graph(net.strong)
    scale = graph.constant("w/scale")
    assert scale is not None
    assert scale.dtype == np.float32
    assert (scale > 0.0).all()
    assert (scale.astype(np.float16) == 0.0).all(), "what FP16 scales would have become"


def test_an_operator_beyond_half_stays_in_float32() -> None:
    picture = np.full((1, 3, 8, 8), 100.0, np.float32)
    net = lowered(weighted(1e3), picture)  # puts out 3e5: FP16 ends at 65504
    found = network(emulate_fp16(net.strong))(picture)[0]
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, 3e5, rtol=0.02)
    exponential = lowered(weighted(0.04, then="Exp"), picture)  # e^12 = 1.6e5
    assert np.isfinite(network(emulate_fp16(exponential.strong))(picture)[0]).all()


def test_a_constant_beyond_half_keeps_its_operator_in_float32() -> None:
    model = weighted(0.1)
    model.graph.node[0].output[0] = "c"
    model.graph.node.append(helper.make_node("Add", ["c", "big"], [OUTPUT], name="add"))
    model.graph.initializer.append(numpy_helper.from_array(np.asarray([1e5], np.float32), "big"))
    picture = np.ones((1, 3, 8, 8), np.float32)
    found = network(to_strong(lowered(model, picture).int8))(picture)[0]
    np.testing.assert_allclose(found, 1e5 + 0.3, rtol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_cache_covers_the_region_and_keeps_what_must_be_equal(
    name: str, lowered_by_name: ByName
) -> None:
    net = lowered_by_name(name)
    amax = dynamic_ranges(net.floating, net.placement, net.ranges)
    graph = Graph(net.floating)
    assert set(amax) == set(int8_region(net.floating)) >= {"images", *net.placement.pairs}
    pooled = 0
    for node in graph.nodes:
        known = [amax[value] for value in (*node.input, *node.output) if value in amax]
        if node.op_type in ("MaxPool", "Concat", "Reshape", "Transpose", "Resize", "Slice"):
            assert len(set(known)) == 1, f"{node.op_type} {node.name}"
            pooled += node.op_type == "MaxPool"
        if node.op_type in ("Add", "Mul"):
            assert len({amax[value] for value in node.input if value in amax}) == 1, node.name
    assert pooled == (3 if name == "yolox" else 0)
    for pair, seen in shared_ranges(net.placement, net.ranges).items():
        assert amax[pair] >= seen.amax, "a pair's range is never narrowed"


def test_one_cache_a_release_with_the_same_scales(road_lowered: Lowered) -> None:
    net = road_lowered
    amax = dynamic_ranges(net.floating, net.placement, net.ranges)
    files = [write_cache(to_cache(amax, release)) for release in CACHE_RELEASES]
    heads = {data.split(b"\n", 1)[0] for data in files}
    assert len(heads) == len(CACHE_RELEASES)
    assert len({data.split(b"\n", 1)[1] for data in files}) == 1
    assert read_cache(files[0]).scales["images"] == float(r1_scale(amax["images"]))


def test_a_tensor_without_a_range_is_refused_by_name(road_lowered: Lowered) -> None:
    net = road_lowered
    spared = next(n for n in int8_region(net.floating) if n not in net.placement.pairs)
    fewer = {name: seen for name, seen in net.ranges.items() if name in net.placement.pairs}
    with pytest.raises(UsageError) as caught:
        dynamic_ranges(net.floating, net.placement, fewer)
    assert "has no range" in str(caught.value)
    assert spared not in fewer


@pytest.mark.parametrize(
    ("changes", "agrees"),
    [
        ({}, True),
        ({"steps": STEPS_MAX, "to_float_db": 17.0}, True),
        ({"steps": None, "steps_at": None}, True),
        ({"differs": ("Conv 'c' is missing",)}, False),
        ({"steps": 0.251}, False),
        ({"steps": float("nan")}, False),
        ({"to_float_db": 16.9}, False),
        ({"to_float_db": 45.2, "reference_to_float_db": float("inf")}, True),
        ({"to_float_db": 45.0, "reference_to_float_db": float("inf")}, False),
        ({"to_float_db": float("nan")}, False),
        ({"kept": {"found_min": (0.9, 0.9)}, "to_float_db": 3.0}, True),
        ({"kept": {"found_min": (0.89, 0.9)}}, False),
        ({"kept": {"found_min": (None, 0.0)}}, False),
    ],
)
def test_the_limits_of_agreement(changes: dict[str, Any], agrees: bool) -> None:
    good = Equivalence("strong", (), 0.01, "relu", 20.0, 20.0, reference_to_float_db=20.0)
    found = replace(good, **changes)
    assert found.agrees is agrees
    assert bool(found.failures) is not agrees
