"""The one builder: a network and a request in, a plan and what was done out; TensorRT 8.6 to 11 and
TensorRT-RTX. What differs between releases stands in `releases.py`; calibrators are used by none.

Works on the module it is given and on bytes: never opens a file, never imports TensorRT.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from edge.engine.calibration_cache import CalibrationCache
from edge.engine.memory import demand_memory
from edge.engine.network_proof import (
    demand_int8,
    layers_of,
    least_bytes,
    read_precision,
    set_ranges,
)
from edge.engine.probe import Probe
from edge.engine.releases import LOWERINGS, MODULES, BuilderRow, Lowering
from edge.engine.request import BuildRequest
from firmware_bridge.errors import DeviceFault, GateFailed, Refusal, UsageError

Tell = Callable[[str, int, int], None]
"""Called with the phase, how many of its steps are done, and how many there are."""

OBEY = "OBEY_PRECISION_CONSTRAINTS"
"""Without it the precision of a layer is a wish."""

OUT_OF_MEMORY = re.compile(r"out of memory|outofmemory|insufficient (workspace|memory)", re.I)
"""How TensorRT says so, in its own log."""

SEVERE = ("INTERNAL_ERROR", "ERROR", "WARNING")
KEPT_MESSAGES = 50


@dataclass(frozen=True)
class Built:
    """A plan, the timing cache after it, and the facts for its sidecar."""

    plan: bytes
    timing_cache: bytes | None
    facts: dict[str, Any]


def lowering_for(row: BuilderRow, request: BuildRequest) -> Lowering:
    """The form of the network that a release wants for this request.

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
    memory_bytes: int | None = None,
    timing: bytes | None,
    workspace_bytes: int,
    tell: Tell,
) -> Built:
    """Builds one plan.

    Args:
        kept_float: weighted layers that must not be INT8, where ranges come from `cache`; a graph
            with Q/DQ says so itself.
        int8: how many weighted layers must be INT8; None where nobody said.
        memory_bytes: what the device can give; None where that is not known, or it is another's.

    Raises:
        UsageError: the release cannot do what is asked, or the network is not what it wants.
        GateFailed: TensorRT refused the network.
        DeviceFault: there is no GPU, or no DLA, where one is needed.
    """
    messages: list[str] = []
    logger = _logger(probe, messages)
    lowering = lowering_for(row, request)
    _check_targets(row, request)
    builder = _builder(probe, logger, messages)
    network = builder.create_network(probe.bits("NetworkDefinitionCreationFlag", row.network_flags))
    _parse(probe, network, logger, request.source, model)
    config = builder.create_builder_config()
    flags = _precision_flags(probe, row, builder, config)
    _targets(probe, request, config)
    pools = _pools(probe, row, request, config, workspace_bytes)
    config.profiling_verbosity = probe.member("ProfilingVerbosity", "DETAILED")
    _profiles(builder, config, network, request)
    if cache is not None:
        precision = set_ranges(probe, network, cache, kept_float=kept_float)
        if kept_float:
            config.set_flag(probe.member("BuilderFlag", OBEY))
            flags.append(OBEY)
    else:
        precision = read_precision(probe, network)
    demand_int8(precision, model=request.source, expected=LOWERINGS[lowering], count=int8)
    demand_memory(least_bytes(network, weights=len(model)), memory_bytes, model=request.source)
    dla = None
    if request.dla_core is not None:
        dla = _dla(probe, builder, config, network, request.dla_core)
        flags.append("GPU_FALLBACK")
    if timing is not None:
        _set_timing_cache(row, probe, config, timing, request)
    if row.monitor:
        config.progress_monitor = _monitor(probe, tell)
    asked = request.profiles or {}
    started = time.monotonic()
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise _no_plan(request.source, messages, workspace_bytes)
    facts = {
        "backend": request.backend,
        "release": str(probe.trt.__version__),
        "lowering": lowering,
        "network_flags": list(row.network_flags),
        "builder_flags": flags,
        "pools_bytes": pools,
        "sm": list(request.sm),
        "precision": asdict(precision),
        "dla": dla,
        "profiles": {name: [list(one) for one in given] for name, given in asked.items()},
        "build_seconds": round(time.monotonic() - started, 2),
        "messages": messages[-KEPT_MESSAGES:],
    }
    kept = bytes(config.get_timing_cache().serialize()) if timing is not None else None
    return Built(bytes(plan), kept, facts)


def _no_plan(source: str, messages: Sequence[str], workspace_bytes: int) -> Refusal:
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
        remedy="see the operators it names; report the model if they are convolutions",
    )


def _logger(probe: Probe, messages: list[str]) -> Any:
    base: Any = probe.attribute(probe.trt, "ILogger")

    class Log(base):  # type: ignore[misc] # the base is known when TensorRT is imported
        """Keeps what is severe."""

        def __init__(self) -> None:
            base.__init__(self)

        def log(self, severity: Any, text: str) -> None:
            if severity.name in SEVERE:
                messages.append(f"{severity.name}: {text}")

    return Log()


