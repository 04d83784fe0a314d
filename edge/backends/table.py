"""The table of inference backends by name, and `open_session`, which imports the one requested.

Never falls back to another backend.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path

from edge.backends.options import ApprovedPlan, SessionOptions
from edge.backends.session import Session
from edge.install import pip_install
from firmware_bridge.errors import Missing, UsageError


@dataclass(frozen=True)
class Backend:
    """One row.

    Attributes:
        module, name: its session class, which is called with (model, *, options).
        model: what it runs: the path of an ONNX file, or an approved plan.
        extra: the extra of this distribution that installs its imports.
        remedy: what to do where they are missing.
    """

    module: str
    name: str
    model: type[Path] | type[ApprovedPlan]
    extra: str
    remedy: str


BACKENDS: dict[str, Backend] = {
    "onnxruntime": Backend(
        module="edge.backends.onnxruntime_backend",
        name="OnnxruntimeSession",
        model=Path,
        extra="cpu",
        remedy=pip_install("cpu"),
    ),
    "tensorrt": Backend(
        module="edge.backends.tensorrt_backend",
        name="TensorRTSession",
        model=ApprovedPlan,
        extra="jetson",
        remedy=pip_install("jetson"),
    ),
    "rtx": Backend(
        module="edge.backends.tensorrt_backend",
        name="RtxSession",
        model=ApprovedPlan,
        extra="rtx,cuda",
        remedy=pip_install("rtx,cuda"),
    ),
}


def open_session(backend: str, model: Path | ApprovedPlan, *, options: SessionOptions) -> Session:
    """A session of `backend` with a model, for the thread that opens it.

    Raises:
        UsageError: no such backend, or the model is none that it can run.
        Missing: the backend's package or the model file is not there.
        DeviceFault: no GPU, no room on it, or it refuses the engine.
        DeviceLost: the device failed while it was opened.
    """
    row = BACKENDS.get(backend)
    if row is None:
        raise UsageError(
            f"no backend '{backend}'",
            expected=", ".join(BACKENDS),
            found=backend,
            remedy="correct target.backend in the mission",
        )
    if not isinstance(model, row.model):
        raise UsageError(
            f"the backend {backend} does not run this model",
            expected="an engine plan" if row.model is ApprovedPlan else "an ONNX file",
            found=str(model),
            remedy="choose another backend, or build an engine: brakepoint engine build DIR --out "
            "FILE",
        )
    if isinstance(model, Path) and not model.is_file():
        raise Missing(
            f"no model at {model}",
            expected="an ONNX file",
            found="a folder" if model.is_dir() else "no such file",
            remedy="correct the path, or write it first: brakepoint convert MISSION --out DIR",
        )
    try:
        module = importlib.import_module(row.module)
    except ModuleNotFoundError as error:
        raise Missing(
            f"the backend {backend} is not installed",
            expected=f"the packages of the extra [{row.extra}]",
            found=str(error),
            remedy=row.remedy,
        ) from error
    session: Session = getattr(module, row.name)(model, options=options)
    return session
