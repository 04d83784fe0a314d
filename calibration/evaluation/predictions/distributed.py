"""Evaluating on many machines: the same answers as in one process, whoever gave them.

Workers read the pictures where the data set names them, so they must see the same files. The last
bits of a network's output depend on the kind of processor: the same bytes are promised on machines
of one kind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from calibration.dask_cluster import Cluster, shards_of
from calibration.evaluation.data.labelled_frames import Source
from calibration.evaluation.predictions.networks import Network, Reading
from calibration.evaluation.predictions.predict import Change, Predictions, predict


@dataclass(frozen=True)
class Setup:
    """What a worker needs beside the numbers of its frames."""

    networks: Mapping[str, Network]
    reading: Reading
    source: Source
    change: Change | None


@dataclass(frozen=True)
class Numbered:
    """A frame by its name and its row in the source."""

    name: str
    row: int


def cluster_answers(
    client: Any,
    networks: Mapping[str, Network],
    reading: Reading,
    source: Source,
    *,
    change: Change | None = None,
    advance: Callable[[int], None],
) -> Predictions:
    """As `predict`, on the workers of a Dask cluster; in any order.

    Raises what `predict` does, and DeviceFault where workers die again and again.
    """
    places = [Numbered(one.name, row) for row, one in enumerate(source.examples)]
    cluster: Cluster[Predictions] = Cluster(
        client, answer_shard, Setup(networks, reading, source, change)
    )
    found: Predictions = {name: [] for name in networks}
    for part in cluster.done(shards_of(places)):
        for name, some in part.items():
            found[name] += some
        advance(len(next(iter(found.values()))))
    return found


def answer_shard(setup: Setup, shard: Sequence[Numbered]) -> Predictions:
    """What a worker does: the answers of a few frames."""
    source = setup.source.only([one.row for one in shard])
    return predict(setup.networks, setup.reading, source, change=setup.change)
