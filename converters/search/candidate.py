"""A candidate of the search: a quantized graph with the better of two sets of biases, float's or
corrected ones.

Takes the float graph, a placement and an evaluator; returns a `Candidate`. The task loss on the
search frames decides, since a correction can do harm.
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
    """A quantized graph, with corrected biases where their task loss on the search frames is less.

    Attributes:
        quantized: the INT8 graph.
        floating: the float graph with the same biases.
        quantize: writes the one from the other.
        task_loss_plain, task_loss_corrected: mean task loss with float's biases, and with corrected
            ones.
    """

    quantized: ModelProto
    floating: ModelProto
    quantize: Quantize
    task_loss_plain: float
    task_loss_corrected: float

    @property
    def task_loss(self) -> float:
        """The smaller of the two."""
        return min(self.task_loss_plain, self.task_loss_corrected)

    @property
    def corrected(self) -> bool:
        """Whether the biases are corrected."""
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
    """Quantizes the graph by `write`, with corrected biases if their task loss is less.

    Args:
        pictures: network inputs (1, 3, H, W) from which the correction takes its means.
    """

    def quantize(graph: ModelProto) -> ModelProto:
        return write(graph, placement)

    corrected = correct_bias(model, placement, quantize, pictures, threads=threads)
    both = [(quantize(graph), graph) for graph in (model, corrected)]
    plain, other = (evaluator.task_loss(candidate) for candidate, _ in both)
    return Candidate(*both[other < plain], quantize, plain, other)
