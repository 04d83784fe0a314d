"""Which label of a model a data set's word means: the same word, a synonym, or a broader one.

A word that no row of the table carries to one of the model's labels is left out and told, never
guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from firmware_bridge.errors import UsageError

SYNONYMS: tuple[frozenset[str], ...] = (
    frozenset({"person", "pedestrian", "people"}),
    frozenset({"motorcycle", "motorbike", "motor"}),
    frozenset({"bicycle", "bike"}),
    frozenset({"truck", "lorry"}),
    frozenset({"traffic sign", "sign"}),
)
"""Words of COCO, VOC, BDD100K and DAWN for one kind of thing."""

BROADER: dict[str, str] = {
    **dict.fromkeys(("car", "truck", "lorry", "bus", "van"), "vehicle"),
}
"""A data set's word -> the broader one that a model may have instead."""


@dataclass(frozen=True)
class Naming:
    """The words of a data set in a model's labels.

    Attributes:
        rows: word -> row of the model's labels.
        left_out: words that the model has no label for, sorted.
    """

    rows: dict[str, int]
    left_out: tuple[str, ...]

    @property
    def judged(self) -> tuple[int, ...]:
        """Rows of the labels that the data set can judge, ascending."""
        return tuple(sorted(set(self.rows.values())))


def named(words: Iterable[str], labels: Sequence[str]) -> Naming:
    """Each word by SYNONYMS and BROADER; a number is a row where no label is a number.

    Raises:
        UsageError: not one word is a label of the model.
    """
    of_label = {_plain(label): row for row, label in enumerate(labels)}
    numbers = not any(label.strip().isdecimal() for label in labels)
    rows: dict[str, int] = {}
    left_out: list[str] = []
    for word in sorted(set(words)):
        row = next((of_label[same] for same in _candidates(_plain(word)) if same in of_label), None)
        if row is None and numbers and word.isdecimal() and int(word) < len(labels):
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
    return Naming(rows, tuple(left_out))


def _candidates(word: str) -> list[str]:
    alike = next((group for group in SYNONYMS if word in group), frozenset({word}))
    return [word, *sorted(alike - {word}), *sorted({BROADER[w] for w in alike if w in BROADER})]


def _plain(word: str) -> str:
    return " ".join(word.lower().replace("_", " ").replace("-", " ").split())


def _some(words: Sequence[str]) -> str:
    return ", ".join(words[:6]) + (f" and {len(words) - 6} more" if len(words) > 6 else "")
