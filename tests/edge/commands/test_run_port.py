"""How `run` opens the port of the mission's [link]."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tiny_road import tiny_mission

from edge.commands.run import _vehicle
from firmware_bridge.emulation.host_process import HostFirmware
from firmware_bridge.link.line_speed import line_speed


@pytest.mark.requirement("R-LINK-47")
def test_the_port_is_opened_at_the_missions_rate(root: Path, mcu: HostFirmware) -> None:
    mission = tiny_mission(root, link={"baud": 57600, "port": mcu.port})
    with _vehicle(mission, mission.link.port, None) as (link, _):
        descriptor = os.open(mcu.port, os.O_RDWR | os.O_NOCTTY)
        try:
            assert line_speed(descriptor) == (57600, 57600)
        finally:
            os.close(descriptor)
        assert link.events()
