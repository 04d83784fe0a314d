"""Corrects the mean score of a quantized detector where float finds objects, by one number for the
whole network.

Takes the chosen candidate and evaluators; returns a graph with that number added to the bias of the
last operators before the scores, such that their mean is float's. Boxes, weights and ranges stay.

Noise of INT8 flattens high scores, so detections near the threshold are lost, alike on all frames.
Biases that are corrected layer by layer match means over whole pictures, in which objects hardly
count. One number cannot overfit a few frames. Which operators move scores and nothing else is found
by trial, not by name.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto

from calibration.inference.sessions import ModelSession
from converters.graph.index import Graph
from converters.quantization.bias_correction import correctable, with_added_bias
from converters.quantization.rules import WEIGHTED
from converters.search.candidate import Candidate
from converters.search.evaluator import Evaluator
from converters.search.task_loss import NOISE, Measure, TaskLoss, score_change
from converters.sources.network import running
from edge.perception.decode import DecodeSpec, boxes_and_scores
from edge.perception.values import Floats

PROBE = 0.1
"""A trial bias (mostly logits) that shows how far scores move."""

MOST = 0.3
"""The largest bias. Scores that would need more come from a network that no bias can mend."""

STILL, STILL_SCORE = 1e-2, 1e-5
"""Changes below these count as none: of boxes (pixels) and other outputs (logits), of scores."""


@dataclass(frozen=True)
class ScoreBias:
    """The correction of scores.

    Attributes:
        added: to the biases, in their own units (logits); 0 where there is no correction.
        change_before, change_after: mean change of the scores of what float finds, -1..1.
    """

    added: float
    change_before: float
    change_after: float


@dataclass(frozen=True)
class Scores:
    """The operators whose biases move the scores of a detector.

    Attributes:
        operators: names; empty where scores cannot move without boxes or another output.
        measure: the change of scores, see `score_change`.
    """

    operators: tuple[str, ...]
    measure: Measure

    @staticmethod
    def of(
        model: ModelProto, spec: DecodeSpec, picture: Floats, *, width_px: int, height_px: int
    ) -> Scores:
        """Finds them in a float graph by trials on one picture (1, 3, H, W)."""

        def answer(graph: ModelProto) -> tuple[Floats, list[Floats]]:
            main, *more = running(ModelSession(graph.SerializeToString(), threads=1))(picture)
            boxes, scores = boxes_and_scores(main, spec, width_px, height_px)
            return scores, [boxes, *more]

        scores, rest = answer(model)
        found = []
        for name in last_operators(model):
            with np.errstate(over="ignore", invalid="ignore"):
                other_scores, other_rest = answer(with_added_bias(model, {name: PROBE}))
                moved = bool((np.abs(other_scores - scores) > STILL_SCORE).any())
                still = all(
                    bool((np.abs(other - one) <= STILL).all())
                    for one, other in zip(rest, other_rest, strict=True)
                )
            if still and moved:
                found.append(name)
        return Scores(tuple(found), score_change(spec, width_px, height_px))


def last_operators(model: ModelProto) -> list[str]:
    """The last weighted operators before the outputs that have a bias, in graph order."""
    graph = Graph(model)
    waiting, seen, found = list(graph.outputs), set[str](), set[str]()
    while waiting:
        node = graph.producer.get(waiting.pop())
        if node is None or node.name in seen:
            continue
        seen.add(node.name)
        if node.op_type not in WEIGHTED:
            waiting += node.input
        elif correctable(graph, node):
            found.add(node.name)
    return [node.name for node in graph.nodes if node.name in found]


def with_score_bias(
    best: Candidate, scores: Scores, evaluator: Evaluator, others: Sequence[Evaluator]
) -> tuple[ModelProto, ScoreBias]:
    """The graph of `best` with the same mean score as float; unchanged where that does not help, or
    raises the task loss on the frames of `evaluator`.

    The mean is over the frames of `evaluator` and `others`.
    """

    def change(candidate: ModelProto) -> float:
        evaluators = (evaluator, *others)
        totals = (one.total(candidate, scores.measure) for one in evaluators)
        return sum(totals, TaskLoss(0.0, 0)).mean

    def moved(by: float) -> ModelProto:
        return best.quantize(with_added_bias(best.floating, dict.fromkeys(scores.operators, by)))

    before = change(best.quantized)
    as_it_is = best.quantized, ScoreBias(0.0, before, before)
    if not scores.operators:
        return as_it_is
    slope = (change(moved(PROBE)) - before) / PROBE
    added = -before / slope if slope > 0.0 else math.nan
    if not abs(added) <= MOST:
        return as_it_is
    corrected = moved(added)
    after = change(corrected)
    if not (
        abs(after) < abs(before)
        and evaluator.task_loss(corrected) <= (1.0 + NOISE) * best.task_loss
    ):
        return as_it_is
    return corrected, ScoreBias(added, before, after)
