"""Observing on many machines: `Observer` on a Dask cluster, to the same bytes as in one process.

Workers read the frames where the data set names them, so they must see the same files; what they
read is checked against the digests here. The last bits of a sum depend on the kind of processor:
the same bytes are promised on machines of one kind.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import onnx

from calibration.dask_cluster import Cluster, shards_of
from calibration.dataset.frames.frame import RoadFrame
from calibration.observation.observation import Observation, Subject, packed, unpacked
from calibration.observation.observe import LocalObserver, subject_of
from edge.perception.preprocess import PreprocessSpec
from firmware_bridge.errors import NotTrusted


@dataclass(frozen=True)
class Setup:
    """What a worker needs beside the frames."""

    model: bytes
    tensors: tuple[str, ...]
    preprocess_spec: PreprocessSpec


class DaskObserver:
    """See `calibration.observation.observe.Observer`."""

    def __init__(
        self, client: Any, model: onnx.ModelProto, subject: Subject, preprocess_spec: PreprocessSpec
    ) -> None:
        setup = Setup(model.SerializeToString(), subject.tensors, preprocess_spec)
        self._cluster: Cluster[bytes] = Cluster(client, observe_shard, setup)

    def observe(
        self,
        frames: Sequence[RoadFrame],
        seen: Observation,
        *,
        ahead: Sequence[RoadFrame],
        pause: Callable[[int], bool],
    ) -> Iterator[None]:
        """See `Observer`: a shard is whole or not there, so every turn of the caller is a pause."""
        shards = shards_of(frames)
        self._cluster.begin([*shards, *shards_of(ahead)])
        expected = {frame.name: frame.digest() for frame in frames}
        done = 0
        for data in self._cluster.done(shards):
            part = unpacked(data, source="a worker's answer")
            _require_same_data(part, expected)
            seen.merge(part)
            done += len(part.frames)
            if pause(done):
                yield


def observe_shard(setup: Setup, frames: Sequence[RoadFrame]) -> bytes:
    """On the worker: the packed observation of `frames`."""
    observer, subject = _observer(setup)
    part = Observation.of_nothing(subject)
    for _ in observer.observe(frames, part, ahead=(), pause=lambda done: False):
        pass
    return packed(part)


@functools.lru_cache(maxsize=1)
def _observer(setup: Setup) -> tuple[LocalObserver, Subject]:
    """The session of a worker's process: one at a time, since it holds a model."""
    model = onnx.ModelProto.FromString(setup.model)
    spec = setup.preprocess_spec
    subject = subject_of(model, setup.tensors, spec)
    return LocalObserver(model, subject, preprocess_spec=spec, threads=1), subject


def _require_same_data(part: Observation, expected: dict[str, str]) -> None:
    for name, digest in part.frames.items():
        if expected[name] != digest:
            raise NotTrusted(
                f"a worker read another frame under the name {name}",
                expected=f"sha256 {expected[name]}, as here",
                found=f"sha256 {digest}",
                remedy="give the workers the same data set, under the same path",
            )
