"""Maps a data set's words to a model's labels: the same word, a synonym, or a broader one.

In: words and labels. Out: a `LabelMapping`. A word that no row of the tables maps to a label is
left out and reported, never guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from calibration.dataset.records.record import ANY_LABEL, Box
from firmware_bridge.errors import UsageError

SYNONYMS: tuple[frozenset[str], ...] = (
    frozenset({"person", "pedestrian", "people"}),
    frozenset({"motorcycle", "motorbike", "motor"}),
    frozenset({"bicycle", "bike"}),
    frozenset({"truck", "lorry"}),
    frozenset({"traffic sign", "sign"}),
)
"""Words of COCO, VOC, BDD100K and DAWN for one kind of object."""

BROADER: dict[str, str] = {
    **dict.fromkeys(("car", "truck", "lorry", "bus", "van", "other vehicle"), "vehicle"),
}
"""A data set's word -> the broader one that a model may have instead."""

NEIGHBOURS: dict[str, str] = {
    "van": "car",
    "person sitting": "pedestrian",
    "other person": "pedestrian",
    "other vehicle": "car",
    "trailer": "truck",
}
"""A data set's word that a model has no label for -> a label whose detection there is not a
mistake. Sources: KITTI's object devkit (readme, 2012: neighbouring classes), BDD100K's toolkit
(ignore_mapping of its detection categories)."""


@dataclass(frozen=True)
class LabelMapping:
    """The words of a data set in a model's labels.

    Attributes:
        rows: word -> row of the model's labels.
        left_out: words that the model has no label for, sorted.
        ignored: word -> rows whose detections are not mistakes on its objects.
    """

    rows: dict[str, int]
    left_out: tuple[str, ...]
    ignored: dict[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def judged(self) -> tuple[int, ...]:
        """Rows of the labels that the data set can judge, ascending."""
        return tuple(sorted(set(self.rows.values())))

    def object(self, box: Box) -> int | None:
        """The row of a judged box; None of an ignored region and of a word without a row."""
        return None if box.ignored else self.rows.get(box.label)

    def regions(self, box: Box) -> tuple[int, ...]:
        """The rows that are not judged where a box lies; none where the box itself is judged."""
        if not box.ignored and box.label in self.rows:
            return ()
        return self.ignored.get(box.label, ())

    def only(self, judged: Iterable[int]) -> LabelMapping:
        """The mapping with only these rows."""
        kept = set(judged)
        rows = {word: row for word, row in self.rows.items() if row in kept}
        return replace(self, rows=rows)


def map_labels(
    words: Iterable[str], labels: Sequence[str], *, regions: Iterable[str] = ()
) -> LabelMapping:
    """Maps each word by SYNONYMS and BROADER. Where all words are numbers and no label is one, a
    number is a row. `regions` are words of regions that are not judged.

    Raises:
        UsageError: no word is a label of the model.
    """
    of_label = {_plain(label): row for row, label in enumerate(labels)}
    every = sorted(set(words))
    numbers = not any(label.strip().isdecimal() for label in labels)
    numbers = numbers and all(word.isdecimal() and len(word) < 10 for word in every)
    rows: dict[str, int] = {}
    left_out: list[str] = []
    for word in every:
        row = _row(word, of_label)
        if row is None and numbers and int(word) < len(labels):
            row = int(word)
        if row is None:
            left_out.append(word)
        else:
            rows[word] = row
    if not rows:
        raise UsageError(
            "the data set and the model have no label in common",
            expected=f"labels of the model: {_some(labels)}",
            found=_some(left_out) or "no labels",
            remedy="correct model.labels in the mission, or choose another data set: --data ROOT",
        )
    ignored: dict[str, tuple[int, ...]] = {}
    for word in {*left_out, *regions}:
        own = rows.get(word, _row(word, of_label))
        near = _row(NEIGHBOURS.get(_plain(word), ""), of_label)
        if word == ANY_LABEL:
            ignored[word] = tuple(range(len(labels)))
        elif own is not None or near is not None:
            ignored[word] = tuple(sorted({row for row in (own, near) if row is not None}))
    return LabelMapping(rows, tuple(left_out), dict(sorted(ignored.items())))


def _row(word: str, of_label: dict[str, int]) -> int | None:
    """The row of the label that is the word itself, a synonym or a broader word."""
    return next((of_label[same] for same in _candidates(_plain(word)) if same in of_label), None)


def _candidates(word: str) -> list[str]:
    alike = next((group for group in SYNONYMS if word in group), frozenset({word}))
    return [word, *sorted(alike - {word}), *sorted({BROADER[w] for w in alike if w in BROADER})]


def _plain(word: str) -> str:
    return " ".join(word.lower().replace("_", " ").replace("-", " ").split())


def _some(words: Sequence[str]) -> str:
    return ", ".join(words[:6]) + (f" and {len(words) - 6} more" if len(words) > 6 else "")
