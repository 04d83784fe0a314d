"""Builds an engine in a process of its own, and moves plan and sidecar into place together.

A request goes in; a `Sidecar` comes out. A builder that crashes or runs out of memory becomes one
message.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from edge.contract.artifact import replacing
from edge.engine.build_request import BuildRequest
from edge.engine.sidecar import Sidecar, sidecar_path
from edge.progress import Advance
from firmware_bridge import errors
from firmware_bridge.errors import DeviceFault, Refusal, UsageError

COMMAND = ("-m", "edge.engine.build.child_process")


def build_engine(request: BuildRequest, out: Path, *, progress: Advance) -> Sidecar:
    """Build into `out` and write its sidecar beside it, replacing both files.

    `plan` and `timing_out` of the request are set here.

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
    with contextlib.ExitStack() as moves:
        # The stack unwinds backwards: the plan moves first, then its sidecar.
        sidecar_file = moves.enter_context(replacing(sidecar_path(out)))
        plan = moves.enter_context(replacing(out))
        asked = replace(request, plan=str(plan))
        if request.timing_cache is not None:
            timing = moves.enter_context(replacing(Path(request.timing_cache)))
            asked = replace(asked, timing_out=str(timing))
        facts = _run(asked, progress)
        sidecar = Sidecar.of(plan.read_bytes(), facts)
        sidecar_file.write_bytes(sidecar.to_bytes())
    return sidecar


def _run(request: BuildRequest, progress: Advance) -> dict[str, Any]:
    with tempfile.TemporaryFile() as talk:
        process = subprocess.Popen(
            [sys.executable, *COMMAND],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=talk,
            text=True,
        )
        try:
            ended = _follow(process, request, progress)
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
    process: subprocess.Popen[str], request: BuildRequest, progress: Advance
) -> dict[str, Any] | None:
    """The last event, or None where the process ended without one."""
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(request.to_json() + "\n")
        process.stdin.close()
    progress("build", 0, 0)
    ended = None
    for line in process.stdout:
        event: dict[str, Any] = json.loads(line)
        if event["event"] == "progress":
            progress(event["phase"], event["done"], event["total"])
        else:
            ended = event
    process.wait()
    return ended


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
