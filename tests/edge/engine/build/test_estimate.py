"""How far a build is: estimates by steps and by the last build; a build is never silent."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from stand_in import StandIn

from edge.commands.build_progress import build_progress, words
from edge.engine.api_probe import Probe
from edge.engine.build import run_build
from edge.engine.build.build_log import progress_monitor, remaining_s
from edge.engine.build.estimate import (
    LAST_BUILD,
    STEPS,
    BuildProgress,
    Estimate,
    last_build_s,
)
from edge.engine.build_request import BuildRequest
from edge.engine.plan.sidecar import SCHEMA
from edge.engine.releases import Release
from firmware_bridge.errors import DeviceFault

FACTS: dict[str, Any] = {
    "backend": "tensorrt",
    "release": "10.3.0",
    "gpu": {"name": "Orin", "sm": 87, "multiprocessors": 16},
    "sm": [87],
    "model": {"file": "int8.onnx", "sha256": "aa"},
    "dla_core": None,
    "timing_cache": "none",
}


class Hand:
    """A clock that a test moves."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_phase_of_many_steps_is_a_measure_of_time_and_one_of_few_is_none() -> None:
    assert remaining_s(20, 80, 10.0) == pytest.approx(30.0)
    assert remaining_s(2, 6, 300.0) is None
    assert remaining_s(1, 80, 10.0) is None
    assert remaining_s(20, 80, 0.5) is None


def test_the_monitor_tells_the_rest_of_each_phase() -> None:
    clock, told = Hand(), []
    probe = Probe(StandIn("tensorrt-10.3.0"), "tensorrt", Release(10, 3, 0))
    monitor = progress_monitor(probe, lambda *what: told.append(what), clock=clock)
    monitor.phase_start("Building engine", None, 6)
    monitor.phase_start("Timing graph nodes", "Building engine", 40)
    clock.now_s += 20.0
    assert monitor.step_complete("Timing graph nodes", 9), "a build is never cancelled"
    monitor.phase_finish("Timing graph nodes")
    assert told == [
        ("Building engine", 0, 6, None),
        ("Timing graph nodes", 0, 40, None),
        ("Timing graph nodes", 10, 40, 60.0),
        ("Timing graph nodes", 40, 40, 0.0),
    ]


def test_the_last_build_counts_before_the_steps_and_no_estimate_is_made_up() -> None:
    clock = Hand()
    estimate = Estimate(clock=clock)
    clock.now_s += 4.0
    assert estimate.now() == BuildProgress("starting", 0, 0, 4.0, None, "")
    estimate.expect(60.0)
    estimate.on_phase("Timing graph nodes", 10, 40, 25.0)
    clock.now_s += 10.0
    now = estimate.now()
    assert (now.elapsed_s, now.remaining_s, now.basis) == (14.0, 50.0, LAST_BUILD)
    estimate.on_phase("Timing graph nodes", 12, 40, 90.0)
    clock.now_s += 60.0
    now = estimate.now()
    assert (now.remaining_s, now.basis) == (30.0, STEPS), "it takes longer than the last time"
    clock.now_s += 60.0
    assert estimate.now().remaining_s is None
    assert words(estimate.now()) == "Timing graph nodes 12 of 40"
    assert "about 1 min 30 s left by" in words(BuildProgress("a", 0, 0, 1.0, 90.0, LAST_BUILD))


def test_the_last_build_is_one_of_the_same_model_gpu_and_timings(tmp_path: Path) -> None:
    assert last_build_s(tmp_path, FACTS) is None
    sidecar = {"schema": SCHEMA, **FACTS, "build_seconds": 312.5}
    (tmp_path / "report.json").write_text("[")
    (tmp_path / "road.plan.json").write_text(json.dumps(sidecar))
    assert last_build_s(tmp_path, FACTS) == 312.5
    others: list[dict[str, Any]] = [
        {"model": {"file": "int8.onnx", "sha256": "bb"}},
        {"timing_cache": "warm"},
        {"release": "10.7.0"},
        {"gpu": {"name": "Orin", "sm": 87, "multiprocessors": 8}},
    ]
    for other in others:
        assert last_build_s(tmp_path, {**FACTS, **other}) is None


def test_a_build_that_tells_nothing_is_told_of_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with TensorRT 8.6, or in one long step: the builder here waits until it was told twice."""
    gate = tmp_path / "gate"
    waits = (
        f"import pathlib, time\ngate = pathlib.Path({str(gate)!r})\n"
        "while not gate.exists(): time.sleep(0.01)"
    )
    monkeypatch.setattr(run_build, "COMMAND", ("-c", waits))
    told: list[BuildProgress] = []

    def progress(now: BuildProgress) -> None:
        told.append(now)
        if len(told) == 3:
            gate.touch()

    request = BuildRequest(source="road.onnx", plan="", backend="tensorrt")
    with pytest.raises(DeviceFault, match="crashed"):
        run_build.build_engine(request, tmp_path / "road.plan", progress=progress, tick_s=0.02)
    assert len(told) >= 3
    assert [now.elapsed_s for now in told] == sorted(now.elapsed_s for now in told)
    assert not any(thread.name == "build events" for thread in threading.enumerate())


def test_progress_as_json_is_one_object_a_line_on_stderr(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with build_progress(as_json=True) as show:
        show(BuildProgress("Timing graph nodes", 3, 40, 2.25, 31.04, STEPS))
        show(BuildProgress("Timing graph nodes", 4, 40, 2.3, 31.0, STEPS))
    out, err = capsys.readouterr()
    assert out == ""
    assert json.loads(err) == {
        "event": "progress",
        "phase": "Timing graph nodes",
        "done": 3,
        "total": 40,
        "elapsed_s": 2.2,
        "remaining_s": 31.0,
        "basis": STEPS,
    }
