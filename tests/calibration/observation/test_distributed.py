"""The same observation on a real Dask cluster of processes: same bytes, also when a worker dies."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from small_network import SPEC, TENSORS, PaintedFrame, painted, small_mission, small_network

from calibration import dask_cluster
from calibration.dask_cluster import connect
from calibration.observation.distributed import DaskObserver
from calibration.observation.observation import pack
from calibration.observation.observe import subject_of
from calibration.ranges.calibrate import calibrate
from edge.contract.artifact import canonical_json
from edge.perception.values import BgrImage
from firmware_bridge.errors import Missing, NotTrusted, UsageError

pytest.importorskip("distributed", reason="needs the extra [distributed]")


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with connect(None, 2) as opened:
        yield opened


def observer(client: Any) -> DaskObserver:
    model = small_network()
    return DaskObserver(client, model, subject_of(model, TENSORS, SPEC), SPEC)


@dataclass(frozen=True)
class SlowFrame(PaintedFrame):
    """A frame that takes its time, so that a worker can die over it."""

    def read(self) -> BgrImage:
        time.sleep(0.05)
        return super().read()

    def digest(self) -> str:
        return f"{self.seed:064}"


@pytest.mark.slow
def test_a_killed_worker_loses_nothing_and_changes_nothing(client: Any, tmp_path: Path) -> None:
    frames = [SlowFrame(seed) for seed in range(40)]
    mission = small_mission(tmp_path, 'calibration.method="mse"')
    killed: list[int] = []

    def progress(what: str, done: int, total: int) -> None:
        if what == "observe" and done >= 4 and not killed:
            victim = next(iter(client.run(os.getpid).values()))
            os.kill(victim, signal.SIGKILL)
            killed.append(victim)

    def ignored(what: str, done: int, total: int) -> None:
        pass

    spread = calibrate(
        small_network(), TENSORS, frames, mission, progress=progress, observer=observer(client)
    )
    assert killed
    assert killed[0] not in client.run(os.getpid).values()
    alone = calibrate(small_network(), TENSORS, frames, mission, progress=ignored)
    assert pack(spread.observation) == pack(alone.observation)
    assert canonical_json(spread.ranges.to_json()) == canonical_json(alone.ranges.to_json())
    assert spread.sampling == alone.sampling


@dataclass(frozen=True)
class OtherThere(PaintedFrame):
    """A frame that is another picture in another process."""

    home: int = 0

    def digest(self) -> str:
        return "0" * 64 if os.getpid() == self.home else "1" * 64


def observed(client: Any, frames: list[PaintedFrame]) -> None:
    from calibration.observation.observation import Observation

    seen = Observation.empty(subject_of(small_network(), TENSORS, SPEC))
    for _ in observer(client).observe(frames, seen, ahead=(), pause=lambda done: False):
        pass


def test_a_worker_with_other_data_is_not_trusted(client: Any) -> None:
    frames: list[PaintedFrame] = [OtherThere(seed, home=os.getpid()) for seed in range(4)]
    with pytest.raises(NotTrusted, match="read another frame under the name"):
        observed(client, frames)


@dataclass(frozen=True)
class Unreadable(PaintedFrame):
    """A frame whose file is not there."""

    def read(self) -> BgrImage:
        raise Missing("cannot read it", expected="a file", found="none", remedy="restore it")


def test_a_refusal_on_a_worker_is_the_same_refusal_here(client: Any) -> None:
    with pytest.raises(Missing) as refused:
        observed(client, [Unreadable(0)])
    assert (refused.value.expected, refused.value.remedy) == ("a file", "restore it")
    observed(client, [*painted(3)])  # and the cluster goes on


def test_no_cluster_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_cluster, "CONNECT_WITHIN_S", 1)
    with pytest.raises(Missing, match="no Dask cluster"), connect("tcp://127.0.0.1:9", None):
        pass
    with pytest.raises(UsageError), connect(None, None):
        pass
    with pytest.raises(UsageError), connect(None, 0):
        pass
