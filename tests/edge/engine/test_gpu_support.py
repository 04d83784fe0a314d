"""The table TensorRT x GPU: what it refuses before a build or a load, and that it is complete."""

from __future__ import annotations

import itertools

import pytest

from edge.engine.gpu_support.check import check_support, failed_elsewhere
from edge.engine.gpu_support.kernels import KERNELS, kernel_row
from edge.engine.gpu_support.known_faults import KNOWN_FAULTS
from edge.engine.releases import BUILDERS, Backend, Release
from firmware_bridge.errors import UsageError

ORIN, THOR = 87, 110


@pytest.mark.parametrize(
    ("backend", "release", "sm", "remedy"),
    [
        ("tensorrt", Release(10, 13, 3), ORIN, "8.6.0 to before 9.0.0, or 10.0.0 to before 10.8.0"),
        ("tensorrt", Release(11, 2, 1), ORIN, "10.16.1 to before 11.0.0"),
        ("tensorrt", Release(11, 5, 0), THOR, "use tensorrt 10.13.2 to before 11.5.0"),
        ("tensorrt", Release(10, 3, 0), THOR, "use tensorrt 10.13.2"),
        ("tensorrt", Release(10, 7, 0), 120, "use tensorrt 10.8.0"),
        ("tensorrt", Release(10, 5, 0), 70, "8.6.0 to before 9.0.0, or 10.0.0 to before 10.5.0"),
        ("rtx", Release(1, 4, 0), 121, "use tensorrt_rtx 1.5.0"),
        ("rtx", Release(1, 7, 1), ORIN, "another device"),
    ],
)
def test_a_gpu_without_kernels_is_refused_with_releases_that_have_them(
    backend: Backend, release: Release, sm: int, remedy: str
) -> None:
    with pytest.raises(UsageError, match="has no kernels for SM") as caught:
        check_support(backend, release, sm)
    assert remedy in caught.value.remedy
    assert f"SM {sm // 10}.{sm % 10}" in caught.value.found


@pytest.mark.parametrize(
    ("release", "sm", "said"),
    [
        (Release(10, 3, 0), 86, ()),
        (Release(10, 3, 0), ORIN, ()),
        (Release(10, 16, 2), ORIN, ()),
        (Release(10, 16, 2), THOR, ()),
        (Release(10, 13, 3), THOR, ("issues/4820", "issues/4590")),
        (Release(11, 1, 0), 89, ("issues/4813",)),
        (Release(11, 4, 0), THOR, ("does not support this release with JetPack",)),
        (Release(11, 4, 1), ORIN, ()),
    ],
)
def test_what_went_wrong_elsewhere_is_told_with_its_source(
    release: Release, sm: int, said: tuple[str, ...]
) -> None:
    told = check_support("tensorrt", release, sm)
    assert len(told) == len(said)
    for text, sentence in zip(said, told, strict=True):
        assert text in sentence
        assert "compare the engine with int8.onnx" in sentence


@pytest.mark.parametrize(
    ("release", "sm", "said"),
    [
        (Release(10, 7, 0), ORIN, "only JetPack's own package"),
        (Release(10, 16, 2), ORIN, "issues/4832"),
        (Release(10, 16, 2), THOR, ""),
    ],
)
def test_builds_that_failed_elsewhere_are_told_where_one_fails(
    release: Release, sm: int, said: str
) -> None:
    told = failed_elsewhere("tensorrt", release, sm)
    assert said in "".join(told)
    assert bool(told) == bool(said)


def test_a_layer_that_is_computed_wrongly_is_refused_and_only_there() -> None:
    with pytest.raises(UsageError, match="compute this network wrongly") as caught:
        check_support("tensorrt", Release(11, 1, 0), 89, layers={"CONVOLUTION", "GRID_SAMPLE"})
    assert "GRID_SAMPLE" in caught.value.expected
    assert "issues/4813" in caught.value.found
    assert check_support("tensorrt", Release(10, 3, 0), 89, layers={"GRID_SAMPLE"}) == ()


@pytest.mark.parametrize("backend", ["tensorrt", "rtx"])
def test_the_table_has_every_release_that_can_build(backend: Backend) -> None:
    rows = [row for row in KERNELS if row.backend == backend]
    for builder in (one for one in BUILDERS if one.backend == backend):
        assert kernel_row(backend, builder.since)
        last = Release(builder.before.major, builder.before.minor, builder.before.patch)
        assert any(row.since < last <= row.before for row in rows)
    for one, next_ in itertools.pairwise(rows):
        assert one.before <= next_.since, "rows overlap"


def test_every_row_names_its_source() -> None:
    for row in (*KERNELS, *KNOWN_FAULTS):
        assert row.since < row.before
        assert "/" in row.source, "a place that one can look at"
