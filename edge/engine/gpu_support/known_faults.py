"""The table of what went wrong elsewhere with a TensorRT release, and on which GPUs.

Every row names its source. Imports no TensorRT.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge.engine.releases import Backend, Release

GITHUB = "github.com/"
JETSON_PAGE = "docs.nvidia.com/deeplearning/tensorrt, migration on Jetson, of "


@dataclass(frozen=True)
class KnownFault:
    """Something that went wrong elsewhere with a range of releases.

    Attributes:
        since, before: as of `KernelRow`.
        sm: the GPUs; empty for every GPU.
        layers: members of LayerType: where there are any, only a network with one of them is
            concerned, and it is refused, since the results were wrong without a word.
        fails: whether the build failed; then it is told where a build fails. Else it is a warning
            for every engine.
        what: one clause.
    """

    backend: Backend
    since: Release
    before: Release
    what: str
    source: str
    sm: tuple[int, ...] = ()
    layers: tuple[str, ...] = ()
    fails: bool = False

    def concerns(self, backend: Backend, release: Release, sm: int) -> bool:
        """Whether it was seen with such a release on such a GPU."""
        within = self.backend == backend and self.since <= release < self.before
        return within and (not self.sm or sm in self.sm)

    @property
    def words(self) -> str:
        """What and where it was seen."""
        return f"{self.what} ({self.source})"


KNOWN_FAULTS: tuple[KnownFault, ...] = (
    KnownFault(
        "tensorrt",
        Release(10, 0, 0),
        Release(10, 8, 0),
        "only JetPack's own package has kernels for SM 8.7, the one from pip has none",
        "forums.developer.nvidia.com/t/364236",
        sm=(87,),
        fails=True,
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
        fails=True,
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
