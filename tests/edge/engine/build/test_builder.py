"""The builder against the exports of five TensorRT releases: the flags, pools and calls of each,
and that no option is skipped. Kernels are not tested here.
"""

from __future__ import annotations

import io
import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lowered_networks import OUTPUT, Lowered, lowered
from onnx import TensorProto, helper, numpy_helper
from stand_in import RELEASES, RTX, StandIn, plan_bytes

from converters.lowerings.implicit import dynamic_ranges, to_cache
from edge.engine.api_probe import Probe
from edge.engine.build.builder import BuildResult, build_plan, lowering_for
from edge.engine.build_request import BuildRequest
from edge.engine.calibration_cache import CalibrationCache
from edge.engine.load import ask_inspector
from edge.engine.model_choice import FILES
from edge.engine.plan.header import parse_header
from edge.engine.releases import (
    BUILDERS,
    LOWERINGS,
    Backend,
    BuilderRow,
    builder_row,
    parse_release,
)
from firmware_bridge.errors import DeviceFault, GateFailed, Refusal, UsageError

WORKSPACE = 512 << 20
REQUEST = BuildRequest(source="model.onnx", plan="out.plan", backend="tensorrt")
RTX_REQUEST = replace(REQUEST, backend="rtx", sm=(86, 89))
GONE_IN_11 = {"int8_calibrator", "set_dynamic_range", "precision", "set_quantization_flag"}


def build(
    trt: StandIn,
    net: Lowered,
    request: BuildRequest = REQUEST,
    *,
    cache: CalibrationCache | None = None,
    model: bytes | None = None,
    timing: bytes | None = None,
    **more: Any,
) -> BuildResult:
    row = row_of(trt, request)
    graphs = {"qdq": net.int8, "strong": net.strong, "ranges": net.implicit}
    lowering = lowering_for(row, request)
    return build_plan(
        Probe(trt, request.backend, parse_release(trt.__version__)),
        row,
        request,
        model=graphs[lowering].SerializeToString() if model is None else model,
        cache=cache,
        **more,
        timing=timing,
        workspace_bytes=WORKSPACE,
        tell=lambda *_: None,
    )


def row_of(trt: StandIn, request: BuildRequest = REQUEST) -> BuilderRow:
    return builder_row(request.backend, parse_release(trt.__version__))


def cache_of(net: Lowered, release: str) -> CalibrationCache:
    amax = dynamic_ranges(net.floating, net.placement, net.ranges)
    return to_cache(amax, parse_release(release))


SEEN: dict[str, dict[str, Any]] = {
    "tensorrt-8.6.1": {"network": "EXPLICIT_BATCH", "flags": ["INT8", "FP16"], "lowering": "qdq"},
    "tensorrt-10.3.0": {"network": "", "flags": ["INT8", "FP16"], "lowering": "qdq"},
    "tensorrt-10.13.2": {"network": "STRONGLY_TYPED", "flags": [], "lowering": "strong"},
    "tensorrt-11.4.0": {"network": "STRONGLY_TYPED", "flags": [], "lowering": "strong"},
}


@pytest.mark.parametrize("name", RELEASES)
def test_every_release_sees_the_flags_and_pools_it_wants(name: str, road_lowered: Lowered) -> None:
    trt, wanted = StandIn(name), SEEN[name]
    built = build(trt, road_lowered)
    flag = wanted["network"]
    mask = 1 << int(trt.NetworkDefinitionCreationFlag[flag]) if flag else 0
    assert trt.told("create_network") == [(mask,)]
    assert [call[0] for call in trt.told("set_flag")] == wanted["flags"]
    assert trt.told("set_memory_pool_limit") == [
        ("WORKSPACE", WORKSPACE),
        ("TACTIC_DRAM", WORKSPACE),
    ]
    assert bool(trt.told("progress_monitor")) == (name != "tensorrt-8.6.1")
    assert not {call[1] for call in trt.calls} & GONE_IN_11, "no calibrators, no dynamic ranges"
    assert built.facts["lowering"] == wanted["lowering"]
    assert built.facts["builder_flags"] == wanted["flags"]
    precision = built.facts["precision"]
    assert precision["int8"] == precision["weighted"] == 24
    assert precision["in_float"] == ()
    assert str(parse_header(built.plan, name="plan").release) == name.split("-")[1]


