"""The gates of a conversion: one table, and a verdict and a sentence for each.

Takes the mission's limits and the measured figures; returns a `GateResult` each. A gate whose
figure could not be measured fails; one without a limit in the mission is "not gated".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from converters.verification.agreement.agreement import SCORE_MIN, Agreement
from converters.verification.gates.accuracy import accuracy_gates
from converters.verification.gates.result import GateResult, judge_limit
from converters.verification.labelled_accuracy import Accuracy
from edge.contract.artifact_names import CPU, FLOAT, INT8
from edge.contract.mission.sections.conversion import Gates, Int8Shares
from edge.contract.mission.sections.device import Budget

MOST_NAMED = 3
"""How many operators a sentence names."""


@dataclass(frozen=True)
class Measurements:
    """The figures that gates judge.

    Attributes:
        parity_max_abs: largest difference of source and float.onnx.
        found: by artifact, of the main output.
        condition: by artifact, of the condition head; empty where there is none.
        classifies: whether the main output is a classifier's.
        size_mb: of int8.onnx, 10^6 bytes.
        held_back: how many held-back frames.
        macs_int8_share: by artifact, share of multiplications in INT8, 0..1; None where there are
            none.
        without_int8: operators that multiply and have no INT8 form -> their multiplications.
        infer_p99_ms: of cpu.onnx, over `timed_frames` by `backend`, on the machine that converts.
        accuracy: against labels, where a gate asks for it.
    """

    parity_max_abs: float
    found: dict[str, Agreement]
    condition: dict[str, Agreement]
    classifies: bool
    size_mb: float
    held_back: int
    macs_int8_share: dict[str, float | None]
    without_int8: dict[str, int]
    infer_p99_ms: float
    timed_frames: int
    backend: str
    accuracy: Accuracy


@dataclass(frozen=True)
class Gate:
    """One row of the table; `of_condition` where it judges the condition head."""

    name: str
    artifact: str
    limit: Callable[[Gates], float | None]
    measure: Callable[[Measurements], float | None]
    bound: Literal["least", "most"]
    say: Callable[[Measurements], str]
    of_condition: bool = False


def _found_sentence(name: str) -> Callable[[Measurements], str]:
    def say(seen: Measurements) -> str:
        found = seen.found[name]
        if seen.classifies:
            return _agrees(name, found, "label")
        if found.iou is not None:
            same = 100 * found.found / found.of
            return (
                f"{name}'s labels of pixels have a mean IoU of {found.iou:.3f} with float's "
                f"({same:.1f} % of pixels the same) in {seen.held_back} held-back frames"
                + _broken(found)
            )
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


def _condition_sentence(name: str) -> Callable[[Measurements], str]:
    return lambda seen: _agrees(name, seen.condition[name], "condition")


def _agrees(name: str, found: Agreement, what: str) -> str:
    if found.share is None:
        return f"float.onnx puts out no {what} that can be read, so how {name} agrees is unknown"
    return (
        f"{name} and float name the same likeliest {what} in {found.found} of {found.of} "
        f"held-back frames ({100 * found.share:.1f} %){_broken(found)}"
    )


def _broken(found: Agreement) -> str:
    if not found.unreadable_frames:
        return ""
    return f"; its output cannot be decoded in {found.unreadable_frames} frames"


def _condition_share(name: str) -> Callable[[Measurements], float | None]:
    return lambda seen: seen.condition[name].share


def _least_int8(gates: Gates, name: str) -> float | None:
    limit = gates.macs_int8_min
    if isinstance(limit, Int8Shares):
        return limit.int8 if name == INT8 else limit.cpu
    return limit


WHO = {INT8: "by TensorRT's rules", CPU: "as onnxruntime runs it here"}
"""Artifact -> what computes its INT8 operators, in words."""


def _int8_sentence(name: str) -> Callable[[Measurements], str]:
    def say(seen: Measurements) -> str:
        share = seen.macs_int8_share[name]
        if share is None:
            return f"{name} has no multiplications"
        told = f"{100 * share:.1f} % of the multiplications of {name} are INT8 {WHO[name]}"
        if not seen.without_int8:
            return told
        return f"{told}; those of {_named(seen.without_int8)} have no INT8 form"

    return say


def _named(operators: Mapping[str, int]) -> str:
    """Names of the operators, those with the most multiplications first."""
    names = sorted(operators, key=lambda name: -operators[name])
    more = f" and {len(names) - MOST_NAMED} others" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


GATES: tuple[Gate, ...] = (
    Gate(
        "parity_max_abs",
        FLOAT,
        lambda gates: gates.parity_max_abs,
        lambda seen: seen.parity_max_abs,
        "most",
        lambda seen: f"float.onnx differs from its source by at most {seen.parity_max_abs:.3g}",
    ),
    Gate(
        "found_min int8",
        INT8,
        lambda gates: gates.found_min,
        lambda seen: seen.found[INT8].share,
        "least",
        _found_sentence(INT8),
    ),
    Gate(
        "found_min cpu",
        CPU,
        lambda gates: gates.found_min,
        lambda seen: seen.found[CPU].share,
        "least",
        _found_sentence(CPU),
    ),
    Gate(
        "condition_agree_min int8",
        INT8,
        lambda gates: gates.condition_agree_min,
        _condition_share(INT8),
        "least",
        _condition_sentence(INT8),
        of_condition=True,
    ),
    Gate(
        "condition_agree_min cpu",
        CPU,
        lambda gates: gates.condition_agree_min,
        _condition_share(CPU),
        "least",
        _condition_sentence(CPU),
        of_condition=True,
    ),
    Gate(
        "size_max_mb",
        INT8,
        lambda gates: gates.size_max_mb,
        lambda seen: seen.size_mb,
        "most",
        lambda seen: f"int8.onnx has {seen.size_mb:.2f} MB",
    ),
    Gate(
        "macs_int8_min int8",
        INT8,
        lambda gates: _least_int8(gates, INT8),
        lambda seen: seen.macs_int8_share[INT8],
        "least",
        _int8_sentence(INT8),
    ),
    Gate(
        "macs_int8_min cpu",
        CPU,
        lambda gates: _least_int8(gates, CPU),
        lambda seen: seen.macs_int8_share[CPU],
        "least",
        _int8_sentence(CPU),
    ),
)


def judge_gates(limits: Gates, seen: Measurements, *, budget: Budget) -> tuple[GateResult, ...]:
    """Verdicts of every gate of GATES that applies to the network, in order, then of those on
    accuracy."""
    results = []
    for gate in GATES:
        if gate.of_condition and not seen.condition:
            continue
        results.append(
            judge_limit(
                gate.name,
                gate.artifact,
                gate.limit(limits),
                measured=gate.measure(seen),
                bound=gate.bound,
                sentence=gate.say(seen),
            )
        )
    if limits.infer_p99_max_ms is not None:  # else a report would differ from run to run
        results.append(_latency(limits.infer_p99_max_ms, seen, budget))
    return (*results, *accuracy_gates(limits, seen.accuracy))


def _latency(asked: float | Literal["budget"], seen: Measurements, budget: Budget) -> GateResult:
    limit = budget.infer_ms if asked == "budget" else asked
    where = f"of {seen.timed_frames} frames on this machine, {seen.backend}"
    return judge_limit(
        "infer_p99_max_ms cpu",
        CPU,
        limit,
        measured=seen.infer_p99_ms,
        bound="most",
        sentence=f"cpu.onnx takes {seen.infer_p99_ms:.1f} ms for one inference at the 99th "
        f"percentile {where}",
    )
