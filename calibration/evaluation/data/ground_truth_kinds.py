"""The table of ground truth by kind of network: a label of the picture, boxes, or a mask."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from calibration.dataset.records.record import Entry

LABEL, BOXES, MASKS = "label", "boxes", "masks"


@dataclass(frozen=True)
class TruthKind:
    """One row.

    Attributes:
        name: LABEL, BOXES or MASKS.
        what: the same for people.
        there: whether a record has this ground truth.
        words: the data set's words in it.
    """

    name: str
    what: str
    there: Callable[[Entry], bool]
    words: Callable[[Entry], Iterable[str]]


def truth_for(kind: str, labels: int) -> TruthKind:
    """The row for a kind of decoder; `labels` counts the model's, for masks without names."""
    if kind == "classify":
        return TruthKind(
            LABEL,
            "a label for every picture",
            lambda entry: entry.label is not None,
            lambda entry: () if entry.label is None else (entry.label,),
        )
    if kind == "segment":
        return TruthKind(
            MASKS,
            "a mask for every picture",
            lambda entry: entry.mask is not None,
            lambda entry: _mask_words(entry, labels),
        )
    return TruthKind(
        BOXES,
        "boxes with labels",
        lambda entry: entry.boxes is not None,
        lambda entry: [box.label for box in entry.boxes or () if not box.ignored],
    )


def _mask_words(entry: Entry, labels: int) -> Iterable[str]:
    """The names of a mask's ids; without names the numbers of the model's labels."""
    if entry.mask is None:
        return ()
    return [word for _, word in entry.mask.names] or [str(row) for row in range(labels)]
