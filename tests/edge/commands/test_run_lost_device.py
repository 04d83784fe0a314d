"""`run` on a simulated GPU that fails in mid-run: the vehicle stops, and the process ends.

The process is the command's own, since its end is what is tested: CUDA's own clean-up would wait
for a GPU that hangs, as the simulated one does here.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from patience import PATIENCE_S
from simulated_device.description import Fault, Gpu, Simulation
from simulated_device.site import Site, make_site
from simulated_device.verb_calls import call_verbs
from tiny_road import write_clip

from edge.cli import main

FRAMES, FAILS_AT = 100, 40
DEVICE = Simulation(
    gpus=(Gpu(name="Orin", sm=87),),
    releases=("tensorrt-10.3.0",),
    driver_version=13020,
    hang="block",
)


@pytest.fixture(scope="module")
def conversion(tiny_mission: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A conversion with an engine for the device."""
    folder = tmp_path_factory.mktemp("conversion")
    with pytest.raises(SystemExit) as ended:
        main(["convert", str(tiny_mission), "--out", str(folder / "out")])
    assert not ended.value.code
    site = make_site(folder / "site", DEVICE)
    build = ("engine", "build", folder / "out", "--out", folder / "out" / "road.plan")
    assert call_verbs(site, {"build": build})["build"].code == 0
    return folder / "out"


def run_to_its_end(site: Site, mission: Path, conversion: Path, clip: Path, *more: str) -> Any:
    arguments = ("--from", conversion, "--source", clip, "--precision", "int8", *more, "--json")
    return subprocess.run(
        [sys.executable, "-m", "edge.cli", "run", *map(str, (mission, *arguments))],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
        env=site.environment(),
    )


@dataclass(frozen=True)
class Failure:
    """A fault, and what the report says of it."""

    kind: str
    cuda: str
    ended: str
    words: str


@pytest.mark.requirement("R-RUN-90", "R-RUN-93")
@pytest.mark.parametrize(
    "failure",
    [
        Failure("launch failure", "pycuda", "device lost", "unspecified launch failure"),
        Failure("never ends", "cuda-bindings", "inference hung", "did not end within 2000 ms"),
    ],
    ids=lambda failure: failure.kind,
)
def test_the_vehicle_stops_and_the_process_ends_with_code_5(
    failure: Failure, tiny_mission: Path, conversion: Path, tmp_path: Path
) -> None:
    site = make_site(tmp_path, replace(DEVICE, faults=(Fault(failure.kind, at=FAILS_AT),)))
    clip = write_clip(tmp_path / "clip.mp4", frames=FRAMES)
    options = ("--backend", "tensorrt", "--set", f"target.cuda={failure.cuda}")
    done = run_to_its_end(site, tiny_mission, conversion, clip, *options)
    assert done.returncode == 5, done.stderr
    report = json.loads(done.stdout)
    assert (report["exit_code"], report["ended"]) == (5, failure.ended)
    assert 0 < report["frames"]["inferred"] < FRAMES
    actions = [one["action"] for one in report["effective"]]
    assert actions[:2] == ["COMFORT_STOP", "NONE"], "booted, released"
    assert "NONE" not in actions[2:]
    assert actions[-1] == "COMFORT_STOP"
    assert report["effective"][-1]["latched"]
    kinds = {fault["kind"]: fault for fault in report["faults"]}
    assert failure.words in kinds["device lost"]["text"]
    assert "start again" in kinds["device lost"]["remedy"]
    assert "last stop unacknowledged" not in kinds
    assert report["device"]["device"].startswith("Orin, SM 8.7")
    assert report["device_ms"]["execute"]["count"] == report["frames"]["inferred"]
    assert not site.findings()


def test_a_gpu_without_room_is_refused_before_the_first_frame(
    tiny_mission: Path, conversion: Path, tmp_path: Path
) -> None:
    full = replace(DEVICE, faults=(Fault("out of memory at load"),))
    site = make_site(tmp_path, full)
    clip = write_clip(tmp_path / "clip.mp4", frames=5)
    done = run_to_its_end(site, tiny_mission, conversion, clip, "--backend", "tensorrt")
    assert done.returncode == 5, done.stderr
    assert "the GPU's memory is full" in done.stderr
    assert "MiB are free" in done.stderr
    assert not done.stdout
