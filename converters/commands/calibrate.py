"""Verb `calibrate` on the command line: progress on stderr, the result on stdout."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from onnx import ModelProto
from rich.table import Table

from calibration.dask_cluster import connect
from calibration.inference.devices import CPU, DEVICES, device_by_name
from calibration.observation.distributed import DaskObserver
from calibration.observation.observation import Subject
from calibration.observation.observe import Observer
from calibration.observation.shards import Shard, parse_shard
from calibration.ranges.ranges import NAME as RANGES
from calibration.tracking.record_run import record as leave_record
from converters.conversion.ranges_only import (
    RECORD,
    CalibrationRecord,
    OpenObserver,
    calibrate_mission,
    calibrate_shard,
    merge_shards,
)
from converters.conversion.run_record import calibrate_run
from edge.commands.options import JsonOption, MissionArgument, SetOption
from edge.contract.mission.loading import load_mission
from edge.contract.mission.schema import Mission
from edge.contract.run_record import now
from edge.perception.preprocess import PreprocessSpec
from edge.progress import progress_bar
from edge.terminal import echo, new_console
from firmware_bridge.errors import UsageError

SHOWN = 8
"""Rows of the table of what moved."""


def calibrate(
    mission: MissionArgument,
    *,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="folder for ranges.json")],
    scheduler: Annotated[
        str | None,
        typer.Option("--scheduler", metavar="ADDRESS", help="observe on this Dask cluster"),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", metavar="N", help="observe in N processes of this machine"),
    ] = None,
    device: Annotated[
        str, typer.Option("--device", metavar="|".join(DEVICES), help="what runs the network")
    ] = CPU.name,
    shard: Annotated[
        str | None,
        typer.Option("--shard", metavar="K/N", help="look at a part alone, for `ranges merge`"),
    ] = None,
    set_: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take INT8 ranges from road frames; goes on where an interrupted run stopped."""
    chosen = device_by_name(device)
    one = None if shard is None else parse_shard(shard)
    loaded = load_mission(mission, set_ or [])
    if one is not None and not (scheduler is None and workers is None):
        raise UsageError(
            "a cluster shares the frames out by itself",
            expected="--shard, or one of --scheduler and --workers",
            found=f"--shard {shard} with a cluster",
            remedy="leave one of them out",
        )
    if chosen != CPU and not (scheduler is None and workers is None):
        raise UsageError(
            f"a cluster does not observe on {chosen.words}",
            expected="--device, or one of --scheduler and --workers",
            found=f"--device {device} with a cluster",
            remedy="leave one of them out",
        )
    if scheduler is None and workers is None:
        open_observer = None
    else:
        open_observer = _on_cluster(scheduler, workers, loaded.model.preprocess_spec)
    if one is not None:
        with progress_bar() as advance:
            looked_at = calibrate_shard(loaded, one, out, progress=advance, device=chosen)
        _tell_shard(one, looked_at, out, as_json=as_json)
        return
    started = now()
    with progress_bar() as advance:
        record = calibrate_mission(
            loaded, out, progress=advance, open_observer=open_observer, device=chosen
        )
    _leave_record(mission, loaded, record, out, started=started)
    if as_json:
        echo(json.dumps(record.to_json(), indent=1))
    else:
        _print(record, out)


def merge(
    mission: MissionArgument,
    shards: Annotated[
        list[Path], typer.Argument(metavar="SHARD...", help="folders of `calibrate --shard K/N`")
    ],
    *,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="folder for ranges.json")],
    device: Annotated[
        str, typer.Option("--device", metavar="|".join(DEVICES), help="what the shards ran on")
    ] = CPU.name,
    set_: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Join all shards of a mission's frames to the ranges that one process would take."""
    chosen = device_by_name(device)
    loaded = load_mission(mission, set_ or [])
    started = now()
    with progress_bar() as advance:
        record = merge_shards(loaded, shards, out, progress=advance, device=chosen)
    _leave_record(mission, loaded, record, out, started=started)
    if as_json:
        echo(json.dumps(record.to_json(), indent=1))
    else:
        _print(record, out)


def _leave_record(
    mission_file: Path, mission: Mission, record: CalibrationRecord, out: Path, *, started: str
) -> None:
    run = calibrate_run(mission, record, out, started=started)
    leave_record(
        mission_file,
        run,
        digest=run.outputs[RANGES],
        store=mission.tracking.mlflow,
        files=[out / RANGES, out / RECORD],
        say=lambda line: echo(line, error=True),
    )


def _tell_shard(shard: Shard, frames: int, out: Path, *, as_json: bool) -> None:
    if as_json:
        echo(json.dumps({"shard": [shard.number, shard.of], "frames": frames}))
        return
    echo(
        f"shard {shard.number} of {shard.of}: {frames} frames in {out}; when all are there: "
        "brakepoint ranges merge MISSION SHARD... --out DIR"
    )


def _on_cluster(scheduler: str | None, workers: int | None, spec: PreprocessSpec) -> OpenObserver:
    @contextlib.contextmanager
    def opened(model: ModelProto, subject: Subject) -> Iterator[Observer]:
        with connect(scheduler, workers) as client:
            yield DaskObserver(client, model, subject, spec)

    return opened


def _print(record: CalibrationRecord, out: Path) -> None:
    """Which frames, how the ranges came to rest, and what moved them last."""
    console = new_console()
    sampling = record.calibrated.sampling
    quotas = Table("condition", "taken", "offered", title="frames", title_justify="left")
    for name, (taken, offered) in sorted(sampling.quotas.items()):
        quotas.add_row(name, str(taken), str(offered))
    console.print(quotas)
    for name, why in record.calibrated.left_out.items():
        console.print(f"left out: {name}: {why}")
    curve = Table(
        "frames", "largest move", "ranges that moved", title="ranges", title_justify="left"
    )
    for frames, move, tensors in sampling.curve:
        moved = "" if move is None else f"{100 * move:.1f} %"
        curve.add_row(str(frames), moved, "" if move is None else str(tensors))
    console.print(curve)
    last = [one for step in sampling.moves[-1:] for one in step][:SHOWN]
    if last and not sampling.settled:
        table = Table("range", "moved", "by frame", title="in the last step", title_justify="left")
        for one in last:
            table.add_row(one.tensor, f"{100 * one.by:.1f} %", one.frame)
        console.print(table)
    rest = "stand still" if sampling.settled else "were still moving when the frames ran out"
    console.print(
        f"{len(record.calibrated.ranges.tensors)} ranges from {len(sampling.frames)} frames in "
        f"{out / 'ranges.json'}; they {rest}"
    )
