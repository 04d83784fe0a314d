"""The microcontroller's rules, on the core built with ASan and UBSan, plus its gates."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from core_registry import all_cases
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcu_probe import Mcu, Probe
from patience import PATIENCE_S

from firmware_bridge.emulation.build import FIRMWARE, build_firmware
from firmware_bridge.protocol.messages import Action

CASES = all_cases()
CORE_FILES = ("frame.c", "safety.c", "mcu.c")


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=getattr(run, "pytestmark", [])) for name, run in CASES.items()],
)
def test_core(name: str, mcu: Mcu) -> None:
    CASES[name](mcu)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(noise=st.lists(st.binary(max_size=200), max_size=10))
def test_noise_neither_moves_the_vehicle_nor_trips_a_sanitizer(
    probe: Probe, noise: list[bytes]
) -> None:
    mcu = Mcu(probe)
    mcu.update(mcu.hello())
    for data in noise:
        answer = mcu.update(data, after_ms=7)
        assert answer.action is Action.COMFORT_STOP
    assert mcu.update(b"\0", mcu.command()).sent


def test_every_line_of_the_core_is_run(build_folder: Path, tmp_path: Path) -> None:
    if shutil.which("gcov") is None:
        pytest.skip("gcov is not installed")
    # A copy, since the counts are written beside the program.
    built = build_firmware(build_folder, target="coverage").parent
    here = tmp_path / "coverage"
    shutil.copytree(built, here)
    environment = {"GCOV_PREFIX": str(here), "GCOV_PREFIX_STRIP": "99"}
    for run in CASES.values():
        with Probe(here / "probe-coverage", environment=environment) as probe:
            run(Mcu(probe))
    counts = {path.name: path for path in tmp_path.rglob("*.gcda")}
    for file in CORE_FILES:
        data = counts[f"probe-coverage-{file.removesuffix('.c')}.gcda"]
        if data.parent != here:
            shutil.copy(data, here)
        told = subprocess.run(
            ["gcov", "-t", str(here / data.name)],
            check=True,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            cwd=here,
        ).stdout
        missed = [line for line in told.splitlines() if line.lstrip().startswith("#####")]
        assert file in told
        assert missed == [], f"{file}: lines never run"


def test_the_core_is_portable() -> None:
    for path in sorted((FIRMWARE / "core").iterdir()):
        text = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.S)
        assert not re.search(r"\b(double|float|malloc|printf|time)\b", text), path.name
        includes = set(re.findall(r"#include <(.+)>", text))
        assert includes <= {"stdbool.h", "stddef.h", "stdint.h", "string.h"}, path.name


def test_the_core_links_without_help_from_a_double(build_folder: Path, tmp_path: Path) -> None:
    """The generated codec has unused range checks on doubles; the core must pull in none."""
    if shutil.which("nm") is None:
        pytest.skip("nm is not installed")
    undefined = set()
    for file in CORE_FILES:
        include = [f"-I{FIRMWARE / part}" for part in ("core", "generated")]
        target = tmp_path / f"{file}.o"
        subprocess.run(
            ["cc", "-std=c11", "-O2", *include, "-c", str(FIRMWARE / "core" / file), "-o", target],
            check=True,
            timeout=PATIENCE_S,
        )
        listed = subprocess.run(
            ["nm", "-u", str(target)],
            check=True,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        undefined |= {line.split()[-1] for line in listed.stdout.splitlines()}
    foreign = {name for name in undefined if not name.startswith(("bp_", "brakepoint_"))}
    assert foreign <= {"memcpy", "memset", "_GLOBAL_OFFSET_TABLE_", "__stack_chk_fail"}
    assert not any(name.endswith("_phys_range") for name in undefined)
