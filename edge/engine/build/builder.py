"""Builds an engine plan with TensorRT 8.6 to 11 or TensorRT-RTX.

A request and a network as bytes go in; a plan and facts for its sidecar come out. The differences
between releases are in `edge/engine/releases.py`; no release uses a calibrator. Never opens a file
and never imports TensorRT: the caller passes the module.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from edge.engine.api_probe import Probe
from edge.engine.build.build_log import PhaseProgress, message_log, progress_monitor
from edge.engine.build.builder_config import (
    add_profiles,
    ask_precision,
    limit_pools,
    name_targets,
    put_on_dla,
    use_timing_cache,
)
from edge.engine.build.memory import require_memory
from edge.engine.build.network_check import (
    Precision,
    memory_need,
    read_precision,
    require_int8,
    set_ranges,
)
from edge.engine.build.network_tensors import fix_formats, layer_kinds
from edge.engine.build_request import BuildRequest
from edge.engine.calibration_cache import CalibrationCache
from edge.engine.gpu_support.check import check_support, failed_elsewhere
from edge.engine.releases import LOWERINGS, MODULES, BuilderRow, Lowering
from firmware_bridge.errors import DeviceFault, GateFailed, Refusal, UsageError

OBEY = "OBEY_PRECISION_CONSTRAINTS"
"""Without this flag the precision of a layer is only a preference."""

OUT_OF_MEMORY = re.compile(r"out of memory|outofmemory|insufficient (workspace|memory)", re.I)
"""TensorRT's words for too little memory, in its own log."""

KEPT_MESSAGES = 50


@dataclass(frozen=True)
class BuildResult:
    """A plan, the timing cache after it, and the facts for its sidecar."""

    plan: bytes
    timing_cache: bytes | None
    facts: dict[str, Any]


def lowering_for(row: BuilderRow, request: BuildRequest) -> Lowering:
    """The lowering that a release needs for this request.

    Raises:
        UsageError: the release has no DLA.
    """
    if request.dla_core is None:
        return row.lowering
    if row.dla_lowering is None:
        raise UsageError(
            f"{MODULES[row.backend]} from {row.since} to before {row.before} has no DLA",
            expected="TensorRT 8.6 to 10.7, or 11.4.1 and later on AGX Orin",
            found="--dla",
            remedy="leave --dla out, or build on JetPack 6 (TensorRT 10.3)",
        )
    return row.dla_lowering


def build_plan(
    probe: Probe,
    row: BuilderRow,
    request: BuildRequest,
    *,
    model: bytes,
    cache: CalibrationCache | None,
    kept_float: Sequence[str] = (),
    int8: int | None = None,
    sm: Sequence[int] = (),
    memory_bytes: int | None = None,
    timing: bytes | None,
    workspace_bytes: int,
    tell: PhaseProgress,
) -> BuildResult:
    """Builds one plan.

    Args:
        kept_float: weighted layers that must not be INT8, where ranges come from `cache`; a graph
            with Q/DQ encodes that itself.
        int8: how many weighted layers must be INT8; None where that is not known.
        sm: the GPU of this machine, for which it builds; empty where it is not known, or where the
            request names others.
        memory_bytes: free memory of the device; None where that is not known, or the engine is for
            another device.

    Raises:
        UsageError: the release cannot do the request, needs another lowering, or is known to
            compute the network wrongly on one of the GPUs.
        GateFailed: TensorRT refused the network.
        DeviceFault: there is no GPU, or no DLA, where one is needed.
    """
    messages: list[str] = []
    logger = message_log(probe, messages)
    lowering = lowering_for(row, request)
    _check_targets(row, request)
    builder = _builder(probe, logger, messages)
    network = builder.create_network(probe.bits("NetworkDefinitionCreationFlag", row.network_flags))
    _parse(probe, network, logger, request.source, model)
    kinds = layer_kinds(network)
    for one in sm:
        check_support(row.backend, probe.release, one, layers=kinds)
    tensors = fix_formats(probe, network)
    config = builder.create_builder_config()
    flags = ask_precision(probe, row, builder, config)
    name_targets(probe, request, config)
    pools = limit_pools(probe, row, request, config, workspace_bytes)
    config.profiling_verbosity = probe.member("ProfilingVerbosity", "DETAILED")
    add_profiles(builder, config, network, request)
    precision = _set_precision(probe, network, config, flags, cache=cache, kept_float=kept_float)
    require_int8(precision, model=request.source, expected=LOWERINGS[lowering], count=int8)
    require_memory(memory_need(network, weights=len(model)), memory_bytes, model=request.source)
    dla = None
    if request.dla_core is not None:
        dla = put_on_dla(probe, builder, config, network, request.dla_core)
        flags.append("GPU_FALLBACK")
    if timing is not None:
        use_timing_cache(row, probe, config, timing, request)
    if row.monitor:
        config.progress_monitor = progress_monitor(probe, tell)
    asked = request.profiles or {}
    started = time.monotonic()
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        known = [one for sm_ in sm for one in failed_elsewhere(row.backend, probe.release, sm_)]
        raise _no_plan(request.source, messages, workspace_bytes, known)
    facts = {
        "lowering": lowering,
        "network_flags": list(row.network_flags),
        "builder_flags": flags,
        "pools_bytes": pools,
        "tensors": tensors,
        "precision": asdict(precision),
        "dla": dla,
        "profiles": {name: [list(one) for one in given] for name, given in asked.items()},
        "build_seconds": round(time.monotonic() - started, 2),
        "messages": messages[-KEPT_MESSAGES:],
    }
    kept = bytes(config.get_timing_cache().serialize()) if timing is not None else None
    return BuildResult(bytes(plan), kept, facts)


