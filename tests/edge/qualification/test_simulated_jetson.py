"""The first hour on a simulated device: engine, inspector, golden frames, loop on TensorRT."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from patience import PATIENCE_S
from simulated_device.description import Fault, Simulation
from simulated_device.site import Site, make_site

from edge.qualification.qualify import read_record

INT8_LAYER = {
    "Name": "map",
    "LayerType": "CaskConvolution",
    "Inputs": [{"Format/Datatype": "Int8"}],
    "Outputs": [{"Format/Datatype": "FP32"}],
    "Weights": {"Type": "Int8", "Count": 3072},
}
FLOAT_LAYER = {**INT8_LAYER, "Inputs": [{"Format/Datatype": "FP32"}], "Weights": {"Type": "FP32"}}
CUDA_13 = 13020


def qualified(site: Site, mission: Path, converted: Path, out: Path) -> dict[str, dict[str, Any]]:
    """Steps by name, of a process that has the device."""
    arguments = ["qualify", mission, "--from", converted, "--out", out, "--seconds", "1"]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "edge.cli",
            *map(str, arguments),
            "--set",
            "target.cuda=cuda-bindings",
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
        env=site.environment(),
    )
    assert "Traceback" not in done.stderr
    record = read_record(out / "qualification.json")
    assert done.returncode == record.exit_code, done.stderr
    return {step["step"]: step for step in record.steps}


def device(*layers: dict[str, Any], faults: tuple[Fault, ...] = ()) -> Simulation:
    text = json.dumps({"Layers": layers})
    return Simulation(inspector_text=text, driver_version=CUDA_13, faults=faults)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return make_site(tmp_path_factory.mktemp("site"), device(INT8_LAYER))


def test_the_engine_is_built_proved_and_run(
    site: Site, tiny_mission: Path, converted: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    steps = qualified(site, tiny_mission, converted, out)
    proved = ("preprocess kernel", "engine", "inspector", "golden frames", "clip")
    for name in ("CUDA", "TensorRT", *proved):
        assert steps[name]["state"] == "passed", steps[name]
    assert "tiny.plan by TensorRT 10.3.0" in steps["engine"]["found"]
    assert "100.0 % of the weighted layers compute in INT8" in steps["inspector"]["found"]
    assert "on tensorrt" in steps["clip"]["found"]
    assert steps["clip"]["figures"]["run"]["model"]["backend"] == "tensorrt"
    assert (out / "tiny.plan").exists()
    assert (out / "tiny.plan.json").exists()
    assert site.findings() == []


@pytest.mark.long
def test_an_engine_that_computes_in_float_or_something_else_is_found(
    site: Site, tiny_mission: Path, converted: Path, tmp_path: Path
) -> None:
    wrong = Fault("wrong output", at=1, times=0)
    site.describe(device(FLOAT_LAYER, faults=(wrong,)))
    steps = qualified(site, tiny_mission, converted, tmp_path / "out")
    assert steps["inspector"]["state"] == "failed"
    assert "the network asks for 2" in steps["inspector"]["found"]
    assert steps["golden frames"]["state"] == "failed"
    assert "dB" in steps["golden frames"]["found"]
    assert "do not use it" in steps["golden frames"]["remedy"]