def _monitor(probe: Probe, tell: Tell) -> Any:
    base: Any = probe.attribute(probe.trt, "IProgressMonitor")

    class Monitor(base):  # type: ignore[misc] # as above
        """Tells how far each phase is; never cancels."""

        def __init__(self) -> None:
            base.__init__(self)
            self._steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self._steps[phase_name] = num_steps
            tell(phase_name, 0, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            tell(phase_name, step + 1, self._steps.get(phase_name, 0))
            return True

        def phase_finish(self, phase_name: str) -> None:
            steps = self._steps.get(phase_name, 0)
            tell(phase_name, steps, steps)

    return Monitor()


def _builder(probe: Probe, logger: Any, messages: list[str]) -> Any:
    try:
        return probe.attribute(probe.trt, "Builder")(logger)
    # The bindings raise these when the native factory gives nothing.
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


def _precision_flags(probe: Probe, row: BuilderRow, builder: Any, config: Any) -> list[str]:
    if row.precision_flags and not probe.attribute(builder, "platform_has_fast_int8"):
        raise DeviceFault(
            "this GPU has no fast INT8",
            expected="a GPU of compute capability 6.1, 7.2 or later",
            found=f"{MODULES[probe.backend]} {probe.release} says it has none",
            remedy="build on another device, or run the float network",
        )
    for name in row.precision_flags:
        config.set_flag(probe.member("BuilderFlag", name))
    return list(row.precision_flags)


def _check_targets(row: BuilderRow, request: BuildRequest) -> None:
    if row.compute_capabilities and not request.sm:
        raise UsageError(
            "no target GPU is named",
            expected="compute capabilities of the GPUs that will run the engine, such as 86",
            found="no --sm",
            remedy="name them: --sm 86,89",
        )
    if request.sm and not row.compute_capabilities:
        raise UsageError(
            "TensorRT builds for the GPU that is there",
            expected="no --sm",
            found=f"--sm {','.join(map(str, request.sm))}",
            remedy="build on the device, or ahead of time: --backend rtx",
        )


def _targets(probe: Probe, request: BuildRequest, config: Any) -> None:
    if not request.sm:
        return
    members = [probe.member("ComputeCapability", f"SM{sm}") for sm in request.sm]
    config.num_compute_capabilities = len(members)  # first, else each of these fails
    for row, (sm, member) in enumerate(zip(request.sm, members, strict=True)):
        if not config.set_compute_capability(member, row):
            raise UsageError(
                f"{MODULES[probe.backend]} {probe.release} does not build for SM {sm}",
                expected="a compute capability that it supports, each once",
                found=str(sm),
                remedy="name others: --sm 86,89",
            )


def _pools(
    probe: Probe, row: BuilderRow, request: BuildRequest, config: Any, size: int
) -> dict[str, int]:
    # An engine for another machine's GPU: what is free here says nothing about it.
    if row.compute_capabilities and request.workspace_bytes is None:
        return {}
    limits = dict.fromkeys(("WORKSPACE", "TACTIC_DRAM"), size)
    for name, limit in limits.items():
        config.set_memory_pool_limit(probe.member("MemoryPoolType", name), limit)
    return limits


def _profiles(builder: Any, config: Any, network: Any, request: BuildRequest) -> None:
    given = dict(request.profiles or {})
    profile = None
    for slot in range(network.num_inputs):
        tensor = network.get_input(slot)
        shape = tuple(tensor.shape)
        if -1 not in shape:
            continue
        shapes = given.pop(tensor.name, None)
        if shapes is None or not all(_fits(shape, one) for one in shapes):
            raise UsageError(
                f"input '{tensor.name}' has open sizes",
                expected=f"three shapes that fit {list(shape)}",
                found="no profile" if shapes is None else str(shapes),
                remedy=f"--profile {tensor.name}=MIN,USUAL,MAX with shapes such as 1x3x320x320",
            )
        profile = profile or builder.create_optimization_profile()
        profile.set_shape(tensor.name, *shapes)
    if given:
        raise UsageError(
            "a profile is given for what is no input of open size",
            expected="inputs of the network with open sizes",
            found=", ".join(given),
            remedy="leave --profile out",
        )
    if profile is not None:
        config.add_optimization_profile(profile)


def _fits(open_shape: Sequence[int], shape: Sequence[int]) -> bool:
    return len(open_shape) == len(shape) and all(
        wanted in (-1, given) for wanted, given in zip(open_shape, shape, strict=True)
    )


def _dla(probe: Probe, builder: Any, config: Any, network: Any, core: int) -> dict[str, Any]:
    """Puts the network on a DLA core and reports which layers cannot go there."""
    cores = builder.num_DLA_cores
    if core >= cores:
        raise DeviceFault(
            f"there is no DLA core {core}",
            expected=f"one of {cores} cores" if cores else "a device with DLA, such as Orin",
            found=f"{cores} cores",
            remedy="leave --dla out",
        )
    config.default_device_type = probe.member("DeviceType", "DLA")
    config.DLA_core = core
    config.set_flag(probe.member("BuilderFlag", "GPU_FALLBACK"))
    constant = probe.member("LayerType", "CONSTANT")
    layers = [layer for layer in layers_of(network) if layer.type != constant]
    fallback = [
        {"layer": layer.name, "type": layer.type.name}
        for layer in layers
        if not config.can_run_on_DLA(layer)
    ]
    return {"core": core, "layers": len(layers), "fallback": fallback}


def _set_timing_cache(
    row: BuilderRow, probe: Probe, config: Any, timing: bytes, request: BuildRequest
) -> None:
    if not row.timing_cache:
        raise UsageError(
            f"{MODULES[probe.backend]} {probe.release} has no timing cache",
            expected="no --timing-cache: the engine is tuned where it runs",
            found=f"--timing-cache {request.timing_cache}",
            remedy="leave --timing-cache out",
        )
    cache = config.create_timing_cache(timing)
    if cache is None or not config.set_timing_cache(cache, False):
        raise UsageError(
            f"the timing cache {request.timing_cache} does not fit",
            expected=f"one written by {MODULES[probe.backend]} {probe.release} on this device",
            found="TensorRT does not take it",
            remedy="name another file, or remove this one: it is made anew",
        )
