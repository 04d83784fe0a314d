"""Answers from both tables before a build begins and before a plan is loaded.

A backend, a release and a compute capability go in; a refusal or a list of warnings comes out.
Never guesses: a GPU outside a release's row is refused.
"""

from __future__ import annotations

from collections.abc import Collection

from edge.engine.gpu import dotted
from edge.engine.gpu_support.kernels import KERNELS, kernel_row
from edge.engine.gpu_support.known_faults import KNOWN_FAULTS
from edge.engine.releases import MODULES, Backend, Release
from firmware_bridge.errors import UsageError

PROVE = "compare the engine with int8.onnx on this device before you rely on it"


def check_support(
    backend: Backend, release: Release, sm: int, *, layers: Collection[str] = ()
) -> tuple[str, ...]:
    """What is known to be wrong with a release on a GPU, as sentences with their sources.

    Args:
        sm: compute capability of the GPU, 87 for SM 8.7.
        layers: members of LayerType that the network has, where they are known.

    Raises:
        UsageError: the release has no kernels for the GPU, or computes one of the layers wrongly.
    """
    row = kernel_row(backend, release)
    called = f"{MODULES[backend]} {release}"
    if sm not in row.sm:
        raise UsageError(
            f"{called} has no kernels for SM {dotted(sm)}",
            expected="one of SM " + ", ".join(map(dotted, sorted(row.sm))),
            found=f"SM {dotted(sm)} ({row.source})",
            remedy=_other_releases(backend, sm),
        )
    told = []
    for fault in KNOWN_FAULTS:
        if fault.fails or not fault.concerns(backend, release, sm):
            continue
        concerned = [layer for layer in fault.layers if layer in layers]
        if concerned:
            raise UsageError(
                f"{called} is known to compute this network wrongly",
                expected=f"a network without {' and '.join(concerned)}",
                found=fault.words,
                remedy="export the network without that operator, or use a release that is not "
                "concerned: docs/engine.md",
            )
        if not fault.layers:
            told.append(f"{called}: {fault.words}; {PROVE}")
    return tuple(told)


def failed_elsewhere(backend: Backend, release: Release, sm: int) -> tuple[str, ...]:
    """Builds that failed elsewhere with such a release on such a GPU, with their sources."""
    return tuple(
        fault.words
        for fault in KNOWN_FAULTS
        if fault.fails and fault.concerns(backend, release, sm)
    )


def _other_releases(backend: Backend, sm: int) -> str:
    """A remedy: the releases of the same backend that have kernels for `sm`."""
    ranges: list[tuple[Release, Release]] = []
    for row in KERNELS:
        if row.backend == backend and sm in row.sm:
            since = ranges.pop()[0] if ranges and ranges[-1][1] == row.since else row.since
            ranges.append((since, row.before))
    if not ranges:
        return "use another device, or a brakepoint that knows a release for it"
    listed = ", or ".join(f"{since} to before {before}" for since, before in ranges)
    return f"use {MODULES[backend]} {listed}"
