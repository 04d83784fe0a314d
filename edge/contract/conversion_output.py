"""Chooses the ONNX file to run in the folder of a conversion; checks report, gates and digest.

A folder, a mission and a precision go in; the path of an ONNX file, or the report by which an
engine is judged, comes out. Never falls back to another precision or file: a refusal says what is
missing and what to do.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from edge.contract.artifact import digest_file, read_json
from edge.contract.artifact_names import CPU, FLOAT, INT8
from edge.contract.gate_verdicts import require_gates
from edge.contract.mission.digest import contract_digest
from edge.contract.mission.schema import Mission
from firmware_bridge.errors import NotTrusted, UsageError

REPORT_SCHEMA = "brakepoint.report/2"

Precision = Literal["float", "int8"]

# On a CPU the unsigned affine form of the same ranges: int8.onnx is for TensorRT, and slow here.
# Engines are built from int8.onnx or from what computes the same; in float none is built.
JUDGED_BY: dict[tuple[str, Precision], str] = {
    ("onnxruntime", "float"): FLOAT,
    ("onnxruntime", "int8"): CPU,
    ("tensorrt", "int8"): INT8,
    ("rtx", "int8"): INT8,
}
"""(backend, precision) -> the artifact whose gates count."""


def choose_model(folder: Path, mission: Mission, precision: Precision) -> Path:
    """The ONNX file in `folder` that onnxruntime runs at this precision.

    Raises: as `require_judged`; NotTrusted also where the file has changed since its gates.
    """
    name = JUDGED_BY["onnxruntime", precision]
    require_judged(folder, mission, "onnxruntime", precision)
    return judged_file(folder, mission, name)


def require_judged(
    folder: Path, mission: Mission, backend: str, precision: Precision
) -> dict[str, Any]:
    """The report of the conversion in `folder`, whose gates hold for this backend and precision.

    Raises:
        Missing: `folder` holds no report.
        NotTrusted: converted for another mission, or without a verdict of every gate for which the
            mission sets a limit.
        GateFailed: its gates failed.
        UsageError: the backend has no such precision.
    """
    name = JUDGED_BY.get((backend, precision))
    if name is None:
        raise UsageError(
            f"{backend} runs no network in {precision}",
            expected=f"--precision int8: engines for {backend} are built from INT8 networks",
            found=f"--precision {precision}",
            remedy=f"run --backend {backend} --precision int8, or --backend onnxruntime",
        )
    report = judged_report(folder, mission)
    with _complete_report(folder, name):
        require_gates(
            report,
            folder,
            (name, FLOAT) if name != FLOAT else (FLOAT,),
            mission=mission,
            remedy="mend the model or the calibration and convert again"
            + (", or run --precision float" if name == CPU else ""),
        )
    return report


def judged_file(folder: Path, mission: Mission, name: str) -> Path:
    """An artifact in `folder` for inspection: unchanged since its gates, passed or failed.

    Raises Missing and NotTrusted as `choose_model` does.
    """
    report = judged_report(folder, mission)
    with _complete_report(folder, name):
        _unchanged(report, name, folder)
    return folder / name


def file_if_made(folder: Path, mission: Mission, name: str) -> Path | None:
    """An artifact that not every conversion has, unchanged since it was written; None where the
    report has none of that name.

    Raises Missing and NotTrusted as `choose_model` does.
    """
    report = judged_report(folder, mission)
    with _complete_report(folder, name):
        if name not in report["artifacts"]:
            return None
        _unchanged(report, name, folder)
    return folder / name


def judged_report(folder: Path, mission: Mission) -> dict[str, Any]:
    """The report in `folder`, converted for this mission; its gates may have failed.

    Raises Missing and NotTrusted as `require_judged` does.
    """
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
