"""Classification heads: a label or unknown; a broken output is never "clear"."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edge.perception.classification import HeadSpec, classify, softmax
from edge.perception.decode import DecodeSpec, NetworkSpec, output_shapes, perceive, with_threshold
from edge.perception.preprocess import InputPlacement
from edge.perception.values import Known, Perception, Unknown

ROAD = HeadSpec(("dry", "wet", "snow", "fog"), 0.6)
KIND = HeadSpec(("city", "rural", "highway"), 0.5)
DETECTOR = DecodeSpec("roadnet", (16,), 3, 0.3, 0.5, 10)
TWO = NetworkSpec(DETECTOR, ROAD)
CLASSIFIER = NetworkSpec(KIND, None)


def perceived(outputs: Sequence[np.ndarray], spec: NetworkSpec) -> Perception:
    here = InputPlacement(1.0, 1.0, 0.0, 0.0)
    return perceive(outputs, spec, placement=here, input_size=(32, 32), frame_size=(32, 32))


def logits(*values: float) -> np.ndarray:
    return np.array([values], np.float32)


def quiet() -> np.ndarray:
    raw = np.zeros((1, 4, 7), np.float32)
    raw[..., 4:] = -20.0
    return raw


def test_outputs_have_their_names_in_order() -> None:
    assert output_shapes(TWO, 32, 32) == {"detections": (1, 4, 7), "condition": (1, 4)}
    assert output_shapes(CLASSIFIER, 32, 32) == {"classes": (1, 3)}


def test_softmax_by_hand_and_for_huge_logits() -> None:
    np.testing.assert_allclose(softmax(np.log(np.array([1.0, 3.0], np.float32))), [0.25, 0.75])
    np.testing.assert_allclose(softmax(np.array([3e38, -3e38], np.float32)), [1.0, 0.0])


def test_a_sure_head_says_its_label_and_an_unsure_one_none() -> None:
    said = classify(logits(0, 4, 0, 0), ROAD, head="condition")
    assert (said.head, said.label) == ("condition", "wet")
    assert said.score == pytest.approx(np.exp(4) / (np.exp(4) + 3))
    unsure = classify(logits(0, 0.5, 0, 0), ROAD, head="condition")
    assert unsure.label is None
    assert unsure.score == pytest.approx(np.exp(0.5) / (np.exp(0.5) + 3))


def test_a_road_whose_condition_is_not_known_was_still_looked_at() -> None:
    seen = perceived([quiet(), logits(1, 1, 1, 1)], TWO)
    assert isinstance(seen, Known)
    assert [said.label for said in seen.scene] == [None]


def test_a_classifier_out_of_distribution_is_unknown_with_a_reason_that_does_not_flap() -> None:
    first = perceived([logits(0.1, 0.0, 0.0)], CLASSIFIER)
    second = perceived([logits(0.0, 0.2, 0.0)], CLASSIFIER)
    assert isinstance(first, Unknown)
    assert first.reason == "out of distribution: no label reaches a score of 0.5"
    assert first == second
    known = perceived([logits(9, 0, 0)], CLASSIFIER)
    assert isinstance(known, Known)
    assert known.scene[0].label == "city"


def test_evaluation_may_ask_for_the_likeliest_label_whatever_its_score() -> None:
    seen = perceived([logits(0.1, 0.0, 0.0)], with_threshold(CLASSIFIER, 0.0))
    assert isinstance(seen, Known)
    assert seen.scene[0].label == "city"


@pytest.mark.parametrize(
    ("outputs", "words"),
    [
        ([quiet()], "1 tensors"),
        ([quiet(), logits(1, 2, 3, 4), logits(1)], "3 tensors"),
        ([quiet(), logits(1, 2, 3)], "4 labels"),
        ([quiet(), logits(np.nan, 2, 3, 4)], "NaN"),
        ([quiet(), logits(np.inf, 2, 3, 4)], "Inf"),
        ([quiet() * np.nan, logits(9, 0, 0, 0)], "NaN"),
    ],
    ids=["one too few", "one too many", "labels", "nan condition", "inf condition", "nan main"],
)
def test_an_output_that_cannot_be_right_makes_the_frame_unknown(
    outputs: list[np.ndarray], words: str
) -> None:
    seen = perceived(outputs, TWO)
    assert isinstance(seen, Unknown)
    assert words in seen.reason


@given(
    arrays.arrays(np.float32, (1, 3), elements=st.floats(width=32, allow_nan=True)),
    st.floats(0.4, 1.0),
)
def test_any_logits_give_a_score_at_its_threshold_or_unknown(
    raw: np.ndarray, threshold: float
) -> None:
    seen = perceived([raw], NetworkSpec(HeadSpec(KIND.labels, threshold), None))
    if isinstance(seen, Known):
        (said,) = seen.scene
        assert said.label == KIND.labels[int(raw[0].argmax())]
        assert threshold <= said.score <= 1.0
