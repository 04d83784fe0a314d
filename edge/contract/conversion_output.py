"""Chooses the model to run in the folder of a conversion; checks its report, gates and digest.

A folder, a mission and a precision go in; the path of an ONNX file comes out. Never falls back to
another precision or file: a refusal says what is missing and what to do.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from edge.contract.artifact import digest_file, read_json
from edge.contract.artifact_names import CPU, FLOAT
from edge.contract.gate_verdicts import require_gates
from edge.contract.mission.digest import contract_digest
from edge.contract.mission.schema import Mission
from firmware_bridge.errors import NotTrusted

REPORT_SCHEMA = "brakepoint.report/2"

# On a CPU the unsigned affine form of the same ranges: int8.onnx is for TensorRT, and slow here.
MODEL_FILES: dict[tuple[str, str], str] = {
    ("onnxruntime", "float"): FLOAT,
    ("onnxruntime", "int8"): CPU,
}
"""(backend, precision) -> artifact."""


def choose_model(folder: Path, mission: Mission, precision: Literal["float", "int8"]) -> Path:
    """The model file in `folder` for the mission's backend at this precision.

    Raises:
        Missing: `folder` holds no report or not the file.
        NotTrusted: converted for another mission, changed since its gates were measured, or without
            a verdict of every gate for which the mission sets a limit.
        GateFailed: its gates failed.
    """
    name = MODEL_FILES[mission.target.backend, precision]
    report = _report(folder, mission)
    with _complete_report(folder, name):
        require_gates(
            report,
            folder,
            (name, FLOAT) if name != FLOAT else (FLOAT,),
            mission=mission,
            remedy="mend the model or the calibration and convert again"
            + (", or run --precision float" if precision == "int8" else ""),
        )
    return judged_file(folder, mission, name)


def judged_file(folder: Path, mission: Mission, name: str) -> Path:
    """An artifact in `folder` for inspection: unchanged since its gates, passed or failed.

    Raises Missing and NotTrusted as `choose_model` does.
    """
    report = _report(folder, mission)
    with _complete_report(folder, name):
        _unchanged(report, name, folder)
    return folder / name


def _report(folder: Path, mission: Mission) -> dict[str, Any]:
    report = read_json(folder / "report.json", REPORT_SCHEMA)
    wanted = contract_digest(mission.model)
    if report.get("contract") != wanted:
        raise NotTrusted(
            f"{folder} was not converted for this mission",
            expected=f"input, preprocess, decoder and labels of {mission.name} ({wanted[:12]})",
            found=f"those of {report.get('mission')} ({str(report.get('contract'))[:12]})",
            remedy=f"convert again: brakepoint convert MISSION --out {folder}",
        )
    return report


@contextlib.contextmanager
def _complete_report(folder: Path, name: str) -> Iterator[None]:
    """Turn errors from a damaged report into one message."""
    try:
        yield
    except (KeyError, TypeError) as error:
        raise NotTrusted(
            f"{folder / 'report.json'} is not whole",
            expected=f"a report of schema {REPORT_SCHEMA} that judges {name}",
            found=f"{type(error).__name__}: {error}",
            remedy=f"convert again: brakepoint convert MISSION --out {folder}",
        ) from error


def _unchanged(report: dict[str, Any], name: str, folder: Path) -> None:
    recorded = report["artifacts"][name]["sha256"]
    found = digest_file(folder / name)
    if found != recorded:
        raise NotTrusted(
            f"{folder / name} is not the file that was judged",
            expected=f"sha256 {recorded}",
            found=f"sha256 {found}",
            remedy=f"convert again: brakepoint convert MISSION --out {folder}",
        )
