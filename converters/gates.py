"""The limits a conversion must keep: one table, a verdict and a sentence for each.

A gate whose figure could not be measured fails; one the mission does not give is "not gated".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from converters.agreement import CPU, FLOAT, INT8, SCORE_MIN, Found
from edge.contract.mission import Gates


@dataclass(frozen=True)
class Measured:
    """The figures that gates look at.

    Attributes:
        parity_max_abs: largest difference of source and float.onnx.
        found: by artifact, of the main output.
        condition: by artifact, of the condition head; empty where there is none.
        classifies: the main output is a classifier's.
        size_mb: of int8.onnx, 10^6 bytes.
        held_back: frames judged on.
    """

    parity_max_abs: float
    found: dict[str, Found]
    condition: dict[str, Found]
    classifies: bool
    size_mb: float
    held_back: int


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


@dataclass(frozen=True)
class Gate:
    """One row of the table: `sign` -1 for a largest allowed value, 1 for a least; `of_condition`
    where it judges the condition head."""

    name: str
    artifact: str
    limit: Callable[[Gates], float | None]
    measure: Callable[[Measured], float | None]
    sign: int
    say: Callable[[Measured], str]
    of_condition: bool = False


def _found_sentence(name: str) -> Callable[[Measured], str]:
    def say(seen: Measured) -> str:
        found = seen.found[name]
        if seen.classifies:
            return _agrees(name, found, "label")
        if found.share is None:
            return (
                f"float.onnx finds nothing with score >= {SCORE_MIN} in the {seen.held_back} "
                f"held-back frames, so what {name} finds of it is unknown"
            )
        return (
            f"{name} finds {found.found} of float's {found.of} detections "
            f"({100 * found.share:.1f} %) in {seen.held_back} held-back frames{_broken(found)}"
        )

    return say


def _condition_sentence(name: str) -> Callable[[Measured], str]:
    return lambda seen: _agrees(name, seen.condition[name], "condition")


def _agrees(name: str, found: Found, what: str) -> str:
    if found.share is None:
        return f"float.onnx puts out no {what} that can be read, so how {name} agrees is unknown"
    return (
        f"{name} and float name the same likeliest {what} in {found.found} of {found.of} "
        f"held-back frames ({100 * found.share:.1f} %){_broken(found)}"
    )


def _broken(found: Found) -> str:
    if not found.unreadable_frames:
        return ""
    return f"; its output cannot be decoded in {found.unreadable_frames} frames"


def _condition_share(name: str) -> Callable[[Measured], float | None]:
    return lambda seen: seen.condition[name].share


GATES: tuple[Gate, ...] = (
    Gate(
        "parity_max_abs",
        FLOAT,
        lambda gates: gates.parity_max_abs,
        lambda seen: seen.parity_max_abs,
        -1,
        lambda seen: f"float.onnx differs from its source by at most {seen.parity_max_abs:.3g}",
    ),
    Gate(
        "found_min int8",
        INT8,
        lambda gates: gates.found_min,
        lambda seen: seen.found[INT8].share,
        1,
        _found_sentence(INT8),
    ),
    Gate(
        "found_min cpu",
        CPU,
        lambda gates: gates.found_min,
        lambda seen: seen.found[CPU].share,
        1,
        _found_sentence(CPU),
    ),
    Gate(
        "condition_agree_min int8",
        INT8,
        lambda gates: gates.condition_agree_min,
        _condition_share(INT8),
        1,
        _condition_sentence(INT8),
        of_condition=True,
    ),
    Gate(
        "condition_agree_min cpu",
        CPU,
        lambda gates: gates.condition_agree_min,
        _condition_share(CPU),
        1,
        _condition_sentence(CPU),
        of_condition=True,
    ),
    Gate(
        "size_max_mb",
        INT8,
        lambda gates: gates.size_max_mb,
        lambda seen: seen.size_mb,
        -1,
        lambda seen: f"int8.onnx has {seen.size_mb:.2f} MB",
    ),
)


def judge_gates(limits: Gates, seen: Measured) -> tuple[GateResult, ...]:
    """The verdict of every gate of GATES that the network has something for, in order."""
    results = []
    for gate in GATES:
        if gate.of_condition and not seen.condition:
            continue
        limit, measured = gate.limit(limits), gate.measure(seen)
        passed = None
        text = "not gated"
        if limit is not None:
            text = f"{'<=' if gate.sign < 0 else '>='} {limit:g}"
            # NaN and what could not be measured fail: neither comparison holds.
            passed = measured is not None and (
                measured <= limit if gate.sign < 0 else measured >= limit
            )
        results.append(
            GateResult(gate.name, gate.artifact, limit, text, measured, passed, gate.say(seen))
        )
    return tuple(results)
