"""Builds an engine in a process of its own, and moves plan and sidecar into place together.

A request goes in; a `Sidecar` comes out. A builder that crashes or runs out of memory becomes one
message.
"""

from __future__ import annotations

import contextlib
import json
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from edge.contract.artifact import replacing, require_folder
from edge.engine.build.estimate import BuildProgress, Estimate, last_build_s
from edge.engine.build_request import BuildRequest
from edge.engine.plan.sidecar import Sidecar, sidecar_path
from firmware_bridge import errors
from firmware_bridge.errors import DeviceFault, Refusal, UsageError

COMMAND = ("-m", "edge.engine.build.child_process")

TICK_S = 0.5
"""Progress is told at least so often, whatever TensorRT tells."""

Follow = Callable[[BuildProgress], None]


def build_engine(
    request: BuildRequest, out: Path, *, progress: Follow, tick_s: float = TICK_S
) -> Sidecar:
    """Build into `out` and write its sidecar beside it, replacing both files.

    Args:
        request: `plan` and `timing_out` are set here.
        progress: called in the caller's thread, at least every `tick_s` seconds.

    Raises:
        Refusal: what the builder refused; see `edge.engine.build.builder`.
        DeviceFault: the building process crashed or was killed.
    """
    if out.is_dir() or sidecar_path(out) == Path(request.source):
        raise UsageError(
            f"cannot write the engine to {out}",
            expected="the name of a file, such as road.plan",
            found="a folder" if out.is_dir() else "its sidecar would replace the model",
            remedy="choose another file: --out FILE",
        )
    require_folder(out.parent)
    with contextlib.ExitStack() as moves:
        # The stack unwinds backwards: the plan moves first, then its sidecar.
        sidecar_file = moves.enter_context(replacing(sidecar_path(out)))
        plan = moves.enter_context(replacing(out))
        asked = replace(request, plan=str(plan))
        if request.timing_cache is not None:
            timing = moves.enter_context(replacing(Path(request.timing_cache)))
            asked = replace(asked, timing_out=str(timing))
        facts = _run(asked, Following(progress, out.parent, tick_s))
        sidecar = Sidecar.of(plan.read_bytes(), facts)
        sidecar_file.write_bytes(sidecar.to_bytes())
    return sidecar


@dataclass(frozen=True)
class Following:
    """Who is told of the progress of a build, where sidecars of earlier builds are, how often."""

    progress: Follow
    folder: Path
    tick_s: float


def _run(request: BuildRequest, following: Following) -> dict[str, Any]:
    with tempfile.TemporaryFile() as talk:
        process = subprocess.Popen(
            [sys.executable, *COMMAND],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=talk,
            text=True,
        )
        try:
            ended = _follow(process, request, following)
        finally:
            process.kill()  # does nothing where the process has ended
            process.wait()
        if ended is None:
            raise _died(process.returncode, talk, request)
    if ended["event"] == "refused":
        kind: type[Refusal] = getattr(errors, ended["kind"])
        raise kind(
            ended["what"],
            expected=ended["expected"],
            found=ended["found"],
            remedy=ended["remedy"],
        )
    facts: dict[str, Any] = ended["facts"]
    return facts


def _follow(
    process: subprocess.Popen[str], request: BuildRequest, following: Following
) -> dict[str, Any] | None:
    """The last event, or None where the process ended without one."""
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(request.to_json() + "\n")
        process.stdin.close()
    estimate, ended = Estimate(), None
    following.progress(estimate.now())
    for line in _lines(process.stdout, following.tick_s):
        event: dict[str, Any] = {"event": "tick"} if line is None else json.loads(line)
        if event["event"] == "begins":
            estimate.expect(last_build_s(following.folder, event["facts"]))
        elif event["event"] == "progress":
            estimate.on_phase(event["phase"], event["done"], event["total"], event["rest_s"])
        elif event["event"] != "tick":
            ended = event
        following.progress(estimate.now())
    process.wait()
    return ended


def _lines(stream: IO[str], tick_s: float) -> Iterator[str | None]:
    """The lines of a stream until its end, and None for each `tick_s` in which there is none."""
    told: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        for line in stream:
            told.put(line)
        told.put(None)

    threading.Thread(target=read, name="build events", daemon=True).start()
    while True:
        try:
            line = told.get(timeout=tick_s)
        except queue.Empty:
            yield None
            continue
        if line is None:
            return
        yield line


def _died(code: int, talk: IO[bytes], request: BuildRequest) -> DeviceFault:
    talk.seek(0)
    lines = talk.read().decode(errors="replace").strip().splitlines()
    how = f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
    killed = code == -signal.SIGKILL
    return DeviceFault(
        f"the builder of {request.source} "
        + ("was killed, as the system does when memory runs out" if killed else "crashed"),
        expected="an engine or a refusal",
        found=": ".join([how, *lines[-1:]]),
        remedy="give it less memory: --workspace-mb 256; close what else runs on the device"
        if killed
        else "build with less memory (--workspace-mb 256); if it crashes again, report the model",
    )
