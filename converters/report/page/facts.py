"""Facts of a report that several sentences on the page use, and lists as words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from edge.contract.artifact_names import FLOAT

Document = Mapping[str, Any]
"""A report.json."""

Gate = Mapping[str, Any]
"""One of its gates."""


def answers(evaluation: Mapping[str, Any], name: str) -> tuple[int, int]:
    """(found, of) over all frames, for one network."""
    rows = [row["networks"][name] for row in evaluation["by_condition"]["weather"]]
    return sum(row["found"] for row in rows), sum(row["of"] for row in rows)


def float_failed(failed: Sequence[Gate]) -> bool:
    """Whether a failed gate concerns float.onnx, from which all other files are made."""
    return any(gate["artifact"] == FLOAT for gate in failed)


def listed(words: Iterable[str]) -> str:
    """ "a", "a and b", "a, b and c", each once."""
    once = list(dict.fromkeys(words))
    return " and ".join([", ".join(once[:-1]), once[-1]] if len(once) > 1 else once)
