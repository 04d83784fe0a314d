"""The table of the GPUs for which each TensorRT release has kernels.

Every row names its source. A GPU that stands in no row of a release is not known to work with it.
Imports no TensorRT.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge.engine.releases import Backend, Release, builder_row


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
        Release(11, 5, 0),
        (75, 87, *AMPERE_TO_HOPPER, *BLACKWELL_ULTRA, 107, 110),
        NOTES + "11.4.1: Jetson AGX Orin and Thor, with JetPack 7.2.2 or later",
    ),
    KernelRow(
        "tensorrt",
        Release(11, 5, 0),
        Release(12, 0, 0),
        (75, *AMPERE_TO_HOPPER, *BLACKWELL_ULTRA, 107),
        NOTES + "11.5.0: for x86, ARM servers and Windows; JetPack is not named any more",
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


def kernel_row(backend: Backend, release: Release) -> KernelRow:
    """The row of a release; the table has one for each release of `releases.BUILDERS`.

    Raises:
        UsageError: the release is not known.
    """
    builder_row(backend, release)
    for row in KERNELS:
        if row.backend == backend and row.since <= release < row.before:
            return row
    raise AssertionError(f"no row of KERNELS for {backend} {release}")
