"""Checks of coverage: rare classes, and weather, light and roads that are missing.

In: an inspected data set. Out: remarks.
"""

from __future__ import annotations

from collections.abc import Iterator

from calibration.dataset.checks.coverage import AXES, matrix_of
from calibration.dataset.checks.inspection import Inspection, Remark, filled_conditions
from calibration.dataset.lock.diff import labels_of

RARE = 10
"""A class that the commonest outnumbers by more than this is called rare."""


def classes(data: Inspection) -> Iterator[Remark]:
    """Classes that others outnumber by far."""
    counted: dict[str, int] = {}
    for record in data.records:
        for label in labels_of(record):
            counted[label] = counted.get(label, 0) + 1
    if len(counted) < 2:
        return
    most = max(counted.values())
    rare = sorted((count, label) for label, count in counted.items() if count * RARE < most)
    if rare:
        named = ", ".join(f"{label} ({count})" for count, label in rare[:10])
        yield Remark(
            "warning",
            f"{len(rare)} of {len(counted)} classes are outnumbered more than {RARE} times by the "
            f"commonest ({most}): {named}",
        )


def conditions(data: Inspection) -> Iterator[Remark]:
    """Weather, light and roads that no record has."""
    matrix = matrix_of(data.records)
    for axis, words in AXES.items():
        known = sum(getattr(record.conditions, axis) is not None for record in data.records)
        if known < len(data.records):
            yield Remark(
                "note", f"{axis} is not said of {len(data.records) - known} of {len(data.records)}"
            )
        if axis in matrix.named_axes and (
            absent := [w for w in words if not matrix.total(axis, w)]
        ):
            yield Remark("warning", f"no record with {axis} {', '.join(absent)}")
    holes = matrix.holes()
    if len(matrix.named_axes) > 1 and holes:
        every = 1
        for axis in matrix.named_axes:
            every *= len(AXES[axis])
        axes = " x ".join(matrix.named_axes)
        yield Remark(
            "note",
            f"{len(holes)} of {every} combinations of {axes} have no record",
        )
    guesses = sum(bool(filled_conditions(record).measured) for record in data.records)
    if guesses:
        yield Remark("note", f"of {guesses} records a condition is only measured, not said")
