"""Runs an ONNX model once in a confined process, with bounds on time and memory, where its file
does not say how long it runs.

Takes a model and the shape of its input; returns why it cannot run, or None.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from onnx import ModelProto

from converters.sources.confinement.process import ConfinedProcess

NO_MEMORY = "Failed to allocate memory"
"""Part of onnxruntime's message where a tensor does not fit into memory."""


def try_once(model: ModelProto, path: Path, shape: Sequence[int]) -> str | None:
    """Why the network cannot run on a picture of zeros, in words; None where it can.

    Args:
        model: with its weights inside.
        shape: of its one input, of any type.

    Raises:
        UsageError: it exceeded its time or memory.
    """
    process = ConfinedProcess(path)
    answer = process.ask("try", {"shape": list(shape)}, [model.SerializeToString()])
    return str(answer.values["cannot"]) if "cannot" in answer.values else None
