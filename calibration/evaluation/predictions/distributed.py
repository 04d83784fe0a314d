"""Predicts on the workers of a Dask cluster, with the same predictions as in one process.

In: networks and a source of frames. Out: predictions, in any order. Workers read the pictures
themselves, so they need access to the same paths. The last bits of a network's output depend on the
kind of processor, so bytes are the same on machines of one kind only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from calibration.dask_cluster import Cluster, shards_of
from calibration.evaluation.data.labelled_frames import Source
from calibration.evaluation.predictions.networks import InferenceSpec, Network
from calibration.evaluation.predictions.predict import Change, Predictions, predict


@dataclass(frozen=True)
class WorkerSetup:
    """What a worker needs beside its frames."""

    networks: Mapping[str, Network]
    inference: InferenceSpec
    source: Source
    change: Change | None


@dataclass(frozen=True)
class NumberedFrame:
    """A frame by its name and its row in the source."""

    name: str
    row: int


def predict_on_cluster(
    client: Any,
    networks: Mapping[str, Network],
    inference: InferenceSpec,
    source: Source,
    *,
    change: Change | None = None,
    advance: Callable[[int], None],
) -> Predictions:
    """Predicts as `predict` does, on the workers of a Dask cluster; in any order.

    Raises what `predict` raises, and DeviceFault where workers die again and again.
    """
    places = [NumberedFrame(one.name, row) for row, one in enumerate(source.examples)]
    cluster: Cluster[Predictions] = Cluster(
        client, predict_shard, WorkerSetup(networks, inference, source, change)
    )
    found: Predictions = {name: [] for name in networks}
    for part in cluster.done(shards_of(places)):
        for name, some in part.items():
            found[name] += some
        advance(len(next(iter(found.values()))))
    return found


def predict_shard(setup: WorkerSetup, shard: Sequence[NumberedFrame]) -> Predictions:
    """The predictions of a few frames, on a worker."""
    source = setup.source.only([one.row for one in shard])
    return predict(setup.networks, setup.inference, source, change=setup.change)
