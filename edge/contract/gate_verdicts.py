"""Requires that the gates of a conversion hold for one of its files.

The report and the mission go in; a refusal comes out where a gate failed or a verdict is missing:
never passes by absence. An unsigned report proves only that it and its files belong together:
anyone who may write the folder may also replace the report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edge.contract.artifact_names import CPU, FLOAT, INT8
from edge.contract.mission.schema import Mission
from edge.contract.mission.sections.conversion import Gates, Int8Shares
from firmware_bridge.errors import GateFailed, NotTrusted

"""Its gates apply to every artifact: the others are derived from it."""

SHORT: Mapping[str, str] = {INT8: "int8", CPU: "cpu"}
"""Artifact -> the word for it in names of gates."""

ALWAYS: Mapping[str, Sequence[str]] = {
    FLOAT: ("parity_max_abs",),
    INT8: ("found_min int8", "size_max_mb", "macs_int8_min int8", "accuracy_min int8"),
    CPU: ("found_min cpu", "macs_int8_min cpu", "accuracy_min cpu"),
}
"""Artifact -> gates of which every report has a row, with a limit or without."""


def declared_gates(gates: Gates, artifact: str, *, condition: bool) -> list[str]:
    """Names of the gates for which a mission sets a limit for an artifact.

    Args:
        condition: whether the network has a condition head.
    """
    if artifact == FLOAT:
        return ["parity_max_abs"]
    short = SHORT[artifact]
    shares = gates.macs_int8_min
    share = getattr(shares, short) if isinstance(shares, Int8Shares) else shares
    found = {
        f"found_min {short}": gates.found_min,
        f"condition_agree_min {short}": gates.condition_agree_min if condition else None,
        f"macs_int8_min {short}": share,
        f"accuracy_min {short}": gates.accuracy_min,
        f"accuracy_drop_max {short}": gates.accuracy_drop_max,
        f"worst_condition_min {short}": gates.worst_condition_min,
        **{f"class_accuracy_min {short}: {name}": 1 for name in gates.class_accuracy_min},
        **{f"condition_accuracy_min {short}: {name}": 1 for name in gates.condition_accuracy_min},
    }
    if artifact == INT8:
        found["size_max_mb"] = gates.size_max_mb
    else:
        found["infer_p99_max_ms cpu"] = None if gates.infer_p99_max_ms is None else 1
    return [name for name, limit in found.items() if limit is not None]


def require_gates(
    report: Mapping[str, Any],
    folder: Path,
    artifacts: Sequence[str],
    *,
    mission: Mission | None,
    remedy: str,
) -> None:
    """Raises unless every gate of these artifacts holds.

    Args:
        mission: the report must have a verdict for each of its limits; None checks the report only.
        remedy: what to do where a gate failed.

    Raises:
        GateFailed: a gate failed.
        NotTrusted: a verdict is missing or invalid.
    """
    rows = _rows(report, folder)
    mine = [row for row in rows if row["artifact"] in artifacts]
    if failed := [row for row in mine if row["passed"] is False]:
        raise GateFailed(
            f"{artifacts[0]} in {folder} failed its gates",
            expected="; ".join(f"{row['name']} {row['limit_text']}" for row in failed),
            found="; ".join(row["sentence"] for row in failed),
            remedy=f"{remedy}; details in {folder / 'report.json'}",
        )
    verdicts = {(row["artifact"], row["name"]): row["passed"] for row in mine}
    missing = [name for one in artifacts for name in ALWAYS[one] if (one, name) not in verdicts]
    if mission is not None:
        condition = mission.model.condition is not None
        missing += [
            f"{name} (the mission gives a limit, the report judged by none)"
            for one in artifacts
            for name in declared_gates(mission.gates, one, condition=condition)
            if name not in missing and verdicts.get((one, name)) is not True
        ]
    if missing:
        raise NotTrusted(
            f"{folder / 'report.json'} does not say that the gates hold",
            expected=f"a verdict of every gate of {' and '.join(artifacts)}",
            found=f"none of {', '.join(missing)}",
            remedy=f"convert again: brakepoint convert MISSION --out {folder}",
        )


def _rows(report: Mapping[str, Any], folder: Path) -> list[Mapping[str, Any]]:
    """The report's gates, with valid verdicts: a passed gate has a limit and a figure.

    Raises:
        KeyError, TypeError: the report is not whole; the caller turns that into a message.
        NotTrusted: a verdict contradicts its row.
    """
    rows: list[Mapping[str, Any]] = list(report["gates"])
    for row in rows:
        passed, texts = row["passed"], (row["artifact"], row["limit_text"], row["sentence"])
        if not all(isinstance(text, str) for text in (row["name"], *texts)):
            raise TypeError("a gate's name and sentence are texts")
        if passed is None or passed is False:
            continue
        if passed is not True or not (_is_number(row["limit"]) and _is_number(row["measured"])):
            raise NotTrusted(
                f"{folder / 'report.json'} has a verdict without its figures",
                expected="a limit and a measured figure of every gate that passed",
                found=f"{row['name']}: passed {passed!r}, measured {row['measured']!r}",
                remedy=f"convert again: brakepoint convert MISSION --out {folder}",
            )
    return rows


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
