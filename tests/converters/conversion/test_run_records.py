"""Run records of verbs in `runs/`, and their mirror in a real MLflow on SQLite."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_mission import write_mission

from calibration.tracking.record_run import QUIET
from edge.contract.artifact import digest_file
from edge.contract.run_record import RunRecord, runs_in

Command = Callable[..., tuple[int, str, str]]

needs_mlflow = pytest.mark.skipif(
    importlib.util.find_spec("mlflow") is None, reason="the extra `tracking` is not installed"
)


@pytest.fixture
def mission(tmp_path: Path) -> Path:
    return write_mission(tmp_path / "m")


def recorded(mission: Path) -> list[RunRecord]:
    return [one for one in runs_in(mission.parent / "runs") if isinstance(one, RunRecord)]


def test_convert_and_calibrate_leave_a_record(
    brakepoint: Command, mission: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    code, _, err = brakepoint("convert", mission, "--out", out)
    assert code == 0
    assert "recorded as" in err
    code, _, _ = brakepoint("convert", mission, "--out", out, "--set", "gates.size_max_mb=1e-6")
    assert code == 1
    assert brakepoint("calibrate", mission, "--out", tmp_path / "ranges")[0] == 0
    runs = {one.name: one.run for one in recorded(mission)}
    assert sorted(run.kind for run in runs.values()) == ["calibrate", "convert", "convert"]
    converts = [run for run in runs.values() if run.kind == "convert"]
    assert sorted(run.passed for run in converts) == [False, True]
    for run in converts:
        assert run.outputs["int8.onnx"] == digest_file(out / "int8.onnx")
        assert run.metrics["found int8.onnx"] == 1.0
        assert run.parameters["calibration.frames"] == 8
        assert str(tmp_path) not in str(run)
    names = [name for name, run in sorted(runs.items()) if run.kind == "convert"]
    code, told, _ = brakepoint("runs", "compare", *names, "--in", mission)
    assert code == 0
    assert "gates.size_max_mb" in told
    assert "found_min" not in told


def test_a_record_that_cannot_be_written_fails_nothing(
    brakepoint: Command, mission: Path, tmp_path: Path
) -> None:
    (mission.parent / "runs").write_text("a file stands in the way")
    code, _, err = brakepoint("convert", mission, "--out", tmp_path / "out")
    assert code == 0
    assert "this run is not recorded in" in err


@needs_mlflow
def test_the_mirror_holds_parameters_metrics_tags_and_files_and_talks_to_nobody(
    brakepoint: Command, mission: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every look-up and connection of the process ends it: there is none."""
    (tmp_path / "guard").mkdir()
    (tmp_path / "guard" / "sitecustomize.py").write_text(GUARD)
    python_path = os.pathsep.join([str(tmp_path / "guard"), *sys.path])
    monkeypatch.setenv("PYTHONPATH", python_path)
    store = tmp_path / "store" / "mlflow.db"
    setting = ("--set", f"tracking.mlflow={store}")
    code, _, err = brakepoint("convert", mission, "--out", tmp_path / "out", *setting)
    assert code == 0
    assert "mirrored: mlflow ui" in err, err
    (one,) = recorded(mission)
    seen = subprocess.run(
        [sys.executable, "-c", LOOK, str(store)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **QUIET},
        cwd=tmp_path,
    ).stdout.splitlines()
    assert seen == [
        "tiny FINISHED",
        f"{one.run.metrics['found int8.onnx']} {one.run.parameters['calibration.frames']}",
        f"passed {one.run.outputs['int8.onnx']}",
        "convert.lock.json report.html report.json",
    ]
    assert {path.name for path in store.parent.iterdir()} == {"mlflow.db", "mlflow-files"}


GUARD = """
import os, socket, sys
def refused(*_, **__):
    sys.stderr.write("a connection was tried\\n")
    sys.stderr.flush()
    os._exit(9)
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refused
"""

LOOK = """
import sys
from mlflow import MlflowClient
client = MlflowClient(f"sqlite:///{sys.argv[1]}")
(experiment,) = [one for one in client.search_experiments() if one.name != "Default"]
(run,) = client.search_runs([experiment.experiment_id])
print(experiment.name, run.info.status)
print(run.data.metrics["found int8.onnx"], run.data.params["calibration.frames"])
print(run.data.tags["gates"], run.data.tags["outputs int8.onnx"])
print(*sorted(file.path for file in client.list_artifacts(run.info.run_id)))
"""


@needs_mlflow
@pytest.mark.parametrize("trouble", ["no database", "no folder"])
def test_a_mirror_that_fails_is_told_and_fails_nothing(
    brakepoint: Command, mission: Path, tmp_path: Path, trouble: str
) -> None:
    (tmp_path / "file").write_text("this is no database, and it is no folder either")
    store = tmp_path / "file" if trouble == "no database" else tmp_path / "file" / "mlflow.db"
    setting = ("--set", f"tracking.mlflow={store}")
    code, _, err = brakepoint("convert", mission, "--out", tmp_path / "out", *setting)
    assert code == 0
    assert "this run is not in MLflow" in err
    assert (tmp_path / "file").read_text() == "this is no database, and it is no folder either"
