"""Task loss that was measured before a search was interrupted, by the digest of the candidate: the
longest part of a conversion goes on where it stopped.

Valid for one judge alone: whoever opens a file sees to that. A damaged file is as good as none.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

from edge.contract.artifact import digest_json, write_json
from edge.contract.json_text import parse_json

SCHEMA = "brakepoint.task-losses/1"
NAME = "task_losses.json"

SAVE_EVERY_S = 2.0
"""What a killed process loses at most, and how seldom the file is written."""


class SearchCheckpoint:
    """Task loss in a file, written now and then."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known = _read(path)
        self._saved_at = time.monotonic()

    def get(self, candidate: str) -> float | None:
        """The task loss of the candidate with this sha256, if it was measured."""
        return self._known.get(candidate)

    def put(self, candidate: str, task_loss: float) -> None:
        """Keeps what was measured; what is no number is measured again."""
        if math.isfinite(task_loss):
            self._known[candidate] = task_loss
        if time.monotonic() - self._saved_at >= SAVE_EVERY_S:
            known = {"sha256": digest_json(self._known), "task_losses": self._known}
            write_json(self._path, SCHEMA, known)
            self._saved_at = time.monotonic()


def _read(path: Path) -> dict[str, float]:
    try:
        document: Any = parse_json(path.read_bytes())
        known: dict[str, float] = document["task_losses"]
        if document["schema"] == SCHEMA and document["sha256"] == digest_json(known):
            return known
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return {}
