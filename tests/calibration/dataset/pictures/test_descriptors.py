"""Conditions suggested by pixels where none are recorded."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from calibration.dataset.frames.images import image_frames
from calibration.dataset.pictures.descriptors import describe, guess_conditions
from edge.perception.conditions import Conditions


def test_guesses_find_thick_fog_and_call_no_sunny_frame_fog(shared_data: Path) -> None:
    frames = image_frames(shared_data / "road_scenes", table="labels.csv", group="drive")[::4]
    told: Counter[tuple[str, str | None]] = Counter()
    for frame in frames:
        image = frame.read()
        guess = guess_conditions(describe(image), width_px=image.shape[1], height_px=image.shape[0])
        told[frame.words, guess.weather] += 1
    assert told["heavy fog", "fog"] == 5
    assert told["sunny", "fog"] == 0
    assert told["moderate fog", "fog"] >= 6


def test_a_black_picture_is_night_and_a_crop_is_nothing() -> None:
    black = np.full((200, 300, 3), 5, np.uint8)
    assert guess_conditions(describe(black), width_px=300, height_px=200) == Conditions(
        light="night"
    )
    assert guess_conditions(describe(black[:32, :32]), width_px=32, height_px=32) == Conditions()
    assert describe(black[:1, :1]).contrast == 0.0


def test_blur_and_contrast_fall_where_a_picture_loses_them() -> None:
    rows, columns = np.mgrid[0:200, 0:300]
    checks = ((rows // 8 + columns // 8) % 2 * 255).astype(np.uint8)
    sharp = np.repeat(checks[:, :, None], 3, axis=2)
    weak = (sharp // 8 + 112).astype(np.uint8)
    assert describe(weak).contrast < describe(sharp).contrast / 4
    assert describe(weak).blur < describe(sharp).blur / 4
    assert describe(weak).haze > describe(sharp).haze
