"""Finds what an engine needs: TensorRT, the GPU, and the engines in a folder, by their sidecars.

A backend and the number of a GPU go in; a `Runtime` comes out, or `NotHere`. Loads no engine.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

from edge.backends.tensorrt_engine import REMEDIES, import_tensorrt
from edge.contract.json_text import parse_json
from edge.engine.gpu import present_gpu
from edge.engine.plan.approve import Runtime
from edge.engine.plan.header import MAGIC
from edge.engine.plan.sidecar import FORMER_SCHEMA, SCHEMA
from edge.engine.releases import MODULES, Backend, parse_build, parse_release
from firmware_bridge.errors import DeviceFault, Missing, Refusal


class NotHere(Exception):
    """What a backend needs is not here. `auto` passes it over; else `refusal` is raised."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.what)
        self.refusal = refusal


def engines_in(folder: Path, backend: Backend) -> Iterator[Path]:
    """Plans of a backend in a folder that have a sidecar, by name. One whose first bytes are gone
    is of the backend that its sidecar names: it is there, and wrong."""
    for sidecar in sorted(folder.glob("*.json")):
        plan = sidecar.with_suffix("")
        if not plan.is_file():
            continue
        with plan.open("rb") as stream:
            begins = stream.read(4)
        if MAGIC.get(begins, _named_by(sidecar)) == backend:
            yield plan


def _named_by(sidecar: Path) -> str | None:
    """The backend of an engine by its sidecar; None where the file is no sidecar."""
    try:
        document = parse_json(sidecar.read_bytes())
        schema, backend = str(document["schema"]), str(document["backend"])
    except (KeyError, TypeError, ValueError):
        return None
    return backend if schema in (SCHEMA, FORMER_SCHEMA) else None


def runtime_here(backend: Backend, ordinal: int) -> Runtime:
    """TensorRT and the GPU that are here. Raises NotHere where one of them is not.

    Raises:
        Missing: TensorRT is installed, but cannot be imported.
    """
    module = MODULES[backend]
    if importlib.util.find_spec(module) is None:
        raise NotHere(
            Missing(
                f"{module} is not installed",
                expected="the Python module of TensorRT",
                found=f"no module {module}",
                remedy=REMEDIES[module],
            )
        )
    gpu = present_gpu(ordinal)
    if gpu is None:
        raise NotHere(
            DeviceFault(
                f"there is no GPU {ordinal}" if ordinal else "there is no GPU",
                expected="an NVIDIA GPU with its driver (libcuda.so.1)",
                found="none that the CUDA driver lists under that number",
                remedy="run on the device, correct target.gpu, or run --backend onnxruntime",
            )
        )
    version = str(import_tensorrt(module).__version__)
    return Runtime(backend, parse_release(version), parse_build(version), gpu)
