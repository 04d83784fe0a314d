"""What sentences on the page are made of: facts of a report, and lists in words.

Reads the report's own figures; measures and advises nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from edge.contract.artifact_names import FLOAT

Document = Mapping[str, Any]
"""A report.json."""

Gate = Mapping[str, Any]
"""One of its gates."""


def answers(evaluation: Mapping[str, Any], name: str) -> tuple[int, int]:
    """Found and of over all frames, for one network."""
    rows = [row["networks"][name] for row in evaluation["by_condition"]["weather"]]
    return sum(row["found"] for row in rows), sum(row["of"] for row in rows)


def float_failed(failed: Sequence[Gate]) -> bool:
    """Whether a failed gate is of float.onnx, of which all others are made."""
    return any(gate["artifact"] == FLOAT for gate in failed)


def listed(words: Iterable[str]) -> str:
    """ "a", "a and b", "a, b and c", each once."""
    once = list(dict.fromkeys(words))
    return " and ".join([", ".join(once[:-1]), once[-1]] if len(once) > 1 else once)
