"""Verb `firmware`: runs the microcontroller's firmware as a process on a pty instead of a board."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import threading
import time
from typing import Annotated

import typer

from edge.terminal import echo
from firmware_bridge.emulation.host_process import HostFirmware, McuRecord, default_build_folder
from firmware_bridge.errors import DeviceFault


def firmware(
    *,
    speed_mps: Annotated[
        float, typer.Option("--speed", help="cruise speed the modelled driver asks for, m/s")
    ] = 0.0,
    seconds: Annotated[
        float | None, typer.Option("--seconds", help="stop after so long; default: until Ctrl-C")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a line")] = False,
) -> None:
    """Build and run the firmware; the first line printed is its port.

    Then a line for each change of the effective action and for each second. Lines typed on
    standard input go to its control channel (for example: operator 1, speed 12, cruise 15).
    """
    done = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: done.set())
    deadline = None if seconds is None else time.monotonic() + seconds
    with HostFirmware(build_folder=default_build_folder()) as mcu:
        echo(json.dumps({"port": mcu.port}) if as_json else mcu.port)
        sys.stdout.flush()
        if speed_mps > 0.0:
            mcu.control(f"cruise {speed_mps:g}")
        threading.Thread(target=_forward_stdin, args=(mcu,), daemon=True).start()
        shown = 0
        while not done.wait(0.1) and (deadline is None or time.monotonic() < deadline):
            mcu.check()
            records = mcu.records()
            for record in records[shown:]:
                echo(_line(record, as_json))
            shown = len(records)
            sys.stdout.flush()


def _forward_stdin(mcu: HostFirmware) -> None:
    with contextlib.suppress(DeviceFault):  # the main thread reports it
        for line in sys.stdin:
            if line.strip():
                mcu.control(line.strip())


def _line(record: McuRecord, as_json: bool) -> str:
    if as_json:
        return json.dumps(
            {
                "tick_ms": record.tick_ms,
                "action": record.action.name,
                "speed_mps": round(record.speed_mps, 2),
                "standstill": record.standstill,
                "faults": list(record.faults),
            }
        )
    faults = f"  faults: {', '.join(record.faults)}" if record.faults else ""
    return f"{record.tick_ms:>8} ms  {record.action.name:<14} {record.speed_mps:5.2f} m/s{faults}"
