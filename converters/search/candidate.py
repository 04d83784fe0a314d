"""A quantized graph with the biases that suit it better: float's, or corrected ones.

Measured on search frames, since a correction can do harm. Never chooses a place or a range.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from onnx import ModelProto

from converters.quantization.bias_correction import Quantize, correct_bias
from converters.quantization.placement import QdqPlacement
from converters.search.evaluator import Evaluator, Writer
from edge.perception.values import Floats


@dataclass(frozen=True)
class Candidate:
    """A quantized graph, with corrected biases where they did less task loss on the search frames.

    Attributes:
        floating: the float graph that it was written from, with those biases.
        quantize: what wrote it.
    """

    quantized: ModelProto
    floating: ModelProto
    quantize: Quantize
    task_loss_plain: float
    task_loss_corrected: float

    @property
    def task_loss(self) -> float:
        """The less of the two."""
        return min(self.task_loss_plain, self.task_loss_corrected)

    @property
    def corrected(self) -> bool:
        """Whether the biases were corrected."""
        return self.task_loss_corrected < self.task_loss_plain


def better_bias(
    model: ModelProto,
    write: Writer,
    placement: QdqPlacement,
    evaluator: Evaluator,
    pictures: Sequence[Floats],
    *,
    threads: int,
) -> Candidate:
    """The graph as `write` quantizes it, with corrected biases if that does less task loss."""

    def quantize(graph: ModelProto) -> ModelProto:
        return write(graph, placement)

    corrected = correct_bias(model, placement, quantize, pictures, threads=threads)
    both = [(quantize(graph), graph) for graph in (model, corrected)]
    plain, mended = (evaluator.task_loss(candidate) for candidate, _ in both)
    return Candidate(*both[mended < plain], quantize, plain, mended)
