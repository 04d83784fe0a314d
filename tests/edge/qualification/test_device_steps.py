"""What each step about the device says: of a Jetson, of a faulty one, of another machine."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from jetson_root import FILES, GPU, NVPMODEL, OVER_CURRENT, write_jetson

from edge.qualification.device.facts import read_facts
from edge.qualification.device.files import DeviceFiles
from edge.qualification.device.jetpack import JETPACKS
from edge.qualification.device_steps import CSI_PLUGIN, DEVICE_STEPS, Device
from edge.qualification.qualify import run_step
from edge.qualification.step import Outcome

NAMES = [step.name for step in DEVICE_STEPS]


def outcome(root: Path, name: str) -> Outcome:
    """What the step of this name finds on the system below `root`."""
    files = DeviceFiles(root)
    (step,) = (step for step in DEVICE_STEPS if step.name == name)
    return run_step(step, Device(files, read_facts(files)), {}).outcome


Changed = Mapping[str, str | None]

PASSES: list[tuple[str, Changed, str, str]] = [
    ("board", {}, "L4T 36.4.4, JetPack 6.2.1+b38", ""),
    ("board", {"/var/lib/dpkg/status": ""}, "JetPack 6", "apt-get install nvidia-jetpack"),
    ("camera", {}, "/dev/video0 vi-output, imx219 9-0010", ""),
    ("power mode", {}, "25W (mode 1)", "the fastest is MAXN_SUPER: sudo nvpmodel -m 2"),
    ("power mode", {"/var/lib/nvpmodel/status": "pmode:0002"}, "MAXN_SUPER (mode 2), the f", ""),
    ("clocks", {}, "GPU 918 MHz, down to 306 when idle", "sudo jetson_clocks"),
    ("heat and supply", {}, "49 °C, 2 over-current events", "the supply is too weak"),
    ("heat and supply", {f"{OVER_CURRENT}/oc3_event_cnt": "0"}, "0 over-current events", ""),
    ("memory", {}, "4.7 of 7.4 GiB free, 3.7 GiB swap", ""),
    ("real-time limits", {}, "real-time priority 0, 952 MiB locked", "limits.d"),
    (
        "real-time limits",
        {
            "/proc/self/limits": FILES["/proc/self/limits"].replace(
                "priority     0", "priority     50"
            )
        },
        "real-time priority 50",
        "",
    ),
    ("OpenCV", {CSI_PLUGIN: ""}, "nvarguscamerasrc is there", ""),
    ("OpenCV", {}, "no nvarguscamerasrc", "for a CSI camera"),
    ("permissions", {"/etc/group": "video:x:44:orin\n"}, "this user is in video", ""),
    ("permissions", {"/proc/self/status": "Uid:\t0\t0\t0\t0\n"}, "runs as root", "ordinary user"),
]


@pytest.mark.parametrize(("name", "changed", "found", "advice"), PASSES)
def test_a_device_in_order_passes_with_what_could_be_better(
    name: str, changed: Changed, found: str, advice: str, tmp_path: Path
) -> None:
    told = outcome(write_jetson(tmp_path, changed), name)
    assert told.state == "passed"
    assert found in told.found
    assert advice in told.remedy
    assert bool(told.remedy) == bool(advice)


FAILS: list[tuple[str, Changed, str, str]] = [
    (
        "board",
        {"/etc/nv_tegra_release": "# R35 (release), REVISION: 4.1, GCID: 1\n"},
        "L4T 35.4.1: no known JetPack",
        "flash JetPack 6",
    ),
    ("CUDA", {}, "no CUDA device 0", "nvidia-jetpack"),
    ("TensorRT", {}, "no Python module tensorrt", "--system-site-packages"),
    ("power mode", {"/var/lib/nvpmodel/status": None}, "not known", "nvpmodel -m 0"),
    ("power mode", {"/etc/nvpmodel.conf": NVPMODEL.replace("ID=1", "ID=7")}, "not known", "-m 0"),
    (
        "memory",
        {"/proc/meminfo": "MemTotal: 3900000 kB\nMemAvailable: 900000 kB\nSwapTotal: 0 kB\n"},
        "0.9 of 3.7 GiB free",
        "close what else runs",
    ),
    ("permissions", {}, "not in dialout, render", "sudo usermod -aG dialout,render $USER"),
]


@pytest.mark.parametrize(("name", "changed", "found", "remedy"), FAILS)
def test_what_is_wrong_is_said_with_the_command_that_mends_it(
    name: str, changed: Changed, found: str, remedy: str, tmp_path: Path
) -> None:
    told = outcome(write_jetson(tmp_path, changed), name)
    assert told.state == "failed"
    assert found in told.found
    assert remedy in told.remedy


def test_jetpacks_python_is_the_one_that_tensorrt_has(tmp_path: Path) -> None:
    here = sys.version_info[:2]
    lines = {row.major: f"# R{row.l4t[0]} (release), REVISION: 2.0\n" for row in JETPACKS.values()}
    for major, row in JETPACKS.items():
        root = write_jetson(tmp_path / str(major), {"/etc/nv_tegra_release": lines[major]})
        told = outcome(root, "Python")
        assert told.state == ("passed" if row.python[:2] == here else "failed")
        if told.state == "failed":
            assert "scripts/jetson" in told.remedy


def test_clocks_that_are_pinned_need_no_advice(tmp_path: Path) -> None:
    changed = {f"{GPU}/min_freq": "918000000"}
    changed |= {name: "1728000" for name in FILES if name.endswith("scaling_min_freq")}
    told = outcome(write_jetson(tmp_path, changed), "clocks")
    assert told.found == "CPU 1728 MHz pinned, GPU 918 MHz pinned"
    assert told.remedy == ""


@pytest.mark.parametrize("name", NAMES)
def test_another_machine_fails_in_nothing(name: str, tmp_path: Path) -> None:
    """What is about a Jetson is left out, with the reason."""
    told = outcome(tmp_path, name)
    assert told.state in ("passed", "left out")
    assert told.found


def test_every_step_of_the_device_is_tried_here() -> None:
    tried = {row[0] for row in (*PASSES, *FAILS)} | {"Python"}
    assert tried == set(NAMES)
    assert len(NAMES) == len(set(NAMES))
