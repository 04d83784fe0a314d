"""The verdict of one gate, and the one place where a figure is compared with its limit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class GateResult:
    """One verdict.

    Attributes:
        artifact: the file that must not be used where the gate failed; float.onnx stands for all,
            since the others are made from it.
        passed: None where the mission gives no limit.
    """

    name: str
    artifact: str
    limit: float | None
    limit_text: str
    measured: float | None
    passed: bool | None
    sentence: str


def judge_limit(
    name: str,
    artifact: str,
    limit: float | None,
    *,
    measured: float | None,
    bound: Literal["least", "most"],
    sentence: str,
) -> GateResult:
    """Compares a figure with its limit. NaN, and None for a figure that is unknown, fail."""
    if limit is None:
        return GateResult(name, artifact, None, "not gated", measured, None, sentence)
    text = f"{'<=' if bound == 'most' else '>='} {limit:g}"
    passed = measured is not None and (measured <= limit if bound == "most" else measured >= limit)
    return GateResult(name, artifact, limit, text, measured, passed, sentence)
