"""Fixtures of the link tests: a folder for builds, the probe, the firmware process."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from mcu_probe import Mcu, Probe

from firmware_bridge.emulation.build import build_firmware
from firmware_bridge.emulation.host_process import HostFirmware


@pytest.fixture(scope="session")
def build_folder(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Builds survive from run to run: they are named by a digest of their sources."""
    for tool in ("make", "cc"):
        if shutil.which(tool) is None:
            pytest.skip(f"the firmware cannot be built here: no {tool}")
    cache = getattr(pytestconfig, "cache", None)
    return Path(cache.mkdir("firmware")) if cache else tmp_path_factory.mktemp("firmware")


@pytest.fixture(scope="session")
def probe_program(build_folder: Path) -> Path:
    return build_firmware(build_folder, target="probe")


@pytest.fixture
def probe(probe_program: Path) -> Iterator[Probe]:
    with Probe(probe_program) as running:
        yield running


@pytest.fixture
def mcu(probe: Probe) -> Mcu:
    return Mcu(probe)


@pytest.fixture
def firmware(build_folder: Path) -> Iterator[HostFirmware]:
    with HostFirmware(build_folder=build_folder, target="host-sanitized") as running:
        yield running
    assert running.complaints == "", "sanitizer report, also of leaks at its end"
