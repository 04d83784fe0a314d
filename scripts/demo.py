"""The demo: from nothing to a safety action, then a daemon that dies.

Trains RoadNet, converts it, runs a generated clip, rain at dusk, in which a pedestrian steps out,
and prints what happened when; then kills the daemon and shows the microcontroller stop the
vehicle by itself.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from edge.commands.run import STEPS, print_report
from firmware_bridge.emulation.host_process import HostFirmware, default_build_folder
from firmware_bridge.protocol.messages import Action

ROOT = Path(__file__).resolve().parent.parent
MISSION = ROOT / "examples" / "roadnet" / "mission.toml"
SPEED_MPS = 8.0
STEPS_OUT, OPEN_ROAD = "pedestrian_steps_out.mp4", "clear_road.mp4"
RAIN_AT_DUSK = ("--weather", "rain", "--light", "dusk", "--road", "city", "--seed", "1")
console = Console(highlight=False)


def brakepoint(*arguments: str) -> list[str]:
    """The command line of a verb, with this Python."""
    return [sys.executable, "-m", "edge.cli", *arguments]


def step(title: str, *arguments: str) -> None:
    """Run a verb with its output on the terminal; a failure ends the demo with its exit code."""
    console.rule(f"[bold]{title}", align="left")
    console.print(f"[dim]brakepoint {' '.join(arguments)}")
    code = subprocess.run(brakepoint(*arguments), cwd=ROOT, check=False).returncode
    if code:
        raise SystemExit(code)


def wait_until_released(mcu: HostFirmware, daemon: subprocess.Popen[str]) -> None:
    """Wait until the microcontroller ends its boot stop: the daemon is up, perception known."""
    deadline = time.monotonic() + 30.0
    while daemon.poll() is None and time.monotonic() < deadline:
        if mcu.report().action < Action.SLOW_DOWN:
            return
        time.sleep(0.02)
    raise SystemExit("the daemon never took over from the microcontroller's boot stop")


def start_daemon(
    mcu: HostFirmware, weights: str, out: Path, clip: str, *extra: str
) -> subprocess.Popen[str]:
    """A `brakepoint run` of the clip against this microcontroller."""
    return subprocess.Popen(
        brakepoint(
            "run", str(MISSION), "--set", weights, "--source", str(out / clip),
            "--from", str(out / "model"), "--precision", "int8", "--port", mcu.port, *extra,
        ),
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def act(weights: str, out: Path) -> None:
    """A pedestrian steps out: print the timeline."""
    console.rule("[bold]4  a pedestrian steps out", align="left")
    with HostFirmware(build_folder=default_build_folder()) as mcu:
        daemon = start_daemon(
            mcu, weights, out, STEPS_OUT, "--video", str(out / "annotated.mp4"), "--json"
        )
        wait_until_released(mcu, daemon)
        mcu.control(f"speed {SPEED_MPS:g}")
        output, _ = daemon.communicate(timeout=120)
    if daemon.returncode:
        raise SystemExit(daemon.returncode)
    (out / "run.json").write_text(output)
    report = json.loads(output)
    print_report(report)
    stops = [row for row in report["timeline"] if row["action"] == "EMERGENCY_STOP"]
    if not any(all(row[step] for step in STEPS) for row in stops):
        raise SystemExit("the pedestrian led to no stop that was released again: the demo failed")


def die(weights: str, out: Path) -> None:
    """Kill the daemon: the microcontroller slows and stops the vehicle by itself."""
    console.rule("[bold]5  the daemon dies (SIGKILL)", align="left")
    with HostFirmware(build_folder=default_build_folder()) as mcu:
        daemon = start_daemon(mcu, weights, out, OPEN_ROAD)
        wait_until_released(mcu, daemon)
        mcu.control(f"speed {SPEED_MPS:g}")
        time.sleep(0.7)
        before = mcu.report()
        daemon.send_signal(signal.SIGKILL)
        daemon.communicate()
        table = Table("after the kill", "action", "speed", title_justify="left")
        table.add_row("before", before.action.name, f"{before.speed_mps:.1f} m/s")
        seen = before.action
        deadline = time.monotonic() + 60.0
        while time.monotonic() < deadline:
            now = mcu.report()
            stopped = now.action >= Action.COMFORT_STOP and now.standstill
            if now.action != seen or stopped:
                after = f"{(now.tick_ms - before.tick_ms) / 1000.0:.2f} s"
                speed = f"{now.speed_mps:.1f} m/s" + (" (stands)" if stopped else "")
                table.add_row(after, now.action.name, speed)
                seen = now.action
            if stopped:
                break
            time.sleep(0.01)
        else:
            raise SystemExit("the microcontroller did not stop the vehicle: the demo failed")
    console.print(table)


def main() -> None:
    """Run all five steps into `--out`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "demo")
    out = parser.parse_args().out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    weights = f"model.weights={out / 'weights.pt'}"
    began = time.monotonic()
    step("1  train", "train", str(MISSION), "--set", weights)
    step("2  convert", "convert", str(MISSION), "--set", weights, "--out", str(out / "model"))
    for clip in (STEPS_OUT, OPEN_ROAD):
        story = ("--story", Path(clip).stem)
        step("3  draw a clip, rain at dusk", "scenes", str(out / clip), *story, *RAIN_AT_DUSK)
    act(weights, out)
    die(weights, out)
    console.rule(align="left")
    console.print(f"report          {out / 'model' / 'report.html'}")
    console.print(f"annotated clip  {out / 'annotated.mp4'}")
    console.print(f"run             {out / 'run.json'}")
    console.print(f"{time.monotonic() - began:.0f} s in all")


if __name__ == "__main__":
    main()
