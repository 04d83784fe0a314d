"""A network whose file does not tell how long it runs is run once where it can be ended: in a
process without rights, with bounds on its time and memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from onnx import ModelProto

from converters.sources.confinement.process import ConfinedProcess

NO_MEMORY = "Failed to allocate memory"
"""In what onnxruntime says where a tensor does not fit."""


def try_once(model: ModelProto, path: Path, shape: Sequence[int]) -> str | None:
    """Why the network cannot run on a picture of zeros, in words; None where it can.

    Args:
        model: weights inside.
        shape: of its one input, of whatever type.

    Raises:
        UsageError: it took longer or more memory than it may.
    """
    process = ConfinedProcess(path)
    answer = process.ask("try", {"shape": list(shape)}, [model.SerializeToString()])
    return str(answer.values["cannot"]) if "cannot" in answer.values else None
