"""The process that builds one engine: `python -m edge.engine.build.child_process`.

Reads a request on stdin, writes one JSON event a line on stdout and the plan into the file that
the request names. It may crash or be killed without harm.

Output of native code goes to stderr. Never moves a file into place.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from edge.backends.tensorrt_engine import import_tensorrt
from edge.engine.api_probe import Probe
from edge.engine.build.build_log import PhaseProgress
from edge.engine.build.builder import build_plan, lowering_for
from edge.engine.build.memory import free_bytes, workspace_bytes
from edge.engine.build_request import BuildRequest
from edge.engine.calibration_cache import CalibrationCache, check_release, read_cache
from edge.engine.gpu import Gpu, make_current, present_gpu
from edge.engine.gpu_support.check import check_support
from edge.engine.model_choice import CONVERT, ModelSource, choose_source
from edge.engine.plan.sidecar import gpu_facts
from edge.engine.releases import MODULES, builder_row, parse_release
from firmware_bridge.errors import DeviceFault, NotTrusted, Refusal

TELL_EVERY_S = 0.1


def main() -> None:
    """Build the request on stdin; the last event is `done` or `refused`."""
    events = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    try:
        facts = build(BuildRequest.from_json(sys.stdin.readline()), events)
    except Refusal as refusal:
        words = {name: getattr(refusal, name) for name in ("what", "expected", "found", "remedy")}
        _say(events, "refused", kind=type(refusal).__name__, **words)
        return
    except OSError as error:
        _say(
            events,
            "refused",
            kind=DeviceFault.__name__,
            what="the system refused a file of the engine",
            expected="space and permission where the engine is written",
            found=str(error),
            remedy="free space or choose another place: --out FILE; nothing was left half-written",
        )
        return
    _say(events, "done", facts=facts)


def build(request: BuildRequest, events: TextIO) -> dict[str, object]:
    """Build, write plan and timing cache to the request's paths, and return the facts."""
    trt = import_tensorrt(MODULES[request.backend])
    release = parse_release(trt.__version__)
    row = builder_row(request.backend, release)
    gpu = None if row.compute_capabilities else _gpu(request.gpu)
    here = () if gpu is None else (gpu.sm,)
    # A release that builds for other machines' GPUs lists them itself.
    faults = [fault for one in here for fault in check_support(request.backend, release, one)]
    source = choose_source(Path(request.source), lowering_for(row, request), release)
    cache: CalibrationCache | None = None
    cache_facts = None
    if source.cache is not None:
        data = source.cache.read_bytes()
        cache = read_cache(data)
        check_release(cache, release)
        cache_facts = {"file": source.cache.name, "sha256": hashlib.sha256(data).hexdigest()}
    model, timing = source.model.read_bytes(), _timing(request)
    facts = {
        "backend": request.backend,
        "release": str(trt.__version__),
        "sm": list(request.sm or here),
        "gpu": gpu_facts(gpu),
        "model": {"file": source.model.name, "sha256": _digest(model, source)},
        "calibration_cache": cache_facts,
        "report": source.report,
        "dla_core": request.dla_core,
        "timing_cache": "none" if timing is None else ("warm" if timing else "cold"),
        "known_faults": faults,
    }
    _say(events, "begins", facts=facts)
    built = build_plan(
        Probe(trt, request.backend, release),
        row,
        replace(request, profiles=request.profiles or source.profiles),
        model=model,
        cache=cache,
        kept_float=source.kept_float,
        int8=source.int8,
        sm=here,
        memory_bytes=None if row.compute_capabilities else free_bytes(),
        timing=timing,
        workspace_bytes=request.workspace_bytes or workspace_bytes(free_bytes()),
        tell=_teller(events),
    )
    Path(request.plan).write_bytes(built.plan)
    if built.timing_cache is not None and request.timing_out is not None:
        Path(request.timing_out).write_bytes(built.timing_cache)
    return {**facts, **built.facts}


def _gpu(ordinal: int) -> Gpu | None:
    """The GPU to build on, made current; None where the first one is meant and cannot be seen: then
    TensorRT says what is missing."""
    gpu = present_gpu(ordinal)
    if ordinal and (gpu is None or not make_current(ordinal)):
        raise DeviceFault(
            f"there is no GPU {ordinal}",
            expected="a GPU that the CUDA driver lists under that number",
            found="none",
            remedy="correct --gpu: nvidia-smi lists the GPUs, 0 is the first",
        )
    return gpu


def _teller(events: TextIO) -> PhaseProgress:
    """Tells of the phases of a build, seldom enough that nobody waits for it."""
    last = 0.0

    def tell(phase: str, done: int, total: int, rest_s: float | None) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= TELL_EVERY_S:
            last = now
            _say(events, "progress", phase=phase, done=done, total=total, rest_s=rest_s)

    return tell


def _digest(model: bytes, source: ModelSource) -> str:
    """The digest of the bytes that are built. Raises NotTrusted where they are not those that were
    judged: the file may have changed since `choose_source` looked."""
    found = hashlib.sha256(model).hexdigest()
    if source.sha256 not in (None, found):
        raise NotTrusted(
            f"{source.model} is not the file that was judged",
            expected=f"sha256 {source.sha256}",
            found=f"sha256 {found}",
            remedy=CONVERT,
        )
    return found


def _timing(request: BuildRequest) -> bytes | None:
    """The timing cache to start from: empty where the file does not exist yet."""
    if request.timing_cache is None:
        return None
    path = Path(request.timing_cache)
    return path.read_bytes() if path.is_file() else b""


def _say(events: TextIO, event: str, **values: object) -> None:
    events.write(json.dumps({"event": event, **values}) + "\n")


if __name__ == "__main__":
    main()
