"""A detector whose scores INT8 lowers gets a score bias; its boxes stay where they are, and a
ruined network is left alone.
"""

from __future__ import annotations

import numpy as np
import pytest
from onnx import ModelProto, TensorProto
from tiny_graphs import node, picture, ready, weights

from calibration.inference.sessions import ModelSession
from converters.graph.passes.canonical_names import PICTURE
from converters.quantization.bias_correction import with_added_bias
from converters.search.candidate import Candidate
from converters.search.evaluator import Evaluator
from converters.search.score_bias import Scores, last_operators, with_score_bias
from converters.search.task_loss import TaskLoss, score_change
from converters.sources.network import Outputs
from edge.perception.decode import DecodeSpec, boxes_and_scores
from edge.perception.values import Floats

WIDTH = HEIGHT = 32
SHAPE = (1, 3, HEIGHT, WIDTH)
SPEC = DecodeSpec(
    kind="roadnet",
    strides=(8,),
    classes=3,
    score_threshold=0.3,
    iou_threshold=0.5,
    max_detections=10,
)
FRAMES = [picture(seed, SHAPE) for seed in range(4)]
OTHERS = [picture(seed, SHAPE) for seed in range(4, 8)]


def detector() -> ModelProto:
    """A trunk, then a convolution for the boxes and one for the classes of 4 x 4 cells."""
    return ready(
        [
            node("Conv", [PICTURE, "w0"], ["c0"], strides=[8, 8]),
            node("Relu", ["c0"], ["r0"]),
            node("Conv", ["r0", "w1"], ["boxes"], name="boxes"),
            node("Conv", ["r0", "w2", "b2"], ["classes"], name="classes"),
            node("Concat", ["boxes", "classes"], ["joined"], axis=1),
            node("Reshape", ["joined", "shape"], ["flat"]),
            node("Transpose", ["flat"], ["y"], perm=[0, 2, 1]),
        ],
        {
            "w0": weights(8, 3, 8, 8),
            "w1": weights(4, 8, 1, 1, seed=1),
            "w2": weights(3, 8, 1, 1, seed=2),
            "b2": weights(3, seed=3),
            "shape": np.array([1, 7, 16], np.int64),
        },
        inputs={PICTURE: SHAPE},
    )


def named(model: ModelProto) -> tuple[str, str]:
    """The convolutions of the boxes and of the classes."""
    convolutions = [one.name for one in model.graph.node if one.op_type == "Conv"]
    return convolutions[1], convolutions[2]


def scores_of(model: ModelProto) -> Scores:
    return Scores.of(model, SPEC, FRAMES[0], width_px=WIDTH, height_px=HEIGHT)


def lowered(model: ModelProto, by: float) -> Candidate:
    """A network that puts out lower logits than float, whatever its biases are."""
    classes = named(model)[1]

    def quantize(graph: ModelProto) -> ModelProto:
        return with_added_bias(graph, {classes: -by})

    made = quantize(model)
    return Candidate(made, model, quantize, evaluator(model).task_loss(made), 1.0)


def moved_scores(reference: Outputs, candidate: Outputs) -> TaskLoss:
    both = [boxes_and_scores(one[0], SPEC, WIDTH, HEIGHT)[1] for one in (reference, candidate)]
    return TaskLoss(float(np.abs(both[0] - both[1]).mean()), 1)


def evaluator(model: ModelProto, frames: list[Floats] = FRAMES) -> Evaluator:
    return Evaluator(model, frames, moved_scores, threads=1)


def answer(model: ModelProto, frame: Floats) -> tuple[Floats, Floats]:
    raw = ModelSession(model.SerializeToString(), threads=1).run({PICTURE: frame})[0]
    return boxes_and_scores(raw, SPEC, WIDTH, HEIGHT)


def test_scores_are_moved_where_no_box_moves() -> None:
    model = detector()
    assert last_operators(model) == list(named(model))
    assert scores_of(model).operators == (named(model)[1],)


def test_a_head_in_float16_is_left_alone() -> None:
    """Its bias would have to be float16 too."""
    model = ready(
        [
            node("Conv", [PICTURE, "w0"], ["c0"], strides=[8, 8]),
            node("Conv", ["c0", "w1"], ["boxes"]),
            node("Cast", ["c0"], ["halves"], to=TensorProto.FLOAT16),
            node("Conv", ["halves", "w2"], ["c2"]),
            node("Cast", ["c2"], ["classes"], to=TensorProto.FLOAT),
            node("Concat", ["boxes", "classes"], ["joined"], axis=1),
            node("Reshape", ["joined", "shape"], ["flat"]),
            node("Transpose", ["flat"], ["y"], perm=[0, 2, 1]),
        ],
        {
            "w0": weights(8, 3, 8, 8),
            "w1": weights(4, 8, 1, 1, seed=1),
            "w2": weights(3, 8, 1, 1, seed=2).astype(np.float16),
            "shape": np.array([1, 7, 16], np.int64),
        },
        inputs={PICTURE: SHAPE},
    )
    assert scores_of(model).operators == ()


def test_lowered_scores_come_back_and_boxes_stay() -> None:
    model = detector()
    best = lowered(model, 0.2)
    mended, told = with_score_bias(
        best, scores_of(model), evaluator(model), [evaluator(model, OTHERS)]
    )
    assert told.added == pytest.approx(0.2, abs=0.02)
    assert told.change_before < -0.01
    assert abs(told.change_after) < 0.1 * abs(told.change_before)
    for frame in [*FRAMES, picture(99, SHAPE)]:
        boxes, scores = answer(model, frame)
        mended_boxes, mended_scores = answer(mended, frame)
        assert np.array_equal(mended_boxes, boxes)
        assert np.abs(mended_scores - scores).max() < 0.01


@pytest.mark.parametrize("by", [0.0, 3.0])
def test_what_is_right_and_what_is_ruined_stay(by: float) -> None:
    model = detector()
    best = lowered(model, by)
    made, told = with_score_bias(
        best, scores_of(model), evaluator(model), [evaluator(model, OTHERS)]
    )
    assert made is best.quantized
    assert told.added == 0.0
    assert told.change_before == told.change_after


def test_what_does_task_loss_to_the_search_frames_is_not_taken() -> None:
    """The others want their scores back, the search frames have them."""
    model = detector()
    best = lowered(model, 0.2)
    content = Evaluator(best.quantized, FRAMES, moved_scores, threads=1)
    best = Candidate(best.quantized, best.floating, best.quantize, 0.0, 1.0)
    made, told = with_score_bias(best, scores_of(model), content, [evaluator(model, OTHERS)])
    assert made is best.quantized
    assert told.added == 0.0


def test_the_change_is_that_of_what_float_sees() -> None:
    """Logits of -9 everywhere but in one cell: the others may change as they like."""
    wanted = np.full((1, 16, 7), -9.0, np.float32)
    wanted[0, 5, 4] = 0.0
    found = wanted.copy()
    found[0, 7, 5] = 3.0
    measure = score_change(SPEC, WIDTH, HEIGHT)
    assert measure((wanted,), (found,)) == TaskLoss(0.0, 1)
    found[0, 5, 4] = np.log(0.4 / 0.6)
    assert measure((wanted,), (found,)).total == pytest.approx(-0.1, abs=1e-6)
    assert measure((wanted,), (np.full_like(wanted, np.nan),)) == TaskLoss(-0.5, 1)  # gone
