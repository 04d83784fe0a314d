"""What a device is and how it feels, from the files of a Jetson and of a machine that is none."""

from __future__ import annotations

from pathlib import Path

import pytest
from jetson_root import CORE, GPU, HWMON, ZONES, write_jetson

from edge.qualification.device.facts import DeviceFacts, L4t, read_facts
from edge.qualification.device.files import DeviceFiles
from edge.qualification.device.jetpack import JETPACKS, jetpack_of
from edge.qualification.device.sensors import Reading, Sensors


def facts_of(root: Path) -> DeviceFacts:
    return read_facts(DeviceFiles(root))


def reading_of(root: Path) -> Reading:
    return Sensors(DeviceFiles(root)).read()


def test_a_jetson_is_told_by_its_files(tmp_path: Path) -> None:
    facts = facts_of(write_jetson(tmp_path))
    assert facts.board == "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super"
    assert facts.l4t == L4t(36, "4.4")
    assert facts.jetpack is JETPACKS[6]
    # What was removed and what nobody asked for is not listed.
    assert facts.packages == {
        "libnvinfer10": "10.3.0.30-1+cuda12.5",
        "nvidia-jetpack": "6.2.1+b38",
    }
    assert facts.cuda == "12.6.11"
    assert facts.memory is not None
    assert (facts.memory.total, facts.memory.swap) == (7802836 << 10, 3901412 << 10)
    assert [(one.path, one.name) for one in facts.cameras] == [
        ("/dev/video0", "vi-output, imx219 9-0010")
    ]
    assert facts.serial_ports == ("/dev/ttyACM0", "/dev/ttyTHS1")


def test_the_fastest_mode_is_not_the_lowest_number(tmp_path: Path) -> None:
    facts = facts_of(write_jetson(tmp_path))
    assert facts.power_mode is not None
    assert (facts.power_mode.number, facts.power_mode.name) == (1, "25W")
    assert facts.fastest_mode is not None
    assert facts.fastest_mode.name == "MAXN_SUPER"


def test_groups_and_limits_are_those_of_this_process(tmp_path: Path) -> None:
    user = facts_of(write_jetson(tmp_path)).user
    assert user is not None
    assert not user.root
    assert user.groups == {"dialout": False, "video": True, "render": False}
    assert (user.realtime_priority, user.locked_bytes) == (0, 998772736)


@pytest.mark.parametrize(("l4t", "major"), [(36, 6), (38, 7), (39, 7)])
def test_l4t_names_the_jetpack(l4t: int, major: int, tmp_path: Path) -> None:
    line = f"# R{l4t} (release), REVISION: 2.1, GCID: 1, BOARD: generic, EABI: aarch64\n"
    facts = facts_of(write_jetson(tmp_path, {"/etc/nv_tegra_release": line}))
    assert facts.jetpack is not None
    assert facts.jetpack.major == major


def test_a_release_that_is_not_in_the_table_is_no_jetpack() -> None:
    assert jetpack_of(35) is None


def test_another_machine_has_no_such_facts(tmp_path: Path) -> None:
    facts = facts_of(tmp_path)
    assert facts == DeviceFacts(None, None, {}, None, None, (), None, (), (), None)
    assert reading_of(tmp_path) == Reading(None, None, {}, {}, None)


def test_broken_files_are_as_good_as_none(tmp_path: Path) -> None:
    garbage = {"/etc/nv_tegra_release": "\x00\xff{]", "/proc/meminfo": "MemTotal: much"}
    garbage |= {"/usr/local/cuda/version.json": "[1]", f"{ZONES}0/temp": "warm"}
    root = write_jetson(tmp_path, garbage)
    facts = facts_of(root)
    assert (facts.l4t, facts.memory, facts.cuda) == (None, None, None)
    assert set(reading_of(root).celsius) == {"gpu-thermal"}


def test_power_clocks_and_heat_of_one_moment(tmp_path: Path) -> None:
    reading = reading_of(write_jetson(tmp_path))
    assert reading.milliwatts == {
        "VDD_IN": pytest.approx(6048.0),
        "VDD_CPU_GPU_CV": pytest.approx(2419.2),
    }
    assert reading.watts == pytest.approx(6.048)  # the other rail is fed by it
    assert reading.celsius == {"cpu-thermal": 48.593, "gpu-thermal": 49.125}
    assert reading.hottest == 49.125
    assert (reading.cpu_mhz, reading.gpu_mhz) == (1344.0, 612.0)
    assert reading.over_current == 2


@pytest.mark.parametrize(
    ("labels", "watts"),
    [
        (("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"), 2 * 6.048 + 2.4192 - 6.048),
        (("VDD_GPU", "VIN", "NC"), 2.4192),
        (("VDD_GPU", "VDD_SOC", "NC"), None),
    ],
)
def test_the_whole_board_is_counted_once(
    labels: tuple[str, str, str], watts: float | None, tmp_path: Path
) -> None:
    changed: dict[str, str | None] = {
        f"{HWMON}/in{channel}_label": label for channel, label in enumerate(labels, start=1)
    }
    reading = reading_of(write_jetson(tmp_path, changed))
    assert reading.watts == (None if watts is None else pytest.approx(watts))


@pytest.mark.parametrize("device", ["17000000.ga10b", "17000000.gv11b", "gpu-gpc-0"])
def test_the_gpus_clock_is_found_on_every_board(device: str, tmp_path: Path) -> None:
    files = {f"/sys/class/devfreq/{device}/cur_freq": "1575000000"}
    files |= {f"/sys/class/devfreq/{other}/cur_freq": "1" for other in ("bwmgr", "15340000.vic")}
    root = write_jetson(tmp_path, {f"{GPU}/cur_freq": None, **files})
    for name in ("min_freq", "max_freq"):
        (root / GPU.lstrip("/") / name).unlink()
    (root / GPU.lstrip("/")).rmdir()
    assert reading_of(root).gpu_mhz == 1575.0


def test_clocks_are_pinned_where_the_lowest_is_the_highest(tmp_path: Path) -> None:
    pinned = write_jetson(tmp_path, {f"{GPU}/min_freq": "918000000"})
    ranges = Sensors(DeviceFiles(pinned)).clock_ranges()
    assert ranges["GPU"].pinned
    assert not ranges["CPU"].pinned
    assert (ranges["CPU"].lowest_mhz, ranges["CPU"].highest_mhz) == (729.6, 1728.0)
    (pinned / CORE.lstrip("/") / "scaling_max_freq").unlink()
    assert set(Sensors(DeviceFiles(pinned)).clock_ranges()) == {"GPU"}
