"""Counts over a run the answers of the classification heads, and finds their changes.

In: the answers for every perceived frame. Out: frames by head and label, and each answer with a new
label. A scene that is not known is counted and is no change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from edge.perception.values import Classification

NOT_KNOWN = "not known"


class SceneLog:
    """The answers of the heads over one run."""

    def __init__(self) -> None:
        self._frames: dict[str, Counter[str]] = {}
        self._last: dict[str, str] = {}

    def add(self, scene: Sequence[Classification]) -> Iterator[Classification]:
        """Counts one frame; yields the answers whose label differs from the head's last known."""
        for answer in scene:
            self._frames.setdefault(answer.head, Counter())[answer.label or NOT_KNOWN] += 1
            if answer.label is not None and answer.label != self._last.get(answer.head):
                self._last[answer.head] = answer.label
                yield answer

    def to_json(self) -> dict[str, Any]:
        """Head -> label -> number of frames, the most frequent first."""
        return {head: dict(counts.most_common()) for head, counts in self._frames.items()}
