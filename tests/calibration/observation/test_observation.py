"""Observations: right counts, the same bytes by any number of threads, nothing lost by a stop."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from small_network import SPEC, TENSORS, PaintedFrame, painted, small_network

from calibration.inference.sessions import ModelSession
from calibration.observation.observation import (
    Observation,
    pack,
    read_observation,
    unpack,
)
from calibration.observation.observe import observe, subject_of, with_outputs
from edge.perception.preprocess import preprocess
from firmware_bridge.errors import Missing, NotTrusted, UsageError


def quiet(what: str, done: int, total: int) -> None:
    pass


def seen_by(threads: int, frames: list[PaintedFrame], **more: int) -> Observation:
    return observe(
        small_network(),
        TENSORS,
        frames,
        preprocess_spec=SPEC,
        threads=threads,
        progress=quiet,
        **more,
    )


@pytest.fixture(scope="module")
def values() -> dict[str, list[NDArray[np.float32]]]:
    """Every value of every tensor on 6 frames, the slow way."""
    session = ModelSession(with_outputs(small_network(), TENSORS[1:]), threads=1)
    found: dict[str, list[NDArray[np.float32]]] = {name: [] for name in TENSORS}
    for frame in painted(6):
        x, _ = preprocess(frame.read(), SPEC)
        for name, array in zip(TENSORS, [x, *session.run({"picture": x})], strict=True):
            found[name].append(array.reshape(-1))
    return found


@pytest.mark.parametrize("slice_bytes", [1, 200_000, 1 << 28])
def test_every_value_is_counted(
    values: dict[str, list[NDArray[np.float32]]], slice_bytes: int
) -> None:
    seen = seen_by(2, painted(6), slice_bytes=slice_bytes)
    for row, name in enumerate(TENSORS):
        whole = np.concatenate(values[name])
        counts = np.bincount(np.abs(whole).view(np.uint32) >> 16, minlength=1 << 15)
        assert np.array_equal(seen.histograms[name].counts, counts)
        for frame, array in zip(painted(6), values[name], strict=True):
            assert tuple(seen.extremes[frame.name][row]) == (array.min(), array.max())


def test_only_the_tensors_asked_for_are_observed() -> None:
    seen = observe(
        small_network(),
        ["one/relu"],
        painted(2),
        preprocess_spec=SPEC,
        threads=1,
        progress=quiet,
    )
    assert set(seen.histograms) == {"one/relu"}


def test_threads_and_order_do_not_change_a_byte() -> None:
    once = pack(seen_by(1, painted(9)))
    assert pack(seen_by(3, painted(9))) == once
    assert pack(seen_by(2, painted(9)[::-1])) == once


def test_observations_of_disjoint_frames_merge_to_the_whole() -> None:
    frames = painted(7)
    for cut in (1, 4):
        merged = seen_by(2, frames[cut:])
        merged.merge(seen_by(1, frames[:cut]))
        assert pack(merged) == pack(seen_by(2, frames))


def test_what_does_not_belong_together_is_not_merged() -> None:
    seen = seen_by(1, painted(2))
    with pytest.raises(UsageError, match="cannot be joined"):
        seen.merge(seen_by(1, painted(1)))
    other = Observation.empty(dataclasses.replace(seen.subject, model="0" * 64))
    with pytest.raises(UsageError, match="cannot be joined"):
        seen.merge(other)


def test_a_model_that_makes_nan_is_named_with_tensor_and_frame() -> None:
    model = small_network()
    weight = model.graph.initializer[1]
    broken = np.frombuffer(weight.raw_data, np.float32).copy()
    broken[0] = np.nan
    weight.raw_data = broken.tobytes()
    with pytest.raises(UsageError) as caught:
        observe(model, TENSORS, painted(3), preprocess_spec=SPEC, threads=2, progress=quiet)
    assert "two/silu" in caught.value.what
    assert "painted-00000" in caught.value.found


def test_a_file_that_is_none_is_not_trusted(tmp_path: Path) -> None:
    with pytest.raises(Missing):
        read_observation(tmp_path / "none.npz")
    whole = pack(seen_by(1, painted(1)))
    for data in (
        b"",
        b"text",
        whole[: len(whole) // 2],
        whole.replace(b"observation/3", b"observation/9"),
    ):
        with pytest.raises(NotTrusted):
            unpack(data, source="a file")


def test_an_observation_of_nothing_packs() -> None:
    nothing = Observation.empty(subject_of(small_network(), TENSORS, SPEC))
    assert pack(unpack(pack(nothing), source="nothing")) == pack(nothing)