def test_rtx_names_its_gpus_before_it_sets_them(road_lowered: Lowered) -> None:
    trt = StandIn(RTX)
    build(trt, road_lowered, RTX_REQUEST)
    told = [call[1:] for call in trt.calls]
    at = told.index(("num_compute_capabilities", 2))
    assert told[at + 1 : at + 3] == [
        ("set_compute_capability", "SM86"),
        ("set_compute_capability", "SM89"),
    ]
    assert not trt.told("set_memory_pool_limit"), "what is free here says nothing about that GPU"


@pytest.mark.parametrize("release", ["8.6.1", "10.3.0"])
def test_dla_gets_a_range_for_every_tensor_and_reports_its_fallback(
    release: str, road_lowered: Lowered
) -> None:
    trt = StandIn(f"tensorrt-{release}", dla_cores=2)
    request = replace(REQUEST, dla_core=1)
    built = build(trt, road_lowered, request, cache=cache_of(road_lowered, release))
    assert built.facts["lowering"] == "ranges"
    assert [call[0] for call in trt.told("set_flag")] == ["INT8", "FP16", "GPU_FALLBACK"]
    assert trt.told("default_device_type") == [(trt.DeviceType.DLA,)]
    assert trt.told("DLA_core") == [(1,)]
    ranged = [call[0] for call in trt.told("dynamic_range")]
    region = dynamic_ranges(road_lowered.floating, road_lowered.placement, road_lowered.ranges)
    assert len(ranged) == len(region)
    assert all(low == -high < 0.0 for low, high in ranged)
    dla = built.facts["dla"]
    assert {row["type"] for row in dla["fallback"]} == {"SHUFFLE", "RESIZE"}
    assert 0 < len(dla["fallback"]) < dla["layers"]


@pytest.mark.parametrize("release", ["8.6.1", "10.3.0"])
def test_layers_that_stay_in_float_are_kept_from_int8_on_dla(
    release: str, road_lowered: Lowered
) -> None:
    """Without Q/DQ a range is all that INT8 needs: nothing else would keep them in float."""
    trt = StandIn(f"tensorrt-{release}", dla_cores=1)
    kept = [node.name for node in road_lowered.implicit.graph.node if node.op_type == "Conv"][3:5]
    request, cache = replace(REQUEST, dla_core=0), cache_of(road_lowered, release)
    built = build(trt, road_lowered, request, cache=cache, kept_float=tuple(kept))
    assert trt.told("precision") == [(trt.DataType.HALF,)] * 2
    assert ("OBEY_PRECISION_CONSTRAINTS",) in trt.told("set_flag")
    assert built.facts["builder_flags"] == [
        *("INT8", "FP16", "OBEY_PRECISION_CONSTRAINTS", "GPU_FALLBACK")
    ]
    assert built.facts["precision"]["in_float"] == tuple(kept)
    assert built.facts["precision"]["int8"] == 22
    with pytest.raises(UsageError, match="is not in the network") as caught:
        build(trt, road_lowered, request, cache=cache, kept_float=("conv_of_another_network",))
    assert "conv_of_another_network" in caught.value.expected


def test_a_tensor_without_a_range_is_refused_by_name(road_lowered: Lowered) -> None:
    whole = cache_of(road_lowered, "10.3.0")
    lost = road_lowered.placement.pairs[5]
    fewer = {name: scale for name, scale in whole.scales.items() if name != lost}
    trt = StandIn("tensorrt-10.3.0", dla_cores=1)
    cache = CalibrationCache(whole.release, fewer)
    with pytest.raises(UsageError, match="does not cover the network") as caught:
        build(trt, road_lowered, replace(REQUEST, dla_core=0), cache=cache)
    assert lost in caught.value.found


@pytest.mark.parametrize("name", ["tensorrt-10.13.2", "tensorrt-11.4.0"])
def test_a_release_without_dla_says_so(name: str, road_lowered: Lowered) -> None:
    with pytest.raises(UsageError, match="has no DLA") as caught:
        build(StandIn(name, dla_cores=2), road_lowered, replace(REQUEST, dla_core=0))
    assert "10.3" in caught.value.remedy


