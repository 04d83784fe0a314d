"""Observes on the workers of a Dask cluster, with the same bytes as in one process.

In: a model and frames. Out: an observation. Workers read the frames themselves, so they need access
to the same paths; their digests are compared with those here. The last bits of a sum depend on the
kind of processor, so bytes are the same on machines of one kind only.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import onnx

from calibration.dask_cluster import Cluster, shards_of
from calibration.dataset.frames.frame import RoadFrame
from calibration.observation.observation import Observation, Subject, pack, unpack
from calibration.observation.observe import LocalObserver, subject_of
from edge.perception.preprocess import PreprocessSpec
from firmware_bridge.errors import NotTrusted


@dataclass(frozen=True)
class WorkerSetup:
    """What a worker needs beside its frames."""

    model: bytes
    tensors: tuple[str, ...]
    preprocess_spec: PreprocessSpec


class DaskObserver:
    """An `Observer` on the workers of a Dask cluster."""

    def __init__(
        self, client: Any, model: onnx.ModelProto, subject: Subject, preprocess_spec: PreprocessSpec
    ) -> None:
        setup = WorkerSetup(model.SerializeToString(), subject.tensors, preprocess_spec)
        self._cluster: Cluster[bytes] = Cluster(client, observe_shard, setup)

    def observe(
        self,
        frames: Sequence[RoadFrame],
        observation: Observation,
        *,
        ahead: Sequence[RoadFrame],
        pause: Callable[[int], bool],
    ) -> Iterator[None]:
        """See `Observer`. Shards arrive whole, so the caller may pause after each."""
        shards = shards_of(frames)
        self._cluster.begin([*shards, *shards_of(ahead)])
        expected = {frame.name: frame.digest() for frame in frames}
        done = 0
        for data in self._cluster.done(shards):
            part = unpack(data, source="a worker's answer")
            _require_same_data(part, expected)
            observation.merge(part)
            done += len(part.frames)
            if pause(done):
                yield


def observe_shard(setup: WorkerSetup, frames: Sequence[RoadFrame]) -> bytes:
    """The packed observation of `frames`, on a worker."""
    observer, subject = _observer(setup)
    part = Observation.empty(subject)
    for _ in observer.observe(frames, part, ahead=(), pause=lambda done: False):
        pass
    return pack(part)


@functools.lru_cache(maxsize=1)
def _observer(setup: WorkerSetup) -> tuple[LocalObserver, Subject]:
    """The observer of a worker's process; only one is cached, since it holds a model."""
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