def _set_precision(
    probe: Probe,
    network: Any,
    config: Any,
    flags: list[str],
    *,
    cache: CalibrationCache | None,
    kept_float: Sequence[str],
) -> Precision:
    """Set ranges and precisions from `cache`, or read them from Q/DQ; appends to `flags`."""
    if cache is None:
        return read_precision(probe, network)
    precision = set_ranges(probe, network, cache, kept_float=kept_float)
    if kept_float:
        config.set_flag(probe.member("BuilderFlag", OBEY))
        flags.append(OBEY)
    return precision


def _no_plan(
    source: str, messages: Sequence[str], workspace_bytes: int, known: Sequence[str]
) -> Refusal:
    found = "; ".join(messages[-3:]) or "nothing, and no message"
    if any(OUT_OF_MEMORY.search(message) for message in messages):
        return DeviceFault(
            f"memory ran out when TensorRT built {source}",
            expected=f"room for the layer it names, and a workspace of {workspace_bytes >> 20} MiB",
            found=found,
            remedy="close what else runs; try --workspace-mb, less or more; or take a smaller "
            "model.input in the mission",
        )
    return GateFailed(
        f"TensorRT refused to build {source}",
        expected="an engine",
        found=found,
        remedy="see the operators it names; report the model if they are convolutions"
        + "".join(f"; known of such a TensorRT and GPU: {one}" for one in known),
    )


def _builder(probe: Probe, logger: Any, messages: list[str]) -> Any:
    try:
        return probe.attribute(probe.trt, "Builder")(logger)
    # The bindings raise these when the native factory returns null.
    except (TypeError, RuntimeError) as error:
        raise DeviceFault(
            f"{MODULES[probe.backend]} {probe.release} cannot start its builder",
            expected="a GPU with its driver",
            found="; ".join(messages[-2:]) or str(error).strip().splitlines()[0],
            remedy="build on the device, or ahead of time: --backend rtx --sm 86",
        ) from error


def _parse(probe: Probe, network: Any, logger: Any, source: str, model: bytes) -> None:
    parser = probe.attribute(probe.trt, "OnnxParser")(network, logger)
    if not parser.parse(model):
        errors = [str(parser.get_error(row).desc()) for row in range(parser.num_errors)]
        raise UsageError(
            f"TensorRT cannot read {source}",
            expected="an ONNX network that this release knows",
            found="; ".join(errors[:3]) or "no reason given",
            remedy="write it again: brakepoint convert MISSION --out DIR",
        )


def _check_targets(row: BuilderRow, request: BuildRequest) -> None:
    if row.compute_capabilities and not request.sm:
        raise UsageError(
            "no target GPU is named",
            expected="compute capabilities of the GPUs that will run the engine, such as 86",
            found="no --sm",
            remedy="name them: --sm 86,89",
        )
    if request.gpu and row.compute_capabilities:
        raise UsageError(
            f"{MODULES[row.backend]} builds for compute capabilities, on no GPU",
            expected="no --gpu",
            found=f"--gpu {request.gpu}",
            remedy="leave --gpu out and name the GPUs by --sm",
        )
    if request.sm and not row.compute_capabilities:
        raise UsageError(
            "TensorRT builds for the GPU that is there",
            expected="no --sm",
            found=f"--sm {','.join(map(str, request.sm))}",
            remedy="build on the device, or ahead of time: --backend rtx",
        )
