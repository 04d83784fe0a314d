"""The link of a measurement: to a board on a port, or to the firmware started here as a process."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from edge.contract.mission.schema import Mission
from firmware_bridge.emulation.host_process import HostFirmware, default_build_folder
from firmware_bridge.link.driver import LinkDriver

ESTABLISH_WITHIN_S = 5.0


@contextlib.contextmanager
def vehicle_link(mission: Mission, port: str) -> Iterator[LinkDriver]:
    """An established link; `port` is a serial device or "emulated".

    Raises:
        Missing: the firmware cannot be built: no compiler.
        DeviceFault: the port does not open, or nobody answers as a brakepoint controller.
    """
    with contextlib.ExitStack() as stack:
        if port == "emulated":
            port = stack.enter_context(HostFirmware(build_folder=default_build_folder())).port
        link = stack.enter_context(LinkDriver(port, baud=mission.link.baud))
        link.wait_established(ESTABLISH_WITHIN_S)
        yield link
