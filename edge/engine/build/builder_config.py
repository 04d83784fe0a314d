"""Sets TensorRT's builder config: precision, target GPUs, memory, profiles, DLA and timings.

A request and a release's row go in; the config is changed. Refuses settings that the release or the
device does not have. Never builds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edge.engine.api_probe import Probe
from edge.engine.build.network_check import layers_of
from edge.engine.build_request import BuildRequest
from edge.engine.releases import MODULES, BuilderRow
from firmware_bridge.errors import DeviceFault, UsageError


def ask_precision(probe: Probe, row: BuilderRow, builder: Any, config: Any) -> list[str]:
    """Set the flags for INT8 and FP16 where the release has them; returns their names."""
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


def name_targets(probe: Probe, request: BuildRequest, config: Any) -> None:
    """Set the target GPUs that the request names."""
    if not request.sm:
        return
    known = _known_sm(probe)
    for sm in request.sm:
        if sm not in known:
            raise _no_such_gpu(probe, sm, known)
    members = [probe.member("ComputeCapability", f"SM{sm}") for sm in request.sm]
    config.num_compute_capabilities = len(members)  # first, else each of these fails
    for row, (sm, member) in enumerate(zip(request.sm, members, strict=True)):
        if not config.set_compute_capability(member, row):
            raise _no_such_gpu(probe, sm, [other for other in known if other != sm])


def _known_sm(probe: Probe) -> list[int]:
    """The compute capabilities that this release names, ascending."""
    names = dir(probe.attribute(probe.trt, "ComputeCapability"))
    return sorted(int(name[2:]) for name in names if name[:2] == "SM" and name[2:].isdecimal())


JETSONS = {53: "Jetson Nano", 62: "Jetson TX2", 72: "Jetson Xavier", 87: "Jetson Orin"}
"""SM of the devices whose engines TensorRT builds on the device itself."""


def _no_such_gpu(probe: Probe, sm: int, known: list[int]) -> UsageError:
    name = JETSONS.get(sm)
    remedy = f"name others: --sm {','.join(map(str, known))}"
    if name is not None:
        remedy = f"build it on the {name}, where no --sm is given: --backend tensorrt"
    return UsageError(
        f"{MODULES[probe.backend]} {probe.release} does not build for SM {sm}",
        expected=f"of --sm: {', '.join(map(str, known))}",
        found=f"{sm}, a {name}" if name is not None else str(sm),
        remedy=remedy,
    )


def limit_pools(
    probe: Probe, row: BuilderRow, request: BuildRequest, config: Any, size: int
) -> dict[str, int]:
    """Limit workspace and tactics to `size` bytes; returns the limits."""
    # For another machine's GPU the memory that is free here does not matter.
    if row.compute_capabilities and request.workspace_bytes is None:
        return {}
    limits = dict.fromkeys(("WORKSPACE", "TACTIC_DRAM"), size)
    for name, limit in limits.items():
        config.set_memory_pool_limit(probe.member("MemoryPoolType", name), limit)
    return limits


def add_profiles(builder: Any, config: Any, network: Any, request: BuildRequest) -> None:
    """Add a profile with the request's shapes for every input of open size."""
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


def put_on_dla(probe: Probe, builder: Any, config: Any, network: Any, core: int) -> dict[str, Any]:
    """Put the network on a DLA core; returns which layers cannot run there."""
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


def use_timing_cache(
    row: BuilderRow, probe: Probe, config: Any, timing: bytes, request: BuildRequest
) -> None:
    """Set the timings of an earlier build."""
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
