"""Evaluates candidates of the search: the task loss of an INT8 graph against float over frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

from onnx import ModelProto

from calibration.inference.sessions import ModelSession
from converters.quantization.placement import QdqPlacement
from converters.search.checkpoint import SearchCheckpoint
from converters.search.task_loss import Measure, TaskLoss
from converters.sources.network import Outputs, running
from edge.perception.values import Floats

Writer = Callable[[ModelProto, QdqPlacement], ModelProto]
"""Quantizes a float graph as a placement says."""
Writers = Callable[[float], tuple[Writer, Writer]]
"""Factor on all ranges -> two writers that differ in how they round weights: each to its nearest
step, and jointly (adaptive rounding)."""


class Evaluator:
    """Compares candidates with float over the same pictures; float is run once.

    Each picture is run on one thread, `threads` pictures at a time, so the figures do not depend on
    how many threads there are. It holds the pictures and float's outputs; task losses in
    `checkpoint`, which must be of the same frames and measure, are not measured again.
    """

    def __init__(
        self,
        model: ModelProto,
        pictures: Sequence[Floats],
        measure: Measure,
        *,
        threads: int,
        checkpoint: SearchCheckpoint | None = None,
    ) -> None:
        self._pictures = pictures
        self._measure = measure
        self._threads = threads
        self._checkpoint = checkpoint
        network = running(ModelSession(model.SerializeToString(), threads=1))
        with ThreadPoolExecutor(threads) as pool:
            self._answers = list(pool.map(network, pictures))

    def task_loss(self, candidate: ModelProto) -> float:
        """Mean task loss. A candidate that cannot run raises CannotRun."""
        data = candidate.SerializeToString()
        if self._checkpoint is None:
            return self._measured(data)
        digest = sha256(data).hexdigest()
        task_loss = self._checkpoint.get(digest)
        if task_loss is None:
            task_loss = self._measured(data)
            self._checkpoint.put(digest, task_loss)
        return task_loss

    def answers(self, candidate: ModelProto) -> Iterator[tuple[Outputs, Outputs]]:
        """Float's outputs and the candidate's, picture by picture. Raises as `task_loss`."""
        network = running(ModelSession(candidate.SerializeToString(), threads=1))
        rows = range(
            0, len(self._pictures), self._threads
        )  # few of its outputs in memory at a time
        with ThreadPoolExecutor(self._threads) as pool:
            for part in (slice(row, row + self._threads) for row in rows):
                offered = pool.map(network, self._pictures[part])
                yield from zip(self._answers[part], offered, strict=True)

    def total(self, candidate: ModelProto, measure: Measure) -> TaskLoss:
        """Task loss by another measure, over all pictures. Raises as `task_loss`."""
        return self._total(candidate.SerializeToString(), measure)

    def _measured(self, candidate: bytes) -> float:
        return self._total(candidate, self._measure).mean

    def _total(self, candidate: bytes, measure: Measure) -> TaskLoss:
        network = running(ModelSession(candidate, threads=1))

        def of_one(answer: Outputs, picture: Floats) -> TaskLoss:
            return measure(answer, network(picture))

        with ThreadPoolExecutor(self._threads) as pool:
            return sum(pool.map(of_one, self._answers, self._pictures), TaskLoss(0.0, 0))
