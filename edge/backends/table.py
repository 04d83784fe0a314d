"""The table of inference backends by name, and `open_session`, which imports the one requested.

Never falls back to another backend.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path

from edge.backends.session import Session
from edge.install import pip_install
from firmware_bridge.errors import Missing, UsageError


@dataclass(frozen=True)
class Backend:
    """One row.

    Attributes:
        module, name: its session class, which is called with (path, *, threads).
        extra: the extra of this distribution that installs its imports.
        remedy: what to do where they are missing.
    """

    module: str
    name: str
    extra: str
    remedy: str


BACKENDS: dict[str, Backend] = {
    "onnxruntime": Backend(
        module="edge.backends.onnxruntime_backend",
        name="OnnxruntimeSession",
        extra="cpu",
        remedy=pip_install("cpu"),
    ),
}


def open_session(backend: str, path: Path, *, threads: int) -> Session:
    """A session of `backend` with the model at `path`.

    Raises:
        UsageError: no such backend, or the file is not a model that it can run.
        Missing: the backend's package or the model file is not there.
    """
    row = BACKENDS.get(backend)
    if row is None:
        raise UsageError(
            f"no backend '{backend}'",
            expected=", ".join(BACKENDS),
            found=backend,
            remedy="correct target.backend in the mission",
        )
    if not path.is_file():
        raise Missing(
            f"no model at {path}",
            expected="an ONNX file",
            found="a folder" if path.is_dir() else "no such file",
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
    session: Session = getattr(module, row.name)(path, threads=threads)
    return session
