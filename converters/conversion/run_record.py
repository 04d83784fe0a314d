"""Records of a conversion or a calibration for `runs/`: parameters, inputs, outputs, figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from calibration.ranges.ranges import NAME as RANGES
from converters.conversion.lockfile import NAME as LOCK
from converters.conversion.lockfile import Lock, read_convert_lock
from converters.conversion.ranges_only import CalibrationRecord
from converters.report.changes import Since, since_last
from converters.report.report import Report
from edge.contract.artifact import digest_file
from edge.contract.artifact_names import CPU, FLOAT, INT8
from edge.contract.mission.facts import mission_facts
from edge.contract.mission.schema import Mission
from edge.contract.run_record import Number, Run, RunRecord, environment


def convert_run(
    mission: Mission, report: Report, out: Path, *, started: str, seconds: float
) -> Run:
    """The record of a conversion that has just been written into `out`."""
    lock = read_convert_lock(out / LOCK)
    return Run(
        kind="convert",
        mission=mission.name,
        started=started,
        seconds=round(seconds, 1),
        passed=report.passed,
        parameters=dict(lock.inputs["mission"]),
        inputs=_inputs(lock),
        outputs=dict(lock.outputs),
        metrics=_metrics(report.payload()),
        gates=[asdict(gate) for gate in report.gates],
        environment={name: str(value) for name, value in lock.inputs["tools"].items()},
    )


def since_former(former: Sequence[RunRecord], lock: Lock, report: Report) -> Since | None:
    """Differences of `report`, made from the inputs in `lock`, to the last of `former`."""
    mine = [
        one for one in former if one.run.kind == "convert" and one.run.mission == report.mission
    ]
    return since_last(
        mine,
        parameters=lock.inputs["mission"],
        inputs=_inputs(lock),
        metrics=_metrics(report.payload()),
    )


def _inputs(lock: Lock) -> dict[str, str | None]:
    """Digests of a conversion's inputs."""
    return {
        "all": lock.digest,
        "source": lock.inputs["source"]["sha256"],
        "data version": lock.inputs["data"]["version"],
        "calibration frames": lock.inputs["data"]["calibration"],
        "held-back frames": lock.inputs["data"]["held_back"],
        "given ranges": lock.inputs["ranges"]["sha256"],
        "code": lock.inputs["code"]["sha256"],
    }


def _metrics(told: Mapping[str, Any]) -> dict[str, Number]:
    """Figures of a report by name, the most important first."""
    agreement, latency = told["agreement"], told["latency"]["stages"]
    figures: dict[str, Number] = {f"found {name}": agreement[name]["share"] for name in (INT8, CPU)}
    if agreement["condition"]:
        figures |= {
            f"condition {name}": agreement["condition"][name]["share"] for name in (INT8, CPU)
        }
    for output, evaluation in told["evaluation"].items():
        means = evaluation["ap50_mean"]
        figures |= {f"AP50 {output} {name}": value for name, value in means.items()}
    figures |= {
        f"MACs in INT8 {name}": told["artifacts"][name]["macs_int8_share"] for name in (INT8, CPU)
    }
    for name in (FLOAT, CPU):
        figures[f"median ms {name}"] = latency[name]["all"]["median_ms"]
    for name, file in told["artifacts"].items():
        if name.endswith(".onnx"):
            figures[f"MB {name}"] = file["size"] / 1e6
    figures["parity max abs"] = told["parity"]["source -> float.onnx"]["max_abs"]
    figures["calibration frames"] = len(told["calibration"]["frames"])
    figures["peak memory MB"] = told["peak_memory_mb"]
    return figures


def calibrate_run(mission: Mission, record: CalibrationRecord, out: Path, *, started: str) -> Run:
    """The record of a calibration that has just been written into `out`."""
    told = record.to_json()
    return Run(
        kind="calibrate",
        mission=mission.name,
        started=started,
        seconds=round(told["seconds"], 1),
        passed=None,
        parameters=mission_facts(mission),
        inputs={FLOAT: told["model_sha256"], "frames": told["data"]},
        outputs={RANGES: digest_file(out / RANGES)},
        metrics={
            "frames": len(told["sampling"]["frames"]),
            "tensors": told["tensors"],
            "settled": int(told["sampling"]["settled"]),
            "peak memory MB": told["peak_memory_mb"],
        },
        environment={**environment(), "runner": told["runner"]},
    )
