"""Measures the task loss of each weighted operator when it alone is quantized.

Takes a float graph, a placement, a writer and an evaluator; returns a `Sensitivity` for each
operator. `mixed_precision.py` chooses by it.
"""

from __future__ import annotations

from dataclasses import dataclass

from onnx import ModelProto

from calibration.inference.sessions import CannotRun
from converters.quantization.placement import QdqPlacement, place
from converters.search.evaluator import Evaluator, Writer
from edge.progress import Advance


@dataclass(frozen=True)
class Sensitivity:
    """One weighted operator.

    Attributes:
        node: its name.
        macs: multiply-accumulates a picture.
        task_loss: mean task loss when it alone is quantized; see `task_loss.py`.
    """

    node: str
    macs: int
    task_loss: float


def sensitivities(
    model: ModelProto,
    placement: QdqPlacement,
    write: Writer,
    evaluator: Evaluator,
    *,
    progress: Advance,
) -> tuple[Sensitivity, ...]:
    """Every quantized operator of `placement`, in graph order; `write` quantizes."""
    found = []
    names = tuple(placement.macs_of)
    for row, name in enumerate(names, start=1):
        others = dict.fromkeys((other for other in names if other != name), "not this one")
        alone = place(model, kept_float=others)
        candidate = write(model, alone)
        try:
            task_loss = evaluator.task_loss(candidate)
        except CannotRun as error:  # the float graph runs: a defect of this program
            raise AssertionError(f"{name} alone cannot run: {error}") from error
        found.append(Sensitivity(name, placement.macs_of[name], task_loss))
        progress("sensitivity", row, len(names))
    return tuple(found)
