"""Verb `run`: runs the daemon in the foreground, with a board or with the firmware as a process."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from edge.commands.options import (
    BackendOption,
    ConvertedOption,
    EngineOption,
    JsonOption,
    MissionArgument,
    PortOption,
    PrecisionOption,
    SetOption,
)
from edge.contract.mission.checks.cross_checks import STAGES
from edge.contract.mission.loading import load_mission
from edge.contract.mission.schema import Mission
from edge.engine.choose_backend import (
    ChosenModel,
    choose_backend,
)
from edge.progress import progress_bar
from edge.runtime.daemon import run as run_daemon
from edge.runtime.health.files import read_health_files
from edge.runtime.recording.events import RunEvent
from edge.terminal import echo, new_console
from firmware_bridge.emulation.host_process import HostFirmware, default_build_folder
from firmware_bridge.link.driver import LinkDriver
from firmware_bridge.protocol.messages import Action

ESTABLISH_WITHIN_S = 5.0


def run(
    mission: MissionArgument,
    *,
    source: Annotated[
        str,
        typer.Option(
            "--source",
            help="a clip, a folder of pictures, /dev/videoN, camera:N, csi:N, nvjpeg:N, "
            "rtsp://HOST/PATH, 'gst:PIPELINE' or scenes:STORY (docs/cameras.md)",
        ),
    ],
    converted: ConvertedOption,
    precision: PrecisionOption = "float",
    backend: BackendOption = None,
    engine: EngineOption = None,
    port: PortOption = None,
    speed_mps: Annotated[
        float | None,
        typer.Option("--speed", help="of the emulated vehicle; default: assumed speed"),
    ] = None,
    video: Annotated[
        Path | None, typer.Option("--video", help="write an annotated clip (.mp4)")
    ] = None,
    set_: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Camera frames to safety actions: infer, decide, command, under the mission's budgets."""
    loaded = load_mission(mission, set_ or [])
    model = choose_backend(converted, loaded, precision, backend=backend, engine=engine)
    health_files = read_health_files(converted, loaded)
    with (
        _vehicle(loaded, port or loaded.link.port, speed_mps) as (link, on_vehicle_event),
        progress_bar() as advance,
    ):
        console = new_console(error=True)
        if not as_json:
            console.print(_chosen(model), soft_wrap=True)

        def on_event(event: RunEvent) -> None:
            on_vehicle_event(event)
            if event.kind == "frame":
                advance("frames", int(event.values["index"]) + 1, int(event.values["of"] or 0))
            elif not as_json:
                console.print(event.text)

        report = run_daemon(
            loaded,
            source=source,
            model=model,
            link=link,
            on_event=on_event,
            record=video,
            health_files=health_files,
        )
    if as_json:
        echo(json.dumps(report.to_json(), indent=1))
    else:
        print_report(report.to_json())
    raise typer.Exit(report.exit_code)


def _chosen(model: ChosenModel) -> str:
    """What runs and why, and what is known to be wrong with it."""
    engine = "" if model.engine is None else f" by {model.engine['tensorrt']}"
    said = f"{model.backend} runs {model.path}{engine} ({model.why})"
    return "\n".join([said, *(f"known fault: {fault}" for fault in model.known_faults)])


@contextlib.contextmanager
def _vehicle(
    mission: Mission, port: str, speed_mps: float | None
) -> Iterator[tuple[LinkDriver, Callable[[RunEvent], None]]]:
    """The link to a board, or to the firmware started here with a modelled driver; yields the link
    and a callback for the run's events."""
    with contextlib.ExitStack() as stack:
        on_event: Callable[[RunEvent], None] = lambda _event: None  # noqa: E731 # replaced below
        if port == "emulated":
            mcu = stack.enter_context(HostFirmware(build_folder=default_build_folder()))
            cruise = mission.camera.assumed_speed_mps if speed_mps is None else speed_mps
            on_event = _moving_off(mcu, cruise)
            port = mcu.port
        link = stack.enter_context(LinkDriver(port, baud=mission.link.baud))
        link.wait_established(ESTABLISH_WITHIN_S)
        yield link, on_event


def _moving_off(mcu: HostFirmware, cruise_mps: float) -> Callable[[RunEvent], None]:
    """A callback that sets the modelled vehicle's cruise speed when the boot stop is released."""
    moving = False

    def on_event(event: RunEvent) -> None:
        nonlocal moving
        if moving or event.kind != "effective":
            return
        if Action[event.values["action"]] < Action.COMFORT_STOP:
            moving = True
            mcu.control(f"speed {cruise_mps:g}")

    return on_event


