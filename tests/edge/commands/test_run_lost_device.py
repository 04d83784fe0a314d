"""`run` on a simulated GPU that fails in mid-run: the vehicle stops, and the process ends.

The process is the command's own, since its end is what is tested: CUDA's own clean-up would wait
for a GPU that hangs, as the simulated one does here.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from patience import PATIENCE_S
from simulated_device.description import Fault, Gpu, Simulation
from simulated_device.site import make_site
from simulated_device.verb_calls import call_verbs
from tiny_road import write_clip

FRAMES, FAILS_AT = 100, 40
DEVICE = Simulation(
    gpus=(Gpu(name="Orin", sm=87),),
    releases=("tensorrt-10.3.0",),
    driver_version=13020,
    hang="block",
)


@pytest.fixture(scope="module")
def conversion(converted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A conversion with an engine for the device."""
    folder = tmp_path_factory.mktemp("engine")
    out = Path(shutil.copytree(converted, folder / "out"))
    build = ("engine", "build", out, "--out", out / "road.plan")
    assert call_verbs(make_site(folder, DEVICE), {"build": build})["build"].code == 0
    return out


@dataclass(frozen=True)
class Failure:
    """A fault, the CUDA driver that meets it, and what the report says of it."""

    kind: str
    cuda: str
    words: str


FAILURES = (
    Failure("launch failure", "pycuda", "unspecified launch failure"),
    Failure("never ends", "cuda-bindings", "did not end within 2000 ms"),
)


@dataclass(frozen=True)
class Ended:
    """A run that has ended."""

    code: int
    out: str
    errors: str
    findings: list[str]


@pytest.fixture(scope="module")
def ended(
    tiny_mission: Path, conversion: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Ended]:
    """Every failure, each in a process of its own, all at once."""
    folder = tmp_path_factory.mktemp("runs")
    clip = write_clip(folder / "clip.mp4", frames=FRAMES)
    fixed = (tiny_mission, "--from", conversion, "--source", clip, "--precision", "int8", "--json")
    sites, running = {}, {}
    for failure in FAILURES:
        faulty = replace(DEVICE, faults=(Fault(failure.kind, at=FAILS_AT),))
        sites[failure.kind] = site = make_site(folder / failure.cuda, faulty)
        options = ("--backend", "tensorrt", "--set", f"target.cuda={failure.cuda}")
        running[failure.kind] = subprocess.Popen(
            [sys.executable, "-m", "edge.cli", "run", *map(str, fixed), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=site.environment(),
        )
    found = {}
    for kind, process in running.items():
        out, errors = process.communicate(timeout=PATIENCE_S)
        found[kind] = Ended(process.returncode, out, errors, sites[kind].findings())
    return found


@pytest.mark.requirement("R-RUN-90", "R-RUN-93")
@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.kind)
def test_the_vehicle_stops_and_the_process_ends_with_code_5(
    failure: Failure, ended: dict[str, Ended]
) -> None:
    done = ended[failure.kind]
    assert done.code == 5, done.errors
    report = json.loads(done.out)
    assert report["exit_code"] == 5
    # On a slow machine, where ten times the 99th percentile is more than the deadline, an execution
    # that does not end is a lost device before it is a hung network.
    hung = failure.kind == "never ends" and report["ended"] == "inference hung"
    assert hung or report["ended"] == "device lost"
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
    assert not done.findings
