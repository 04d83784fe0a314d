"""The table TensorRT x GPU: which release has kernels for which GPU, and what is known to be wrong.

A backend, a release and a compute capability go in; a refusal or a list of warnings comes out,
before a build begins and before a plan is loaded. Every row names its source. Never guesses: a GPU
outside a release's row is refused. Imports no TensorRT.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from edge.engine.gpu import dotted
from edge.engine.releases import MODULES, Backend, Release
from firmware_bridge.errors import UsageError


@dataclass(frozen=True)
class KernelRow:
    """The GPUs for which a range of releases has kernels.

    Attributes:
        since, before: first release of the row, and the first release after it.
        sm: compute capabilities with INT8, 87 for SM 8.7.
        source: where that is written.
    """

    backend: Backend
    since: Release
    before: Release
    sm: tuple[int, ...]
    source: str


NOTES = "docs.nvidia.com/deeplearning/tensorrt, release notes of "
MATRIX = "docs.nvidia.com/deeplearning/tensorrt, support matrix of "
JETSON_PAGE = "docs.nvidia.com/deeplearning/tensorrt, migration on Jetson, of "
GITHUB = "github.com/"

AMPERE_TO_HOPPER = (80, 86, 89, 90)
BLACKWELL = (100, 120)
BLACKWELL_ULTRA = (100, 103, 120, 121)

KERNELS: tuple[KernelRow, ...] = (
    KernelRow(
        "tensorrt",
        Release(8, 6, 0),
        Release(9, 0, 0),
        (61, 70, 72, 75, 87, *AMPERE_TO_HOPPER),
        MATRIX + "8.6.1",
    ),
    KernelRow(
        "tensorrt",
        Release(10, 0, 0),
        Release(10, 5, 0),
        (70, 75, 87, *AMPERE_TO_HOPPER),
        MATRIX + "10.1.0: SM 7.0 or higher",
    ),
    KernelRow(
        "tensorrt",
        Release(10, 5, 0),
        Release(10, 8, 0),
        (75, 87, *AMPERE_TO_HOPPER),
        NOTES + "10.5.0: SM 7.0 removed",
    ),
    # JetPack stayed at 10.7, and the packages for servers have no kernels for SM 8.7.
    KernelRow(
        "tensorrt",
        Release(10, 8, 0),
        Release(10, 13, 2),
        (75, *AMPERE_TO_HOPPER, *BLACKWELL),
        NOTES + "10.8.0: Blackwell added, no JetPack; " + MATRIX + "10.10.0: JetPack has 10.7",
    ),
    KernelRow(
        "tensorrt",
        Release(10, 13, 2),
        Release(10, 14, 0),
        (75, *AMPERE_TO_HOPPER, *BLACKWELL, 110),
        GITHUB + "NVIDIA-ISAAC-ROS/isaac-ros-cli/issues/22: 10.13.3 without SM 8.7; "
        "NVIDIA/TensorRT/issues/4590: 10.13.3 on SM 11.0; the first with CUDA 13 is 10.13.2",
    ),
    KernelRow(
        "tensorrt",
        Release(10, 14, 0),
        Release(10, 16, 1),
        (75, *AMPERE_TO_HOPPER, *BLACKWELL_ULTRA, 110),
        NOTES + "10.14.1: GB300 and DGX Spark added; " + MATRIX + "10.14.1: JetPack has 10.7",
    ),
    KernelRow(
        "tensorrt",
        Release(10, 16, 1),
        Release(11, 0, 0),
        (75, 87, *AMPERE_TO_HOPPER, *BLACKWELL_ULTRA, 110),
        NOTES + "10.16.1: Orin added to the package for ARM servers",
    ),
    KernelRow(
        "tensorrt",
        Release(11, 0, 0),
        Release(11, 3, 0),
        (75, *AMPERE_TO_HOPPER, *BLACKWELL_ULTRA, 110),
        JETSON_PAGE + "11.2.1: Orin stays on 10.x; "
        "github.com/ultralytics/ultralytics/pull/24735: 11 on SM 11.0",
    ),
    KernelRow(
        "tensorrt",
        Release(11, 3, 0),
        Release(11, 4, 1),
        (75, *AMPERE_TO_HOPPER, *BLACKWELL_ULTRA, 107, 110),
        NOTES + "11.3.0: SM 10.7 added; " + JETSON_PAGE + "11.3.0: Orin stays on 10.x",
    ),
    KernelRow(
        "tensorrt",
        Release(11, 4, 1),
        Release(12, 0, 0),
        (75, 87, *AMPERE_TO_HOPPER, *BLACKWELL_ULTRA, 107, 110),
        NOTES + "11.4.1: Jetson AGX Orin and Thor, with JetPack 7.2.2 or later",
    ),
    KernelRow(
        "rtx",
        Release(1, 4, 0),
        Release(1, 5, 0),
        (75, 86, 89, 120),
        "docs.nvidia.com/deeplearning/tensorrt-rtx, support matrix of 1.4",
    ),
    KernelRow(
        "rtx",
        Release(1, 5, 0),
        Release(1, 7, 0),
        (75, 86, 89, 120, 121),
        "docs.nvidia.com/deeplearning/tensorrt-rtx, support matrix of 1.5",
    ),
    KernelRow(
        "rtx",
        Release(1, 7, 0),
        Release(2, 0, 0),
        (75, 80, 86, 89, 120, 121),
        "plans that 1.7.1 built for each of them: edge/engine/plan/header.py",
    ),
)


@dataclass(frozen=True)
class KnownFault:
    """Something that went wrong elsewhere with a range of releases.

    Attributes:
        since, before: as of `KernelRow`.
        sm: the GPUs; empty for every GPU.
        layers: members of LayerType: where there are any, only a network with one of them is
            concerned, and it is refused, since the results were wrong without a word. Without any,
            it is a warning.
        what: one clause.
    """

    backend: Backend
    since: Release
    before: Release
    what: str
    source: str
    sm: tuple[int, ...] = ()
    layers: tuple[str, ...] = ()


KNOWN_FAULTS: tuple[KnownFault, ...] = (
    KnownFault(
        "tensorrt",
        Release(10, 0, 0),
        Release(10, 8, 0),
        "only JetPack's own package has kernels for SM 8.7, the one from pip has none",
        "forums.developer.nvidia.com/t/364236",
        sm=(87,),
    ),
    KnownFault(
        "tensorrt",
        Release(10, 13, 0),
        Release(12, 0, 0),
        "GridSample gives wrong results without a word",
        GITHUB + "NVIDIA/TensorRT/issues/4813 (10.14, 11.1) and 4646 (10.13), "
        "lightly-ai/lightly-train/pull/917 (10.13)",
        layers=("GRID_SAMPLE",),
    ),
    KnownFault(
        "tensorrt",
        Release(11, 1, 0),
        Release(11, 2, 0),
        "a detection transformer gave wrong results without a word, also in FP32",
        GITHUB + "NVIDIA/TensorRT/issues/4813",
    ),
    KnownFault(
        "tensorrt",
        Release(10, 13, 0),
        Release(10, 14, 0),
        "FP16 results of a YOLOv10 were far off, those in FP32 were not",
        GITHUB + "NVIDIA/TensorRT/issues/4820",
        sm=(110,),
    ),
    KnownFault(
        "tensorrt",
        Release(10, 13, 0),
        Release(10, 14, 0),
        "FP8 and FP4 are built as FP32 without a word (brakepoint asks for neither)",
        GITHUB + "NVIDIA/TensorRT/issues/4590",
        sm=(110,),
    ),
    KnownFault(
        "tensorrt",
        Release(10, 16, 1),
        Release(10, 16, 2),
        "a ResNet-152 in INT8 and FP16 lost nearly all accuracy",
        GITHUB + "NVIDIA/TensorRT/issues/4780",
        sm=(120,),
    ),
    KnownFault(
        "tensorrt",
        Release(10, 16, 2),
        Release(10, 16, 3),
        "a file with Q/DQ that builds on SM 11.0 was not built: it could not infer the output "
        "types of a dequantize",
        GITHUB + "NVIDIA/TensorRT/issues/4832",
        sm=(87,),
    ),
    KnownFault(
        "tensorrt",
        Release(11, 0, 0),
        Release(11, 4, 1),
        "NVIDIA does not support this release with JetPack, though it has kernels for SM 11.0",
        JETSON_PAGE + "11.2.1 and 11.3.0, migration guide of 11.4.0",
        sm=(110,),
    ),
)

PROVE = "compare the engine with int8.onnx on this device before you rely on it"


def kernel_row(backend: Backend, release: Release) -> KernelRow:
    """The row of a release; the table has one for each release of `releases.BUILDERS`."""
    for row in KERNELS:
        if row.backend == backend and row.since <= release < row.before:
            return row
    raise AssertionError(f"no row of KERNELS for {backend} {release}")


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
        if fault.backend != backend or not fault.since <= release < fault.before:
            continue
        if fault.sm and sm not in fault.sm:
            continue
        concerned = [layer for layer in fault.layers if layer in layers]
        if concerned:
            raise UsageError(
                f"{called} is known to compute this network wrongly",
                expected=f"a network without {' and '.join(concerned)}",
                found=f"{fault.what} ({fault.source})",
                remedy="export the network without that operator, or use a release that is not "
                "concerned: docs/engine.md",
            )
        if not fault.layers:
            told.append(f"{called}: {fault.what} ({fault.source}); {PROVE}")
    return tuple(told)


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
