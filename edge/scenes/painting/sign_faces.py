"""Draws the faces of traffic signs as small pictures with an outline, one table.

In: a face's name. Out: a `Plate`. Shapes as in the Vienna Convention on Road Signs (1968).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.scenes.painting.atmosphere import Colour

SIDE_PX = 96
RED: Colour = (38, 28, 198)
WHITE: Colour = (244, 244, 244)
BLUE: Colour = (178, 92, 20)
BLACK: Colour = (24, 22, 22)
YELLOW: Colour = (30, 190, 245)

Plate = NDArray[np.uint8]
"""(SIDE_PX, SIDE_PX, 4): BGR, and opacity, 255 on the plate."""

# Strokes of a letter in a box of 2 by 4, y down.
GLYPHS: dict[str, tuple[tuple[tuple[float, float], ...], ...]] = {
    "0": (((0, 1), (0.5, 0), (1.5, 0), (2, 1), (2, 3), (1.5, 4), (0.5, 4), (0, 3), (0, 1)),),
    "1": (((0.3, 1), (1.2, 0), (1.2, 4)),),
    "2": (((0, 1), (0.5, 0), (1.5, 0), (2, 1), (1.8, 2), (0, 4), (2, 4)),),
    "3": (((0, 0.4), (1.5, 0), (2, 1), (1.4, 1.9), (2, 3), (1.5, 4), (0, 3.6)),),
    "5": (((2, 0), (0.2, 0), (0, 1.8), (1.4, 1.6), (2, 2.6), (1.5, 4), (0, 3.7)),),
    "8": (
        ((1, 1.9), (0.1, 1.1), (0.4, 0.1), (1.6, 0.1), (1.9, 1.1), (1, 1.9)),
        ((1, 1.9), (0, 3), (0.4, 4), (1.6, 4), (2, 3), (1, 1.9)),
    ),
    "S": (((2, 0.6), (1.3, 0), (0.3, 0.2), (0.1, 1.3), (1.8, 2.5), (1.7, 3.8), (0.7, 4), (0, 3)),),
    "T": (((0, 0), (2, 0)), ((1, 0), (1, 4))),
    "O": (((0, 1), (0.6, 0), (1.4, 0), (2, 1), (2, 3), (1.4, 4), (0.6, 4), (0, 3), (0, 1)),),
    "P": (((0, 4), (0, 0), (1.5, 0), (2, 0.6), (2, 1.6), (1.5, 2.2), (0, 2.2)),),
}  # fmt: skip


def _points(pairs: object) -> NDArray[np.int32]:
    """Points in -1..1 as pixels times 16."""
    flat = (np.array(pairs, np.float64) + 1.0) * SIDE_PX / 2.0 - 0.5
    return np.round(flat * 16.0).astype(np.int32)


def _area(plate: Plate, pairs: object, colour: Colour) -> None:
    cv2.fillPoly(plate, [_points(pairs)], (*colour, 255), cv2.LINE_AA, 4)


def _stroke(plate: Plate, pairs: object, colour: Colour, width: float) -> None:
    thick = max(1, round(width * SIDE_PX / 2.0))
    cv2.polylines(plate, [_points(pairs)], False, (*colour, 255), thick, cv2.LINE_AA, 4)


def _ring(corners: int, *, turn: float = 0.0, size: float = 1.0) -> NDArray[np.float64]:
    angles = 2.0 * np.pi * (np.arange(corners) + turn) / corners
    return np.stack([np.sin(angles), -np.cos(angles)], axis=1) * size


def _disc(plate: Plate, size: float, colour: Colour) -> None:
    _area(plate, _ring(48, size=size), colour)


def _moved(shape: NDArray[np.float64], x: float, y: float) -> NDArray[np.float64]:
    return np.asarray(shape + np.array((x, y)), np.float64)


def _text(plate: Plate, text: str, *, height: float, width: float, colour: Colour) -> None:
    """Centred letters, each `height` tall, all of them `width` wide together."""
    each = width / len(text)
    for place, letter in enumerate(text):
        for stroke in GLYPHS[letter]:
            line = [
                (-width / 2 + each * (place + 0.14 + 0.36 * x), height * (y / 4.0 - 0.5))
                for x, y in stroke
            ]
            _stroke(plate, line, colour, 0.13)


def _triangle(*, size: float = 1.0, down: bool = False) -> NDArray[np.float64]:
    corners = np.array([(0.0, -0.95), (1.0, 0.85), (-1.0, 0.85)])
    corners = (corners - (0.0, 0.25)) * size + (0.0, 0.25)
    return corners * (1.0, -1.0) if down else corners


def _stop(plate: Plate) -> None:
    _area(plate, _ring(8, turn=0.5, size=1.0 / np.cos(np.pi / 8.0)), WHITE)
    _area(plate, _ring(8, turn=0.5, size=0.92 / np.cos(np.pi / 8.0)), RED)
    _text(plate, "STOP", height=0.62, width=1.62, colour=WHITE)


def _yield(plate: Plate) -> None:
    _area(plate, _triangle(down=True), RED)
    _area(plate, _triangle(size=0.58, down=True), WHITE)


def _limit(number: str) -> Callable[[Plate], None]:
    def draw(plate: Plate) -> None:
        _disc(plate, 1.0, RED)
        _disc(plate, 0.74, WHITE)
        width = 1.06 if len(number) == 2 else 1.28
        _text(plate, number, height=0.72, width=width, colour=BLACK)

    return draw


def _no_entry(plate: Plate) -> None:
    _disc(plate, 1.0, RED)
    _area(plate, [(-0.7, -0.18), (0.7, -0.18), (0.7, 0.18), (-0.7, 0.18)], WHITE)


def _warning(plate: Plate) -> None:
    _area(plate, _triangle(), RED)
    _area(plate, _triangle(size=0.68), WHITE)
    _area(plate, [(-0.12, -0.35), (0.12, -0.35), (0.06, 0.3), (-0.06, 0.3)], BLACK)
    _area(plate, _moved(_ring(12, size=0.1), 0.0, 0.48), BLACK)


def _curve(plate: Plate) -> None:
    _area(plate, _triangle(), RED)
    _area(plate, _triangle(size=0.68), WHITE)
    _stroke(plate, [(-0.18, 0.58), (-0.18, 0.25), (0.12, -0.02), (0.02, -0.3)], BLACK, 0.16)


def _arrow(plate: Plate, degrees: float) -> None:
    turn = np.deg2rad(degrees)
    rotate = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    _disc(plate, 1.0, WHITE)
    _disc(plate, 0.93, BLUE)
    shaft = np.array([(-0.12, 0.62), (-0.12, -0.1), (0.12, -0.1), (0.12, 0.62)])
    head = np.array([(0.0, -0.7), (0.46, -0.06), (-0.46, -0.06)])
    for part in (shaft, head):
        _area(plate, part @ rotate, WHITE)


def _priority(plate: Plate) -> None:
    _area(plate, _ring(4, size=1.0), WHITE)
    _area(plate, _ring(4, size=0.93), BLACK)
    _area(plate, _ring(4, size=0.88), WHITE)
    _area(plate, _ring(4, size=0.62), YELLOW)


def _crossing(plate: Plate) -> None:
    square = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)], np.float64)
    _area(plate, square, WHITE)
    _area(plate, square * 0.92, BLUE)
    _area(plate, _moved(_triangle(size=0.74), 0.0, -0.02), WHITE)
    _area(plate, _moved(_ring(12, size=0.09), 0.0, -0.26), BLACK)
    for line in (
        [(0.0, -0.16), (0.0, 0.18), (0.2, 0.5)], [(0.0, 0.18), (-0.2, 0.5)],
        [(-0.2, 0.1), (0.0, -0.1), (0.2, 0.08)],
    ):  # fmt: skip
        _stroke(plate, line, BLACK, 0.1)


def _no_overtaking(plate: Plate) -> None:
    _disc(plate, 1.0, RED)
    _disc(plate, 0.74, WHITE)
    for x, colour in ((-0.32, RED), (0.28, BLACK)):
        body = np.array([(-0.24, -0.02), (0.24, -0.02), (0.24, 0.26), (-0.24, 0.26)])
        cabin = np.array([(-0.18, 0.0), (-0.12, -0.2), (0.12, -0.2), (0.18, 0.0)])
        for part in (body, cabin):
            _area(plate, _moved(part, x, 0.0), colour)


FACES: dict[str, Callable[[Plate], None]] = {
    "stop": _stop,
    "yield": _yield,
    "limit 30": _limit("30"),
    "limit 50": _limit("50"),
    "limit 80": _limit("80"),
    "limit 120": _limit("120"),
    "no entry": _no_entry,
    "warning": _warning,
    "curve": _curve,
    "keep right": lambda plate: _arrow(plate, 135.0),
    "straight on": lambda plate: _arrow(plate, 0.0),
    "priority road": _priority,
    "crossing": _crossing,
    "no overtaking": _no_overtaking,
}


@lru_cache(maxsize=64)
def face(name: str) -> Plate:
    """The plate of a face; colour continues past its outline, so that scaling darkens no edge."""
    plate = np.zeros((SIDE_PX, SIDE_PX, 4), np.uint8)
    FACES[name](plate)
    inside = plate[..., 3]
    mean_colour = plate[..., :3][inside == 255].mean(axis=0).astype(np.uint8)
    plate[..., :3][inside == 0] = mean_colour
    plate.flags.writeable = False
    return plate
