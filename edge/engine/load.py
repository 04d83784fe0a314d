"""Loads an engine on this machine's GPU and returns the JSON of TensorRT's engine inspector.

Compares every plan with its sidecar and this machine before TensorRT loads it. Runs no inference.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge.backends.tensorrt_engine import import_tensorrt
from edge.engine.api_probe import Probe
from edge.engine.gpu import present_sm
from edge.engine.gpu_support.check import check_support
from edge.engine.plan.header import parse_header, preflight
from edge.engine.plan.sidecar import load_sidecar, read_plan
from edge.engine.releases import MODULES, parse_release
from firmware_bridge.errors import DeviceFault


def inspector_text(plan: Path, *, gpu: int = 0) -> str:
    """The inspector's JSON for a plan on the GPU of this ordinal.

    Raises:
        Missing: no plan, sidecar or TensorRT.
        NotTrusted: the sidecar describes another plan.
        UsageError: it was built by another TensorRT or for another GPU, or this TensorRT has no
            kernels for the GPU.
        DeviceFault: there is no GPU, or the engine cannot be loaded.
    """
    sidecar = load_sidecar(plan)
    data = read_plan(plan, sidecar)
    header = parse_header(data, name=str(plan))
    here = present_sm(gpu)
    if here is None:
        raise DeviceFault(
            f"{plan} cannot be loaded here",
            expected="the GPU that it was built for",
            found=f"no CUDA device {gpu}" if gpu else "no CUDA device",
            remedy="run this on the device; or give what was taken there: --inspector FILE.json",
        )
    trt = import_tensorrt(MODULES[header.backend])
    release = parse_release(trt.__version__)
    preflight(
        header,
        name=str(plan),
        backend=header.backend,
        release=release,
        built_for=sidecar.sm,
        here=here,
    )
    check_support(header.backend, release, here)
    return ask_inspector(Probe(trt, header.backend, release), data, name=str(plan))


def ask_inspector(probe: Probe, plan: bytes, *, name: str) -> str:
    """The inspector's JSON for the bytes of a plan. Raises DeviceFault if it cannot be loaded."""
    trt: Any = probe.trt
    runtime = probe.attribute(trt, "Runtime")(probe.attribute(trt, "Logger")())
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        raise DeviceFault(
            f"{name} cannot be loaded",
            expected="an engine of this TensorRT and GPU",
            found="TensorRT does not take it",
            remedy="build it again on this device: brakepoint engine build DIR --out FILE",
        )
    form = probe.member("LayerInformationFormat", "JSON")
    text: str = engine.create_engine_inspector().get_engine_information(form)
    return text