def test_dla_is_back_in_11_4_1_from_the_strongly_typed_graph(road_lowered: Lowered) -> None:
    trt = StandIn("tensorrt-11.4.0", version="11.4.1", dla_cores=2)
    built = build(trt, road_lowered, replace(REQUEST, dla_core=0))
    assert built.facts["lowering"] == "strong"
    assert [call[0] for call in trt.told("set_flag")] == ["GPU_FALLBACK"]


@pytest.mark.parametrize("name", RELEASES)
def test_a_device_without_dla_cores_is_named(name: str, road_lowered: Lowered) -> None:
    trt = StandIn(name, dla_cores=0)
    with pytest.raises(Refusal, match="DLA"):
        build(
            trt,
            road_lowered,
            replace(REQUEST, dla_core=0),
            cache=cache_of(road_lowered, name.split("-")[1]) if "10.1" not in name else None,
        )


@pytest.mark.parametrize("name", RELEASES)
def test_a_float_network_is_never_built_as_int8(name: str, road_lowered: Lowered) -> None:
    trt = StandIn(name)
    with pytest.raises(UsageError, match="would be built in float"):
        build(trt, road_lowered, model=road_lowered.floating.SerializeToString())
    assert not trt.told("build_serialized_network")


@pytest.mark.parametrize(
    ("name", "enum", "member"),
    [
        ("tensorrt-10.3.0", "BuilderFlag", "INT8"),
        ("tensorrt-11.4.0", "NetworkDefinitionCreationFlag", "STRONGLY_TYPED"),
        ("tensorrt-8.6.1", "MemoryPoolType", "TACTIC_DRAM"),
    ],
)
def test_a_flag_that_is_not_exported_stops_the_build(
    name: str, enum: str, member: str, road_lowered: Lowered
) -> None:
    import enum as enums

    trt = StandIn(name)
    fewer = {key: int(value) for key, value in trt.__dict__[enum].__members__.items()}
    del fewer[member]
    setattr(trt, enum, enums.IntEnum(enum, fewer))
    with pytest.raises(UsageError, match="cannot do what was asked") as caught:
        build(trt, road_lowered)
    assert member in caught.value.expected
    assert not trt.told("build_serialized_network")


def test_timing_caches_are_kept_and_foreign_ones_refused(road_lowered: Lowered) -> None:
    request = replace(REQUEST, timing_cache="timings")
    first = build(StandIn("tensorrt-10.3.0"), road_lowered, request, timing=b"")
    assert first.timing_cache
    again = StandIn("tensorrt-10.3.0")
    build(again, road_lowered, request, timing=first.timing_cache)
    assert again.told("set_timing_cache") == [(False,)]
    with pytest.raises(UsageError, match="does not fit"):
        build(StandIn("tensorrt-8.6.1"), road_lowered, request, timing=first.timing_cache)
    with pytest.raises(UsageError, match="has no timing cache"):
        build(StandIn(RTX), road_lowered, replace(RTX_REQUEST, timing_cache="t"), timing=b"")


def test_refusals_of_the_builder(road_lowered: Lowered) -> None:
    with pytest.raises(DeviceFault, match="cannot start its builder") as caught:
        build(StandIn("tensorrt-10.3.0", fails="no GPU"), road_lowered)
    assert "--backend rtx" in caught.value.remedy
    with pytest.raises(GateFailed, match="refused to build"):
        build(StandIn("tensorrt-11.4.0", fails="refuses"), road_lowered)
    with pytest.raises(UsageError, match="cannot read"):
        build(StandIn("tensorrt-11.4.0"), road_lowered, model=b"\xff garbage")
    with pytest.raises(UsageError, match="no target GPU"):
        build(StandIn(RTX), road_lowered, replace(RTX_REQUEST, sm=()))
    with pytest.raises(UsageError, match="on no GPU"):
        build(StandIn(RTX), road_lowered, replace(RTX_REQUEST, gpu=1))
    with pytest.raises(UsageError, match="for the GPU that is there"):
        build(StandIn("tensorrt-10.3.0"), road_lowered, replace(REQUEST, sm=(86,)))
    with pytest.raises(UsageError, match="does not build for SM 53") as unknown:
        build(StandIn(RTX), road_lowered, replace(RTX_REQUEST, sm=(53,)))
    assert "86" in unknown.value.expected
    assert "Jetson Nano" in unknown.value.found


