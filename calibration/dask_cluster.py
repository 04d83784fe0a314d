"""Distributes work on shards of frames over a Dask cluster. Dask is imported when it is used.

In: a function, its setup and shards, each of a few frames. Out: the result of each shard, in any
order. Results must merge in any order, since a shard is computed by any worker, and again where a
worker dies.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Generic, Protocol, TypeVar

from edge.install import pip_install
from firmware_bridge.errors import DeviceFault, Missing, UsageError

R = TypeVar("R")


class HasName(Protocol):
    """A frame or a reference to one, with a name that is unique in the work."""

    @property
    def name(self) -> str: ...


F = TypeVar("F", bound=HasName)

SHARD_FRAMES = 4
"""Frames in a task: seconds of work at most, and milliseconds of communication."""

CONNECT_WITHIN_S = 15


class Cluster(Generic[R]):
    """Runs `work(setup, shard)` on the workers of a Dask cluster, at least once for each shard.

    `setup` is the same for every shard (a model, for example); it must be cheap to pickle or be
    bytes. Results come in the order in which they are done.
    """

    def __init__(self, client: Any, work: Callable[[Any, Sequence[Any]], R], setup: Any) -> None:
        self._client = client
        self._work = work
        # A task, since scattered data would be lost with the worker that holds it.
        self._setup = client.submit(_itself, setup, pure=False)
        self._begun: dict[tuple[str, ...], Any] = {}

    def begin(self, shards: Iterable[Sequence[HasName]]) -> None:
        """Starts shards that `done` will ask for, without waiting."""
        for shard in shards:
            key = _key(shard)
            if key not in self._begun:
                self._begun[key] = self._client.submit(
                    self._work, self._setup, tuple(shard), pure=False
                )

    def done(self, shards: Sequence[Sequence[HasName]]) -> Iterator[R]:
        """The results of these shards, as they are done.

        Raises:
            Refusal: the work refused a shard.
            DeviceFault: workers die again and again on a shard, or the scheduler is gone.
        """
        from distributed import KilledWorker, as_completed
        from distributed.client import FutureCancelledError

        self.begin(shards)
        futures = [self._begun.pop(_key(shard)) for shard in shards]
        try:
            for future in as_completed(futures):
                yield future.result()
        except (KilledWorker, FutureCancelledError, OSError) as error:
            raise DeviceFault(
                "the cluster cannot finish its work",
                expected="a scheduler that answers, and workers that survive a shard of "
                f"{SHARD_FRAMES} frames",
                found=f"{type(error).__name__}: {error}",
                remedy="look at the workers' logs (memory is the usual reason), then run the same "
                "command again",
            ) from error


def shards_of(frames: Sequence[F]) -> list[Sequence[F]]:
    """`frames` in order, SHARD_FRAMES at a time."""
    return [frames[row : row + SHARD_FRAMES] for row in range(0, len(frames), SHARD_FRAMES)]


@contextlib.contextmanager
def connect(scheduler: str | None, workers: int | None) -> Iterator[Any]:
    """A Dask client of the scheduler at this address, or of `workers` processes on this machine.

    Raises:
        UsageError: neither or both are given.
        Missing: Dask is not installed, or no scheduler or worker answers.
    """
    if (scheduler is None) == (workers is None) or (workers is not None and workers < 1):
        raise UsageError(
            "it is not clear which cluster is meant",
            expected="--scheduler ADDRESS, or --workers N with at least one",
            found=f"scheduler {scheduler}, workers {workers}",
            remedy="give one of them",
        )
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise Missing(
            "work on many machines needs Dask",
            expected="the extra [distributed]",
            found=str(error),
            remedy=pip_install("distributed"),
        ) from error
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with contextlib.ExitStack() as opened:
        if workers is not None:
            address: Any = opened.enter_context(
                LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    dashboard_address=None,
                    memory_limit=0,
                    silence_logs=logging.CRITICAL,
                )
            )
        else:
            address = scheduler
        try:
            client = opened.enter_context(Client(address, timeout=CONNECT_WITHIN_S))
            client.wait_for_workers(1, timeout=CONNECT_WITHIN_S)
        except (OSError, TimeoutError, ValueError) as error:
            raise Missing(
                f"no Dask cluster at {scheduler}",
                expected="a scheduler with at least one worker",
                found=str(error) or type(error).__name__,
                remedy="start them (dask scheduler; dask worker ADDRESS) or correct --scheduler",
            ) from error
        yield client


def _key(shard: Sequence[HasName]) -> tuple[str, ...]:
    return tuple(frame.name for frame in shard)


def _itself(setup: R) -> R:
    return setup
