"""Draws outlines of objects into a mask.

In: outlines of one picture and the id of each label. Out: ids (H, W) uint8. A pixel belongs to an
outline if its centre lies inside, at half coordinates: the pixel in column 3 spans x from 3 to 4.
Outlines that share an edge leave no gap and share no pixel. Where objects overlap, the one with
fewer pixels in the picture is on top, of two equal ones the later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.dataset.masks.masks import Ids
from calibration.dataset.records.ground_truth import IGNORED
from calibration.dataset.records.outlines import Disc, Outline, Polygons, Runs, Shape, Stamp
from edge.perception.pictures.decode import checked_header
from edge.perception.pictures.header import UnreadablePicture

Pixels = NDArray[np.bool_]

FARTHEST_PX = 1e6
"""Coordinates beyond it cannot be of a picture, which has at most 2^26 pixels."""

EDGES_AT_ONCE = 256
"""Edges of a polygon that are rasterized together, so that memory stays small."""


class NoShape(ValueError):
    """The outline does not fit this picture; the message says why."""


@dataclass(frozen=True)
class DrawnMask:
    """A mask, and counts of outlines that are not whole in it.

    Attributes:
        ids: (H, W) uint8.
        beyond: outlines that reach outside of the picture and were cut off.
        without_pixels: outlines so thin that no centre of a pixel lies in them.
        hidden: outlines whose pixels all lie under others.
    """

    ids: Ids
    beyond: int
    without_pixels: int
    hidden: int


def draw(
    outlines: Sequence[Outline],
    id_of: Mapping[str, int],
    *,
    background: int,
    width_px: int,
    height_px: int,
    shares: bool,
) -> tuple[DrawnMask, list[str]]:
    """The mask of a picture of this size, and the faults of outlines that are not in it.

    Args:
        id_of: label -> id. Regions that are not to be judged become IGNORED.
        background: the id of pixels that no outline covers.
        shares: polygons are in shares of width and height, not in pixels.
    """
    ids = np.full((height_px, width_px), background, np.uint8)
    owner = np.full((height_px, width_px), -1, np.int32)
    size_of_top = np.full((height_px, width_px), width_px * height_px, np.int32)
    beyond = without_pixels = 0
    faults: list[str] = []
    painted: set[int] = set()
    for number, outline in enumerate(outlines):
        shape = in_pixels(outline.shape, width_px, height_px) if shares else outline.shape
        try:
            left, top, inside, cut = pixels_of(shape, width_px, height_px)
        except NoShape as error:
            faults.append(f"{outline.where}: {error}")
            continue
        beyond += cut
        size = int(inside.sum())
        if not size:
            without_pixels += 1
            continue
        painted.add(number)
        high, wide = inside.shape
        window = np.s_[top : top + high, left : left + wide]
        seen = inside & (size <= size_of_top[window])
        ids[window][seen] = IGNORED if outline.box.ignored else id_of[outline.box.label]
        size_of_top[window][seen] = size
        owner[window][seen] = number
    hidden = len(painted - set(np.unique(owner).tolist()))
    return DrawnMask(ids, beyond, without_pixels, hidden), faults


def in_pixels(shape: Shape, width_px: int, height_px: int) -> Shape:
    """Polygons in shares of width and height, converted to pixels. Other shapes are in pixels."""
    if not isinstance(shape, Polygons):
        return shape
    scale = (width_px, height_px)
    return Polygons(
        tuple(tuple(one * scale[row % 2] for row, one in enumerate(ring)) for ring in shape.rings)
    )


def pixels_of(shape: Shape, width_px: int, height_px: int) -> tuple[int, int, Pixels, bool]:
    """(left, top, pixels, whether a part was cut off): the window of the picture that the shape
    lies in, and which of its pixels are inside.

    Raises:
        NoShape: it has no area, lies outside of the picture, or is of a picture of another size.
    """
    if isinstance(shape, Runs):
        return 0, 0, _of_runs(shape, width_px, height_px), False
    x1, y1, x2, y2 = _bounds(shape)
    if not max(-x1, -y1, x2, y2) < FARTHEST_PX:
        raise NoShape(f"has corners up to {max(-x1, -y1, x2, y2):.3g} pixels away")
    if x2 <= x1 or y2 <= y1:
        raise NoShape("has no area")
    if x1 >= width_px or y1 >= height_px or x2 <= 0 or y2 <= 0:
        raise NoShape(f"lies outside of its picture of {width_px} x {height_px}")
    left, right = _between(x1, x2, width_px)
    top, bottom = _between(y1, y2, height_px)
    window = (left, top, right, bottom)
    if isinstance(shape, Polygons):
        inside = np.zeros((bottom - top, right - left), np.bool_)
        for ring in shape.rings:
            inside |= _in_ring(ring, window)
    elif isinstance(shape, Disc):
        inside = _in_disc(shape, window)
    else:
        inside = _in_stamp(shape, window)
    return left, top, inside, x1 < 0 or y1 < 0 or x2 > width_px or y2 > height_px


def _bounds(shape: Polygons | Disc | Stamp) -> tuple[float, float, float, float]:
    if isinstance(shape, Disc):
        r = shape.radius
        return shape.x - r, shape.y - r, shape.x + r, shape.y + r
    if isinstance(shape, Stamp):
        right, bottom = shape.x_px + shape.width_px, shape.y_px + shape.height_px
        return shape.x_px, shape.y_px, right, bottom
    xs = [x for ring in shape.rings for x in ring[0::2]]
    ys = [y for ring in shape.rings for y in ring[1::2]]
    return min(xs), min(ys), max(xs), max(ys)


def _between(low: float, high: float, count: int) -> tuple[int, int]:
    """The range of pixels, of `count`, whose centres lie from `low` up to before `high`."""
    first, end = (int(np.ceil(min(max(one, 0.0), count) - 0.5)) for one in (low, high))
    return first, max(first, end)


def _in_ring(ring: tuple[float, ...], window: tuple[int, int, int, int]) -> Pixels:
    """Pixels whose centres lie inside by the even-odd rule: a crossing of an edge flips all pixels
    to its right, and the running sum along a row counts the crossings."""
    left, top, right, bottom = window
    high, wide = bottom - top, right - left
    if not high or not wide:
        return np.zeros((high, wide), np.bool_)
    x1, y1 = np.array(ring, np.float64).reshape(-1, 2).T
    x2, y2 = np.roll(x1, -1), np.roll(y1, -1)
    # An edge crosses the rows whose centres lie from its upper end up to before its lower end.
    first = np.clip(np.ceil(np.minimum(y1, y2) - 0.5), top, bottom).astype(np.int64)
    rows = np.clip(np.ceil(np.maximum(y1, y2) - 0.5), top, bottom).astype(np.int64) - first
    crossings = np.zeros((high, wide + 1), np.int64)
    for start in range(0, len(x1), EDGES_AT_ONCE):
        part = np.s_[start : start + EDGES_AT_ONCE]
        edge = start + np.repeat(np.arange(len(rows[part])), rows[part])
        begins = np.repeat(np.cumsum(rows[part]) - rows[part], rows[part])
        row = first[edge] + np.arange(len(edge)) - begins
        share = (row + 0.5 - y1[edge]) / (y2[edge] - y1[edge])
        x = x1[edge] + share * (x2[edge] - x1[edge])
        column = np.clip(np.ceil(x - 0.5), left, right).astype(np.int64)
        np.add.at(crossings, (row - top, column - left), 1)
    return np.asarray(np.cumsum(crossings, axis=1)[:, :wide] % 2 == 1, np.bool_)


def _in_disc(disc: Disc, window: tuple[int, int, int, int]) -> Pixels:
    left, top, right, bottom = window
    across = (np.arange(left, right) + 0.5 - disc.x) ** 2
    down = (np.arange(top, bottom) + 0.5 - disc.y) ** 2
    return np.asarray(across + down[:, None] <= disc.radius**2, np.bool_)


def _in_stamp(stamp: Stamp, window: tuple[int, int, int, int]) -> Pixels:
    try:
        header = checked_header(stamp.png)
        size = (header.width_px, header.height_px)
        # Read as grey whatever its colours are: every pixel but 0 is the object.
        how = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION
        image = cv2.imdecode(np.frombuffer(stamp.png, np.uint8), how)
    except (UnreadablePicture, cv2.error) as error:
        raise NoShape(f"has a mask that cannot be read: {str(error).splitlines()[0]}") from error
    if image is None:
        raise NoShape(f"has a mask of {len(stamp.png)} bytes that are no whole picture")
    if size != (stamp.width_px, stamp.height_px):
        raise NoShape(
            f"has a mask of {size[0]} x {size[1]} for a box of {stamp.width_px} x {stamp.height_px}"
        )
    left, top, right, bottom = window
    part = image[top - stamp.y_px : bottom - stamp.y_px, left - stamp.x_px : right - stamp.x_px]
    return np.asarray(part > 0, np.bool_)


def _of_runs(runs: Runs, width_px: int, height_px: int) -> Pixels:
    if (runs.width_px, runs.height_px) != (width_px, height_px):
        raise NoShape(
            f"is of a picture of {runs.width_px} x {runs.height_px}, "
            f"this one has {width_px} x {height_px}"
        )
    if sum(runs.counts) != width_px * height_px:
        raise NoShape(
            f"has run lengths of {sum(runs.counts)} pixels in a picture of {width_px * height_px}"
        )
    flat = np.repeat(np.arange(len(runs.counts)) % 2 == 1, runs.counts)
    return np.asarray(flat.reshape(width_px, height_px).T, np.bool_)