def print_report(report: dict[str, Any]) -> None:
    """Print the final tables: latency by stage, frames and commands, timeline."""
    console = new_console(width=120)
    frames, commands = report["frames"], report["commands"]
    console.print(
        f"{frames['captured']} frames captured, {frames['inferred']} inferred, "
        f"{frames['dropped']} dropped, {frames['unknown']} unknown{_crowd(frames)}; "
        f"{commands['sent']} commands sent, {commands['acknowledged']} acknowledged, "
        f"{commands['late']} late; "
        f"{report['ended']} after {report['seconds']:.1f} s"
    )
    if report["source"]["how"]:
        console.print(f"pictures by: {report['source']['how']}")
    times = [_capture_times(name, row) for name, row in report["capture_times"].items()]
    console.print(f"capture times: {'; '.join(times) or 'none'}")
    for head, counts in report["scenes"].items():
        text = ", ".join(f"{label} in {count} frames" for label, count in counts.items())
        console.print(f"{head}: {text}")
    if report["areas"]:
        text = ", ".join(
            f"{label} {100 * one['mean']:.1f} % (most {100 * one['most']:.1f} %)"
            for label, one in report["areas"].items()
        )
        console.print(f"share of the frame: {text}")
    model = report["model"]
    console.print(
        f"model: {model['path']} in {model['precision']} on {model['backend']} ({model['why']})",
        soft_wrap=True,
    )
    console.print(_latency_table(report["latency_ms"]))
    if report["device"]:
        console.print(_device_table(report["device"], report["device_ms"]))
    if report["timeline"]:
        console.print(_timeline_table(report["timeline"]))
    effective = ", ".join(
        f"{entry['action']} at {entry['mono_ms'] / 1000.0:.2f} s" for entry in report["effective"]
    )
    console.print(f"microcontroller: {effective or 'never heard'}")
    for line in _health_lines(report["health"]):
        console.print(line)
    for fault in report["faults"]:
        console.print(f"fault: {fault['text']}  (to mend: {fault['remedy']})")
    if report["recording"]:
        console.print(f"annotated clip: {report['recording']['path']}")


def _capture_times(origin: str, row: dict[str, Any]) -> str:
    most = row["uncertainty_ms"]
    older = (
        "the light may be older by an unknown time"
        if most is None
        else (f"the light is at most {most:g} ms older")
    )
    return f"{row['frames']} by the {ORIGINS[origin]} ({older})"


def _health_lines(checks: list[dict[str, Any]]) -> list[str]:
    """The checks that failed, and those that were not made."""
    lines = [
        f"check failed: {one['name']} in {one['failed']} of {one['frames']} frames"
        for one in checks
        if one["failed"]
    ]
    whys = dict.fromkeys(one["not_made"] for one in checks if one["not_made"])
    for why in whys:
        names = ", ".join(one["name"] for one in checks if one["not_made"] == why)
        lines.append(f"checks not made ({why}): {names}")
    return lines


def _crowd(frames: dict[str, int]) -> str:
    return f", {frames['crowded']} with detections left out" if frames["crowded"] else ""


def _latency_table(latency: dict[str, Any]) -> Table:
    table = Table("stage, ms", title="latency", title_justify="left")
    for column in ("budget", "p50", "p95", "p99", "max", "misses"):
        table.add_column(column, justify="right")
    for stage in (*STAGES, "end_to_end", "to_acknowledge"):
        row = latency[stage]
        values = [_number(row[key]) for key in ("budget", "p50", "p95", "p99", "max")]
        table.add_row(stage, *values, "" if row["misses"] is None else str(row["misses"]))
    return table


def _device_table(facts: dict[str, str], times: dict[str, Any]) -> Table:
    """The GPU's own time of its stages, which lies within that of infer."""
    title = "on the GPU, ms of its own clock: " + "; ".join(facts.values())
    table = Table("stage, ms", title=title, title_justify="left")
    for column in ("p50", "p95", "p99", "max"):
        table.add_column(column, justify="right")
    for stage, row in times.items():
        table.add_row(stage, *(_number(row[key]) for key in ("p50", "p95", "p99", "max")))
    return table


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


ORIGINS = {
    "driver": "camera's driver",
    "pipeline": "pipeline",
    "read": "time of their arrival",
    "video": "recording",
}
"""Origin of a capture time (`Frame.stamp_source`) -> in words."""

STEPS = ("first_seen", "confirmed", "commanded", "acknowledged", "effective", "released")
"""Events of a rule that fires, in order."""


def _timeline_table(timeline: list[dict[str, Any]]) -> Table:
    table = Table("rule", "action", title="timeline, seconds of the run", title_justify="left")
    for step in STEPS:
        table.add_column(step.replace("_", " "), justify="right")
    for entry in timeline:
        times = [_number(entry[step]["mono_ms"] / 1000.0) if entry[step] else "" for step in STEPS]
        table.add_row(entry["name"], entry["action"], *times)
    return table
