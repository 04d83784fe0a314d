"""The three lowerings of one calibration: what each carries, and that they agree on a CPU."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from lowered_networks import NETWORKS, OUTPUT, Lowered, lowered, network, untrained_roadnet
from onnx import ModelProto, TensorProto, helper, numpy_helper

from converters.graph import Graph
from converters.lowerings.proof import FLOAT, REFERENCE, Agreement, agreements, demand
from converters.lowerings.region import fake_quantized, region, region_amax, to_cache
from converters.lowerings.strong import to_strong, typing_of
from converters.quantize import shared_ranges
from converters.rules import r1_scale
from edge.engine.calibration_cache import read_cache, write_cache
from edge.engine.releases import CACHE_RELEASES
from firmware_bridge.errors import GateFailed, UsageError

ByName = Callable[[str], Lowered]


@pytest.mark.parametrize("name", NETWORKS)
def test_the_three_lowerings_agree_on_a_cpu(name: str, lowered_by_name: ByName) -> None:
    net = lowered_by_name(name)
    amax = region_amax(net.floating, net.placement, net.ranges)
    written = write_cache(to_cache(amax, CACHE_RELEASES[-1]))
    scales = read_cache(written).scales
    found = agreements(
        {FLOAT: network(net.floating), REFERENCE: network(net.int8)},
        {
            "strong": network(net.strong),
            "ranges": network(fake_quantized(net.floating, net.placement, scales)),
        },
        [net.picture],
        (OUTPUT,),
    )
    demand(found)
    assert {one.lowering for one in found} == {"strong", "ranges"}


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
    found = network(net.strong)(picture)[0]
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, 3e5, rtol=0.02)
    exponential = lowered(weighted(0.04, then="Exp"), picture)  # e^12 = 1.6e5
    assert np.isfinite(network(exponential.strong)(picture)[0]).all()


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
    amax = region_amax(net.floating, net.placement, net.ranges)
    graph = Graph(net.floating)
    assert set(amax) == set(region(net.floating)) >= {"images", *net.placement.pairs}
    pooled = 0
    for node in graph.nodes:
        known = [amax[value] for value in (*node.input, *node.output) if value in amax]
        if node.op_type in ("MaxPool", "Concat", "Reshape", "Transpose", "Resize", "Slice"):
            assert len(set(known)) == 1, f"{node.op_type} {node.name}"
            pooled += node.op_type == "MaxPool"
        if node.op_type == "Add":
            assert len({amax[value] for value in node.input if value in amax}) == 1, node.name
    assert pooled == (3 if name == "yolox" else 0)
    for pair, seen in shared_ranges(net.placement, net.ranges).items():
        assert amax[pair] >= seen.amax, "a pair's range is never narrowed"


def test_one_cache_a_release_with_the_same_scales(road_lowered: Lowered) -> None:
    net = road_lowered
    amax = region_amax(net.floating, net.placement, net.ranges)
    files = [write_cache(to_cache(amax, release)) for release in CACHE_RELEASES]
    heads = {data.split(b"\n", 1)[0] for data in files}
    assert len(heads) == len(CACHE_RELEASES)
    assert len({data.split(b"\n", 1)[1] for data in files}) == 1
    assert read_cache(files[0]).scales["images"] == float(r1_scale(amax["images"]))


def test_a_tensor_without_a_range_is_refused_by_name(road_lowered: Lowered) -> None:
    net = road_lowered
    spared = next(n for n in region(net.floating) if n not in net.placement.pairs)
    fewer = {name: seen for name, seen in net.ranges.items() if name in net.placement.pairs}
    with pytest.raises(UsageError) as caught:
        region_amax(net.floating, net.placement, fewer)
    assert "has no range" in str(caught.value)
    assert spared not in fewer


@pytest.mark.parametrize(
    ("to_reference", "to_float", "agrees"),
    [(30.0, 0.0, True), (17.0, 19.0, True), (16.9, 20.0, False), (25.0, 18.9, False)],
)
def test_the_limits_of_agreement(to_reference: float, to_float: float, agrees: bool) -> None:
    found = Agreement("strong", to_reference, to_float, reference_to_float_db=20.0)
    assert found.agrees is agrees
    if not agrees:
        with pytest.raises(GateFailed, match="does not compute what"):
            demand([found])


def test_a_wrong_scale_is_seen(road_lowered: Lowered) -> None:
    """The proof can fail: one tensor of the cache at a thousandth of its range."""
    net = road_lowered
    amax = region_amax(net.floating, net.placement, net.ranges)
    wrong = {**to_cache(amax, CACHE_RELEASES[0]).scales}
    wrong[net.placement.pairs[3]] /= 1000.0
    found = agreements(
        {FLOAT: network(net.floating), REFERENCE: network(net.int8)},
        {"ranges": network(fake_quantized(net.floating, net.placement, wrong))},
        [net.picture],
        (OUTPUT,),
    )
    with pytest.raises(GateFailed):
        demand(found)
