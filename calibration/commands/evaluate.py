"""The verb `evaluate`: options, files and printing; `evaluate_networks` does the work."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import typer

from calibration.commands.evaluation_tables import show
from calibration.dask_cluster import connect
from calibration.evaluation.corruptions import SEVERITIES
from calibration.evaluation.data.evaluation_set import choose_frames
from calibration.evaluation.evaluate import SCHEMA, evaluation_bytes
from calibration.evaluation.evaluate_networks import Evaluations, evaluate_networks
from calibration.evaluation.predictions.networks import Network
from calibration.evaluation.robustness import (
    PictureCorruption,
    parse_corruptions,
)
from calibration.evaluation.run_record import evaluate_run
from calibration.evaluation.worst_frames import page_of
from calibration.inference.onnx_bounds import check_unconverted
from calibration.inference.sessions import Kernels
from calibration.tracking.record_run import record
from edge.commands.options import JsonOption, MissionArgument, SetOption
from edge.contract.artifact import require_folder, write_atomic
from edge.contract.artifact_names import CPU, FLOAT, INT8
from edge.contract.conversion_output import judged_file
from edge.contract.mission.loading import load_mission
from edge.contract.mission.schema import Mission
from edge.contract.run_record import now
from edge.progress import Advance, progress_bar
from edge.terminal import echo, new_console
from firmware_bridge.errors import Missing, UsageError

Precision = Literal["float", "int8", "tensorrt", "both"]

ARTIFACTS: dict[str, tuple[str, Kernels]] = {
    "float": (FLOAT, "as_written"),
    "int8": (CPU, "fused"),
    "tensorrt": (INT8, "as_written"),
}
"""Precision -> file of a conversion and how it runs: as on the device's CPU, or step by step as the
numeric reference of TensorRT."""

GIVEN = "as given"
EVERY_SEVERITY = ",".join(map(str, SEVERITIES))


def evaluate(
    mission: MissionArgument,
    *,
    converted: Annotated[
        Path | None, typer.Option("--from", metavar="DIR", help="folder that `convert` wrote")
    ] = None,
    model: Annotated[
        Path | None, typer.Option("--model", metavar="FILE", help="an ONNX file instead")
    ] = None,
    precision: Annotated[
        Precision,
        typer.Option(help="int8: cpu.onnx; tensorrt: int8.onnx, its reference; both: float, int8"),
    ] = "float",
    data: Annotated[
        str | None,
        typer.Option(metavar="ROOT_OR_LOCK", help="labelled data set; default: the mission's"),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(help="part of it, or all; default: data.split's test, else all but train"),
    ] = None,
    labels: Annotated[
        str | None, typer.Option(metavar="A,B", help="judge these labels alone")
    ] = None,
    scenes: Annotated[int, typer.Option(metavar="N", help="how many generated scenes")] = 200,
    folds: Annotated[
        int | None, typer.Option(metavar="K", help="spread of the figures over K parts")
    ] = None,
    asked: Annotated[
        str | None,
        typer.Option("--corruptions", metavar="A,B", help="the score's fall under these, or all"),
    ] = None,
    severities: Annotated[
        str, typer.Option(metavar="1,3,5", help="how badly; with --corruptions")
    ] = EVERY_SEVERITY,
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="evaluate on this Dask cluster")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(metavar="N", help="evaluate in N processes of this machine")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="write JSON and the worst frames there"),
    ] = None,
    set_: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Evaluate a network on labelled frames: overall, by class, by condition, with intervals."""
    if out is not None:
        require_folder(out)
    started, began = now(), time.monotonic()
    loaded = load_mission(mission, set_ or [])
    networks = _networks(loaded, converted, model, precision)
    frames = choose_frames(
        loaded,
        data=data,
        split=split,
        scene_count=scenes,
        only=[one.strip() for one in labels.split(",")] if labels else (),
    )
    changes = _changes(asked, severities)
    with progress_bar() as advance, contextlib.ExitStack() as stack:
        client = None
        if scheduler is not None or workers is not None:
            client = stack.enter_context(connect(scheduler, workers))
        evaluations = evaluate_networks(
            networks, loaded, frames, folds=folds, changes=changes, client=client, progress=advance
        )
        files = {} if out is None else _files_of(evaluations, out, progress=advance)
    for path, content in files.items():
        write_atomic(path, content)
    for evaluation in evaluations.of.values():
        run = evaluate_run(evaluation, started=started, seconds=time.monotonic() - began)
        record(
            mission,
            run,
            digest=run.inputs["network"] or "",
            store=loaded.tracking.mlflow,
            files=list(files),
            say=lambda line: echo(line, error=True),
        )
    if as_json:
        document = {
            name: {"schema": SCHEMA, **one.payload()} for name, one in evaluations.of.items()
        }
        echo(json.dumps(document, indent=1))
        return
    console = new_console(width=110)
    for evaluation in evaluations.of.values():
        show(console, evaluation)


def _files_of(evaluations: Evaluations, out: Path, *, progress: Advance) -> dict[Path, bytes]:
    """The files of `--out` and their contents, the page of the worst frames last."""
    progress("worst frames", 0, 0)
    page = page_of(
        [*evaluations.of.values()], [evaluations.predictions[name] for name in evaluations.of]
    )
    files = {
        out / f"evaluation-{name}.json": evaluation_bytes(one)
        for name, one in evaluations.of.items()
    }
    return {**files, out / "worst.html": page}


def _changes(asked: str | None, severities: str) -> list[PictureCorruption]:
    if asked is not None:
        return parse_corruptions(asked, severities)
    if severities != EVERY_SEVERITY:
        raise UsageError(
            "it is not clear what shall be so severe",
            expected="--severities together with --corruptions",
            found=f"--severities {severities} alone",
            remedy="add --corruptions all, or name some",
        )
    return []


def _networks(
    mission: Mission, converted: Path | None, model: Path | None, precision: Precision
) -> Mapping[str, Network]:
    """Name -> network, from a conversion or from one file."""
    if (converted is None) == (model is None):
        raise UsageError(
            "say which network to evaluate",
            expected="either --from DIR, which `convert` wrote, or --model FILE",
            found="neither" if model is None else "both",
            remedy="for example --from out --precision int8",
        )
    if converted is not None:
        found = {}
        for name in ("float", "int8") if precision == "both" else (precision,):
            file, kernels = ARTIFACTS[name]
            path = judged_file(converted, mission, file)
            found[name] = Network(file, _bytes(path), kernels, name)
        return found
    assert model is not None
    data = _bytes(model)
    check_unconverted(data, model)
    return {"model": Network(model.name, data, "as_written", GIVEN)}


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Missing(
            f"no model at {path}",
            expected="an ONNX file",
            found=error.strerror or str(error),
            remedy="correct the path, or write it first: brakepoint convert MISSION --out DIR",
        ) from error
