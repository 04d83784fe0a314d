"""The vehicle of the runtime tests: the firmware as a process, and an established link to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from firmware_bridge.emulation.host_process import HostFirmware, default_build_folder
from firmware_bridge.link.driver import LinkDriver


@pytest.fixture
def mcu() -> Iterator[HostFirmware]:
    with HostFirmware(build_folder=default_build_folder(), progress=None) as firmware:
        yield firmware


@pytest.fixture
def link(mcu: HostFirmware) -> Iterator[LinkDriver]:
    with LinkDriver(mcu.port) as driver:
        driver.wait_established(5.0)
        yield driver
