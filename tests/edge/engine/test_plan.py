"""Headers, preflight, sidecars and inspector reports: what is read of an engine before and after it
is loaded.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stand_in import StandIn, plan_bytes

from edge.engine.build.memory import free_bytes, workspace_bytes
from edge.engine.gpu import present_sm
from edge.engine.inspector import read_inspector
from edge.engine.plan.header import PlanHeader, parse_header, preflight
from edge.engine.releases import Backend, Release
from firmware_bridge.errors import NotTrusted, UsageError

JETPACK = PlanHeader("tensorrt", Release(10, 3, 0), 30, ())


def test_the_header_of_both_kinds() -> None:
    assert parse_header(plan_bytes(StandIn("tensorrt-10.3.0")), name="p") == PlanHeader(
        "tensorrt", Release(10, 3, 0), 116, ()
    )
    assert parse_header(plan_bytes(StandIn("tensorrt_rtx-1.7.1")), name="p") == PlanHeader(
        "rtx", Release(1, 7, 1), 116, (86, 89)
    )


@given(st.binary(max_size=80))
def test_no_bytes_crash_the_header(data: bytes) -> None:
    try:
        found = parse_header(data, name="p")
    except NotTrusted as refusal:
        found = None
        told = str(refusal)
    assert found is not None or "is not a TensorRT engine" in told


@pytest.mark.parametrize(
    ("backend", "release", "built_for", "here", "both"),
    [
        ("tensorrt", Release(10, 13, 2), (87,), 87, ("10.3.0", "10.13.2")),
        ("rtx", Release(1, 7, 1), (), 86, ("tensorrt 10.3.0", "tensorrt_rtx 1.7.1")),
        ("tensorrt", Release(10, 3, 0), (87,), 110, ("SM 8.7", "SM 11.0")),
    ],
)
def test_preflight_refuses_with_both_and_the_remedy(
    backend: Backend,
    release: Release,
    built_for: tuple[int, ...],
    here: int,
    both: tuple[str, str],
) -> None:
    with pytest.raises(UsageError) as caught:
        preflight(
            JETPACK, name="p", backend=backend, release=release, built_for=built_for, here=here
        )
    assert both[0] in caught.value.found
    assert both[1] in caught.value.expected
    assert "brakepoint engine build" in caught.value.remedy


@pytest.mark.parametrize(("built_for", "here"), [((87,), 87), ((), 87), ((87,), None)])
def test_preflight_lets_what_fits_pass(built_for: tuple[int, ...], here: int | None) -> None:
    preflight(
        JETPACK,
        name="p",
        backend="tensorrt",
        release=Release(10, 3, 0),
        built_for=built_for,
        here=here,
    )


def test_the_gpus_in_the_header_count_more_than_those_beside_it() -> None:
    header = PlanHeader("rtx", Release(1, 7, 1), 116, (86, 89))
    with pytest.raises(UsageError, match="another GPU"):
        preflight(
            header, name="p", backend="rtx", release=Release(1, 7, 1), built_for=(120,), here=120
        )


def layer(name: str, kind: str, reads: str, makes: str, **more: object) -> dict[str, object]:
    return {
        "Name": name,
        "LayerType": kind,
        "Inputs": [{"Name": "a", "Location": "Device", "Format/Datatype": reads}],
        "Outputs": [{"Name": "b", "Location": "Device", "Format/Datatype": makes}],
        **more,
    }


FLOAT, HALF = "Row major linear FP32", "Channel major FP16 format where channel % 8 == 0"
INT8 = "Thirty-two wide channel vectorized row major Int8 format"
CONVOLUTION = {"ParameterType": "Convolution", "Weights": {"Type": "Int8", "Count": 864}}

RECORD = {
    "Layers": [
        layer("QuantizeLinear_2", "Reformat", FLOAT, INT8, ParameterType="Reformat", Origin="QDQ"),
        layer("w + QuantizeLinear_8 + Conv_12 + PWN(Relu)", "CaskConvolution", INT8, INT8)
        | CONVOLUTION,
        layer("w + QuantizeLinear_25 + Conv_29", "CudaDepthwiseConvolution", INT8, HALF)
        | CONVOLUTION,
        layer("Reformatting CopyNode for Input Tensor 0 to Conv_33", "Reformat", INT8, HALF),
        layer("Conv_33", "CaskConvolution", HALF, HALF)
        | {"ParameterType": "Convolution", "Weights": {"Type": "Half", "Count": 512}},
        layer("Conv_34", "CaskConvolution", INT8, INT8)
        | {"ParameterType": "Convolution", "Weights": {"Type": "Float", "Count": 512}},
        layer("MatMul_40", "gemm", HALF, HALF),
        layer("PWN(Sigmoid_50)", "PointWiseV2", HALF, HALF),
    ],
    "Bindings": ["images", "detections"],
}
"""Written by hand in the form that TensorRT 8.6's and 10's inspectors put out."""


def test_the_inspector_report_counts_what_really_is_int8() -> None:
    report = read_inspector(json.dumps(RECORD), name="record")
    assert report.layers == 8
    assert report.int8 == (
        "w + QuantizeLinear_8 + Conv_12 + PWN(Relu)",
        "w + QuantizeLinear_25 + Conv_29",
    )
    assert report.in_float == ("Conv_33", "Conv_34", "MatMul_40")
    assert report.int8_share == pytest.approx(0.4)
    assert report.unfused_quantize == ("QuantizeLinear_2",)
    assert report.reformats == ("Reformatting CopyNode for Input Tensor 0 to Conv_33",)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"Layers": 3}', '{"Layers": ["Conv_1", "Conv_2"]}', '{"Layers": null}'],
)
def test_an_inspector_without_detail_is_refused(text: str) -> None:
    with pytest.raises(NotTrusted, match="does not tell"):
        read_inspector(text, name="record")


def test_an_engine_with_no_weighted_layer_has_no_share() -> None:
    assert read_inspector('{"Layers": []}', name="record").int8_share is None


def test_memory_for_a_build_is_half_of_what_is_free(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 8000000 kB\nMemAvailable:    2097152 kB\n")
    assert free_bytes(meminfo) == 2 << 30
    assert workspace_bytes(2 << 30) == 1 << 30
    assert workspace_bytes(1 << 20) == 64 << 20
    assert workspace_bytes(1 << 40) == 4 << 30
    assert workspace_bytes(free_bytes(tmp_path / "none")) == 64 << 20


@pytest.mark.gpu
def test_a_real_inspector_of_a_real_engine() -> None:
    """On a device: builds, loads and inspects; nothing of it runs without a GPU."""
    if present_sm() is None:
        pytest.skip("no CUDA device")
    if importlib.util.find_spec("tensorrt") is None:
        pytest.skip("TensorRT is not installed")
    import tensorrt as trt
    from lowered_networks import lowered, untrained_roadnet

    from converters.lowerings.strongly_typed import to_strong
    from converters.quantization.lint.checks import inspect_model, lint
    from converters.quantization.lint.engine_precision import join
    from edge.engine.api_probe import Probe
    from edge.engine.build.builder import build_plan
    from edge.engine.build_request import BuildRequest
    from edge.engine.load import ask_inspector
    from edge.engine.releases import builder_row, parse_release

    release = parse_release(trt.__version__)
    row = builder_row("tensorrt", release)
    net = lowered(*untrained_roadnet())
    model = to_strong(net.int8) if row.lowering == "strong" else net.int8
    built = build_plan(
        Probe(trt, "tensorrt", release),
        row,
        BuildRequest(source="road", plan="", backend="tensorrt"),
        model=model.SerializeToString(),
        cache=None,
        timing=None,
        workspace_bytes=1 << 30,
        tell=lambda *_: None,
    )
    assert parse_header(built.plan, name="plan").release == release
    text = ask_inspector(Probe(trt, "tensorrt", release), built.plan, name="engine")
    report = read_inspector(text, name="engine")
    seen = inspect_model(net.int8)
    joined = join(seen, lint(seen), report)
    assert not joined.not_found
    assert joined.int8_macs_share is not None
    assert joined.int8_macs_share > 0.8
    assert report.int8_share is not None
    assert report.int8_share > 0.8