@pytest.mark.parametrize("name", [*RELEASES, RTX])
def test_as_many_layers_in_int8_as_were_judged_or_no_engine(
    name: str, road_lowered: Lowered
) -> None:
    """A parser that loses some of them would otherwise be a silent change of precision."""
    request = RTX_REQUEST if name == RTX else REQUEST
    assert build(StandIn(name), road_lowered, request, int8=24).plan
    trt = StandIn(name)
    lowered = road_lowered.int8 if name in RELEASES[:2] else road_lowered.strong
    model = type(lowered)()
    model.CopyFrom(lowered)
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    lost, weights = convolutions[5], {one.name for one in model.graph.initializer}
    lost.input[1] = next(name for name in weights if name.endswith("weight"))
    with pytest.raises(UsageError, match="another precision than was judged") as caught:
        build(trt, road_lowered, request, model=model.SerializeToString(), int8=24)
    assert lost.name in caught.value.found
    assert "23" in caught.value.found
    assert not trt.told("build_serialized_network")


@pytest.mark.parametrize("name", RELEASES)
def test_a_network_that_cannot_fit_is_refused_with_its_largest_layer(
    name: str, road_lowered: Lowered
) -> None:
    trt = StandIn(name)
    with pytest.raises(UsageError, match="needs more memory than there is") as caught:
        build(trt, road_lowered, memory_bytes=200_000)
    assert "of weights, and 0 for what" in caught.value.expected
    assert "model.input" in caught.value.remedy
    assert not trt.told("build_serialized_network")
    assert build(StandIn(name), road_lowered, memory_bytes=1 << 30).plan


@pytest.mark.parametrize("name", RELEASES)
def test_memory_that_runs_out_inside_is_told_as_such(name: str, road_lowered: Lowered) -> None:
    with pytest.raises(DeviceFault, match="memory ran out") as caught:
        build(StandIn(name, fails="out of memory"), road_lowered)
    assert "conv_7" in caught.value.found
    assert "--workspace-mb" in caught.value.remedy


@pytest.mark.parametrize("name", [*RELEASES, RTX])
def test_an_engine_is_asked_what_it_computes_in(name: str) -> None:
    trt = StandIn(name)
    trt.inspector_text = '{"Layers": []}'
    backend: Backend = "rtx" if name == RTX else "tensorrt"
    probe = Probe(trt, backend, parse_release(trt.__version__))
    assert ask_inspector(probe, plan_bytes(trt), name="p") == trt.inspector_text
    with pytest.raises(DeviceFault, match="cannot be loaded"):
        ask_inspector(probe, b"of another", name="p")


@pytest.mark.parametrize("name", ["tensorrt-8.6.1", "tensorrt-10.3.0"])
def test_a_gpu_without_fast_int8_is_refused(name: str, road_lowered: Lowered) -> None:
    """TensorRT would build it in float, with a warning."""
    trt = StandIn(name)
    trt.Builder.platform_has_fast_int8 = False
    with pytest.raises(DeviceFault, match="no fast INT8"):
        build(trt, road_lowered)
    assert not trt.told("build_serialized_network")


def test_a_gpu_that_rtx_does_not_take_is_refused(
    road_lowered: Lowered, monkeypatch: pytest.MonkeyPatch
) -> None:
    trt = StandIn(RTX)
    monkeypatch.setattr(trt.IBuilderConfig, "set_compute_capability", lambda *_: False)
    with pytest.raises(UsageError, match="does not build for SM 86"):
        build(trt, road_lowered, RTX_REQUEST)


@pytest.mark.parametrize(
    ("sm", "remedy"),
    [
        (87, "build it on the Jetson Orin, where no --sm is given: --backend tensorrt"),
        (90, "name others: --sm 75,80,86,89,120,121"),
    ],
)
def test_a_gpu_that_rtx_does_not_know_is_told_with_those_it_does(
    sm: int, remedy: str, road_lowered: Lowered
) -> None:
    with pytest.raises(UsageError, match=f"does not build for SM {sm}") as refused:
        build(StandIn(RTX), road_lowered, replace(RTX_REQUEST, sm=(86, sm)))
    assert refused.value.expected == "of --sm: 75, 80, 86, 89, 120, 121"
    assert refused.value.remedy == remedy


