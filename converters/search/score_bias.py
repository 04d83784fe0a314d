"""Gives a quantized detector back how sure it is: the mean score where float sees something.

The noise of INT8 is not even: what a network is sure of stands out, and noise flattens what stands
out, so scores fall, alike on all frames, and detections near the threshold are lost. Biases that
are corrected layer by layer know the mean over whole pictures, in which objects hardly count. So
one number for the whole network, which cannot be fitted to a few frames: added to the bias of the
last operators that make scores, such that the mean score is float's. Which operators those are is
tried, never named. Never touches a box, a weight or a range.
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
"""What is added to see how far scores move by it; logits, mostly."""

MOST = 0.3
"""Scores that need more are not a little low: the network is ruined, and no bias mends that."""

STILL, STILL_SCORE = 1e-2, 1e-5
"""Boxes (pixels), other outputs (logits) and scores that move by less have not moved."""


@dataclass(frozen=True)
class ScoreBias:
    """What was done to the scores.

    Attributes:
        added: to the biases, in their own units (logits); 0 where nothing was.
        change_before, change_after: mean change of the scores of what float sees, -1..1.
    """

    added: float
    change_before: float
    change_after: float


@dataclass(frozen=True)
class Scores:
    """The scores of one detector, and the operators that they can be moved by.

    Attributes:
        operators: names; none where scores cannot be moved without boxes or another output.
        measure: their change, see `score_change`.
    """

    operators: tuple[str, ...]
    measure: Measure

    @staticmethod
    def of(
        model: ModelProto, spec: DecodeSpec, picture: Floats, *, width_px: int, height_px: int
    ) -> Scores:
        """Of a float graph, tried on one picture (1, 3, H, W)."""

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
    """Operators with a bias of their own from which an output is reached past no other weighted
    one, in graph order."""
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
    """The graph of `best` with its scores as high as float's in the mean; as it is where that does
    not help, or does task loss to the frames of `evaluator`.

    The mean is that of the frames of `evaluator` and `others`.
    """

    def change(candidate: ModelProto) -> float:
        judges = (evaluator, *others)
        totals = (one.total(candidate, scores.measure) for one in judges)
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
    mended = moved(added)
    after = change(mended)
    if not (
        abs(after) < abs(before) and evaluator.task_loss(mended) <= (1.0 + NOISE) * best.task_loss
    ):
        return as_it_is
    return mended, ScoreBias(added, before, after)
