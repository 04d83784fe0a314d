"""One gate's verdict, and the one place where a figure is held against its limit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class GateResult:
    """One verdict. `passed` is None where the mission gives no limit.

    `artifact` is the file that must not be used when it failed; float.onnx stands for all, since
    the others are made from it.
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
    """A figure against a limit; NaN and what could not be measured fail."""
    if limit is None:
        return GateResult(name, artifact, None, "not gated", measured, None, sentence)
    text = f"{'<=' if bound == 'most' else '>='} {limit:g}"
    passed = measured is not None and (measured <= limit if bound == "most" else measured >= limit)
    return GateResult(name, artifact, limit, text, measured, passed, sentence)
