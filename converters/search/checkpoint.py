"""Checkpoint of a search: task losses by digest of the candidate, so that an interrupted search
goes on where it stopped.

A file holds for one evaluator alone; the caller must keep it so. A damaged file counts as empty.
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
"""Interval between writes, and so the most that a killed process loses."""


class SearchCheckpoint:
    """Task losses in a file that is written every SAVE_EVERY_S."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known = _read(path)
        self._saved_at = time.monotonic()

    def get(self, candidate: str) -> float | None:
        """The task loss of the candidate with this sha256, if it was measured."""
        return self._known.get(candidate)

    def put(self, candidate: str, task_loss: float) -> None:
        """Adds a task loss; one that is not finite is dropped, to be measured again."""
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
