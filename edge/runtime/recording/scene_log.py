"""What the classification heads said over a run: how often each label, and when it changed.

Counts and tells; never decides. A scene that is not known is counted, and is no change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from edge.perception.values import Classified

NOT_KNOWN = "not known"


class SceneLog:
    """Feed it what the heads said of every perceived frame."""

    def __init__(self) -> None:
        self._frames: dict[str, Counter[str]] = {}
        self._last: dict[str, str] = {}

    def take(self, scene: Sequence[Classified]) -> Iterator[Classified]:
        """Counts one frame; yields what is another label than the last one known of that head."""
        for said in scene:
            self._frames.setdefault(said.head, Counter())[said.label or NOT_KNOWN] += 1
            if said.label is not None and said.label != self._last.get(said.head):
                self._last[said.head] = said.label
                yield said

    def to_json(self) -> dict[str, Any]:
        """By head: label -> frames, the most frequent first."""
        return {head: dict(counts.most_common()) for head, counts in self._frames.items()}