def test_what_does_not_fit_256_steps_needs_no_range_on_dla() -> None:
    """A Softmax between convolutions: it and what reads it stay in float."""
    weights = np.random.default_rng(0).standard_normal((16, 16, 1, 1)).astype(np.float32)
    shape = (1, 16, 8, 8)
    nodes = [
        helper.make_node("Conv", ["images", "w"], ["c"], name="first"),
        helper.make_node("Softmax", ["c"], ["s"], name="softmax", axis=1),
        helper.make_node("Conv", ["s", "w"], [OUTPUT], name="second"),
    ]
    kind = TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("images", kind, shape)],
        [helper.make_tensor_value_info(OUTPUT, kind, shape)],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    picture = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    net = lowered(model, picture)
    kept = tuple(left.node for left in net.placement.left_float)
    assert kept == ("second",)
    trt, cache = StandIn("tensorrt-10.3.0", dla_cores=1), cache_of(net, "10.3.0")
    assert "s" not in cache.scales
    built = build(trt, net, replace(REQUEST, dla_core=0), cache=cache, kept_float=kept, int8=1)
    assert built.facts["precision"]["in_float"] == kept


def open_sizes(net: Lowered) -> bytes:
    model = type(net.strong)()
    model.CopyFrom(net.strong)
    for axis in (2, 3):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = f"open{axis}"
    data: bytes = model.SerializeToString()
    return data


def test_open_sizes_want_a_profile(road_lowered: Lowered) -> None:
    model = open_sizes(road_lowered)
    shapes = ((1, 3, 96, 160), (1, 3, 96, 160), (1, 3, 192, 320))
    trt = StandIn("tensorrt-11.4.0")
    build(trt, road_lowered, replace(REQUEST, profiles={"images": shapes}), model=model)
    assert trt.told("set_shape") == [("images", *shapes)]
    assert trt.told("add_optimization_profile")
    with pytest.raises(UsageError, match="has open sizes"):
        build(StandIn("tensorrt-11.4.0"), road_lowered, model=model)
    misfit = {"images": (shapes[0], shapes[0], (2, 3, 96, 160))}
    with pytest.raises(UsageError, match="has open sizes"):
        build(trt, road_lowered, replace(REQUEST, profiles=misfit), model=model)
    with pytest.raises(UsageError, match="no input of open size"):
        build(trt, road_lowered, replace(REQUEST, profiles={"images": shapes}))


def test_the_stand_in_is_strict() -> None:
    trt = StandIn("tensorrt-11.4.0")
    assert not hasattr(trt.BuilderFlag, "INT8")
    assert not hasattr(trt, "IInt8EntropyCalibrator2")
    config = trt.Builder(trt.ILogger()).create_builder_config()
    with pytest.raises(AttributeError):
        config.int8_calibrator = None
    with pytest.raises(AttributeError):
        _ = config.num_compute_capabilities


@pytest.mark.parametrize("release", ["8.5.3", "9.2.0", "12.0.0"])
def test_a_release_outside_the_table_is_refused(release: str) -> None:
    with pytest.raises(UsageError, match="is not known"):
        builder_row("tensorrt", parse_release(release))


def test_the_table_is_complete() -> None:
    """No hole and no overlap from 10.0 to 12.0, and every lowering has its file."""
    rows = [row for row in BUILDERS if row.backend == "tensorrt" and row.since.major >= 10]
    assert all(one.before == next_.since for one, next_ in itertools.pairwise(rows))
    assert set(FILES) == set(LOWERINGS)
    assert {row.lowering for row in BUILDERS} <= set(FILES)


def test_a_request_survives_the_pipe() -> None:
    shapes = ((1, 3, 8, 8), (1, 3, 8, 8), (1, 3, 16, 16))
    request = replace(RTX_REQUEST, profiles={"a=b": shapes}, workspace_bytes=1 << 30)
    line = io.StringIO(request.to_json() + "\n").readline()
    assert BuildRequest.from_json(line) == request
    assert Path(request.source).name == "model.onnx"
