"""Mapping of a data set's labels to a model's."""

from __future__ import annotations

import pytest

from calibration.evaluation.data.label_mapping import map_labels
from firmware_bridge.errors import UsageError


def test_synonyms_and_broader_words() -> None:
    found = map_labels(["person", "car", "bus", "hovercraft"], ["pedestrian", "vehicle"])
    assert found.rows == {"person": 0, "car": 1, "bus": 1}
    assert found.left_out == ("hovercraft",)
    assert found.judged == (0, 1)


def test_the_models_own_word_wins_over_a_broader_one() -> None:
    assert map_labels(["car", "Motorbike"], ["vehicle", "car", "motorcycle"]).rows == {
        "car": 1,
        "Motorbike": 2,
    }


def test_numbers_are_rows_only_where_no_label_is_one() -> None:
    assert map_labels(["1"], ["stop", "yield"]).rows == {"1": 1}
    assert map_labels(["30"], ["20", "30"]).rows == {"30": 1}


def test_nothing_in_common_is_refused() -> None:
    with pytest.raises(UsageError, match="no label in common"):
        map_labels(["cow"], ["pedestrian"])
