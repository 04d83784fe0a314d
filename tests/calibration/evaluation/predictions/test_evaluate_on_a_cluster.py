"""Evaluating on a Dask cluster of real processes: the same file, also when a worker is killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from labelled_road import FRAMES, write_labelled_road
from tiny_mission import write_mission

from calibration.dask_cluster import connect
from calibration.evaluation.data.evaluation_set import choose_frames
from calibration.evaluation.evaluate import (
    Evaluation,
    evaluation_bytes,
    ground_truth_digest,
    sort_predictions,
    tables_of,
)
from calibration.evaluation.predictions.distributed import predict_on_cluster
from calibration.evaluation.predictions.networks import Network, inference_spec
from calibration.evaluation.predictions.predict import predict
from edge.cli import main
from edge.contract.mission.loading import load_mission
from firmware_bridge.errors import Missing

pytest.importorskip("distributed", reason="needs the extra [distributed]")


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with connect(None, 2) as found:
        yield found


def test_a_killed_worker_loses_nothing_and_changes_no_byte(client: Any, tmp_path: Path) -> None:
    mission = load_mission(write_mission(tmp_path / "mission"))
    data = str(write_labelled_road(tmp_path / "labelled"))
    chosen = choose_frames(mission, data=data, split=None, scene_count=0)
    model = (tmp_path / "mission" / "tiny.onnx").read_bytes()
    networks = {"model": Network("tiny.onnx", model, "as_written", "as given")}
    reading = inference_spec(mission.model, threads=1)

    def file_of(found: list[Any]) -> bytes:
        ordered = sort_predictions(chosen, found)
        tables = tables_of(reading, mission.model.labels, data=chosen, predictions=ordered)
        return evaluation_bytes(
            Evaluation(mission, networks["model"], chosen, tables, ground_truth_digest(ordered))
        )

    killed: list[int] = []

    def kill_one(done: int) -> None:
        if not killed:
            killed.append(next(iter(client.run(os.getpid).values())))
            os.kill(killed[0], signal.SIGKILL)

    there = predict_on_cluster(client, networks, reading, chosen.source, advance=kill_one)
    here = predict(networks, reading, chosen.source)
    assert killed
    assert len(there["model"]) == FRAMES
    assert file_of(there["model"]) == file_of(here["model"])
    shuffled = np.random.default_rng(0).permutation(FRAMES)
    assert file_of([here["model"][row] for row in shuffled]) == file_of(here["model"])


def test_a_cut_picture_on_a_worker_is_the_same_refusal_here(client: Any, tmp_path: Path) -> None:
    mission = load_mission(write_mission(tmp_path / "mission"))
    road = write_labelled_road(tmp_path / "labelled")
    chosen = choose_frames(mission, data=str(road), split=None, scene_count=0)
    model = (tmp_path / "mission" / "tiny.onnx").read_bytes()
    networks = {"model": Network("tiny.onnx", model, "as_written", "as given")}
    (road / "007.png").write_bytes(b"\x89PNG cut")
    with pytest.raises(Missing, match=r"007\.png"):
        predict_on_cluster(
            client,
            networks,
            inference_spec(mission.model, threads=1),
            chosen.source,
            advance=lambda done: None,
        )


def test_a_scheduler_that_is_not_there_is_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("calibration.dask_cluster.CONNECT_WITHIN_S", 1)
    mission = write_mission(tmp_path / "mission")
    road = write_labelled_road(tmp_path / "labelled")
    given = ["--model", str(mission.parent / "tiny.onnx"), "--data", str(road)]
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", str(mission), *given, "--scheduler", "tcp://127.0.0.1:9", "--out", "x"])
    assert ended.value.code == 3
    assert "no Dask cluster at tcp://127.0.0.1:9" in capsys.readouterr().err
