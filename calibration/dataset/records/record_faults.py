"""Faults of a record's labels, given the size of its picture.

In: boxes and sizes. Out: faults in words. `data check` and every verb that judges a network use
this one definition.
"""

from __future__ import annotations

from calibration.dataset.records.record import Box

SIZE_TOLERANCE_PX = 2
EDGE_TOLERANCE_PX = 1.0
"""Some tools count pixels from 0, others from 1."""

NO_AREA, OUTSIDE = "boxes without an area", "boxes outside of the picture"


def size_fault(labelled: tuple[int | None, int | None], width_px: int, height_px: int) -> str:
    """Why labels made for one size (None: unknown) do not fit a picture of another; "" where they
    do."""
    off = max(
        (abs(a - b) for a, b in zip(labelled, (width_px, height_px), strict=True) if a is not None),
        default=0,
    )
    if off <= SIZE_TOLERANCE_PX:
        return ""
    wide, high = (one or "?" for one in labelled)
    return f"labels for {wide} x {high} pixels, a picture of {width_px} x {height_px}"


def box_fault(box: Box, width_px: float, height_px: float) -> str:
    """NO_AREA, OUTSIDE or "". The box is in the units of width and height."""
    if box.x2 <= box.x1 or box.y2 <= box.y1:
        return NO_AREA
    beyond = max(-box.x1, -box.y1, box.x2 - width_px, box.y2 - height_px)
    return OUTSIDE if beyond > EDGE_TOLERANCE_PX else ""


def label_faults(
    boxes: tuple[Box, ...],
    labelled: tuple[int | None, int | None],
    *,
    width_px: int,
    height_px: int,
) -> list[str]:
    """Every kind of fault that boxes in pixels have in a picture of this size, once each."""
    found = [size_fault(labelled, width_px, height_px)]
    found += [box_fault(box, width_px, height_px) for box in boxes]
    return [fault for fault in dict.fromkeys(found) if fault]
