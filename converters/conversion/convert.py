"""`brakepoint convert`: reads the inputs, runs one conversion, publishes its files.

Takes a mission and a folder; writes float.onnx, int8.onnx, cpu.onnx, further lowerings,
ranges.json, report.html, report.json and convert.lock.json there. Results of stages are cached
under a key of their inputs, so that only what changed is made again and an interrupted run
continues. Files are replaced after everything is made and judged, report.json last. A reader trusts
only the digests in report.json, so a kill at any moment leaves the former set, the new one, or
files that the reader refuses.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from converters.conversion.input_digests import (
    Inputs,
    code_digest,
    tool_versions,
)
from converters.conversion.lockfile import NAME as LOCK
from converters.conversion.lockfile import SCHEMA as LOCK_SCHEMA
from converters.conversion.lockfile import (
    Lock,
    inputs_of,
    read_convert_lock,
    require_inputs,
    require_outputs,
)
from converters.conversion.pipeline import run_conversion
from converters.conversion.run_record import since_former
from converters.conversion.stage_cache import Note, open_cache
from converters.conversion.stage_runner import StageRunner
from converters.conversion.tuned_weights import Tuned
from converters.report.changes import Since
from converters.report.report import Report
from converters.report.stage_times import Stopwatch
from edge.contract.artifact import json_file, replacing, require_folder
from edge.contract.mission.schema import Mission
from edge.contract.run_record import RunRecord
from edge.progress import Advance
from firmware_bridge.errors import Missing, NotTrusted

STORE = ".stages"


def convert(
    mission: Mission,
    out: Path,
    *,
    progress: Advance,
    ranges_file: Path | None = None,
    tuned: Tuned | None = None,
    locked: Path | None = None,
    fresh: bool = False,
    former: Sequence[RunRecord] = (),
    note: Note = lambda line: None,
) -> Report:
    """Converts the mission's network into `out`, replacing what a former run wrote there.

    Every file is written even where a gate fails; the report says so.

    Args:
        ranges_file: ranges to reuse, from `calibrate`; observed where it is not given.
        tuned: weights and placement of a fine-tuning; the placement is searched without it.
        locked: a lockfile that inputs and files must agree with.
        fresh: do not use the cache of former runs in `out`.
        former: records of earlier runs, for the report to show what changed.
        note: called with a line for each unchanged stage and each cache file that is not used.

    Raises:
        NotTrusted: the ranges are stale, or the lock says otherwise.
        Missing: the model, the weights, frames or a package are not there.
        UsageError: what is there does not fit the mission, or cannot be converted; or another
            conversion is at work in `out`.
    """
    require_folder(out)
    watch = Stopwatch()
    with watch.stage("read"):
        progress("read", 0, 0)
        read = Inputs.of(mission)
        inputs = inputs_of(mission, read, ranges_file=ranges_file)
        if tuned is not None:
            inputs["tuned"] = tuned.digests
    lock = None if locked is None else read_convert_lock(locked)
    if locked is not None and lock is not None:
        require_inputs(locked, lock, inputs)
    common = {"code": code_digest(), "tools": tool_versions()}

    def changed(report: Report) -> Since | None:
        return since_former(former, Lock(inputs, {}), report)

    with open_cache(out / STORE, fresh=fresh, note=note) as store:
        stages = StageRunner(store, watch, common=common, note=note)
        report, files = run_conversion(
            mission,
            read,
            stages,
            progress=progress,
            ranges_file=ranges_file,
            tuned=tuned,
            since=None if locked is not None else changed,
        )
        made = Lock(inputs, {name: file.sha256 for name, file in report.artifacts.items()})
        if locked is not None and lock is not None:
            require_outputs(locked, lock, made.outputs)
        gone = _former_files(out) - set(files)
        _publish(out, {LOCK: json_file(LOCK_SCHEMA, made.to_json()), **files})
        for name in gone:  # nothing vouches for them any more
            (out / name).unlink(missing_ok=True)
        store.prune()
    return report


def _publish(out: Path, files: Mapping[str, bytes]) -> None:
    """Writes every file beside its place, then moves all of them there, the last one last."""
    with contextlib.ExitStack() as moves:
        # The stack unwinds backwards, so what is to move last is entered first.
        for name, data in reversed(list(files.items())):
            moves.enter_context(replacing(out / name)).write_bytes(data)


def _former_files(out: Path) -> set[str]:
    """Names of the files that a former run made in `out`, as far as its lock tells."""
    try:
        return {name for name in read_convert_lock(out / LOCK).outputs if Path(name).name == name}
    except (Missing, NotTrusted):
        return set()
