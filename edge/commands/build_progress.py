"""Shows how far the build of an engine is, on standard error.

A `BuildProgress` at least every half second goes in. A terminal shows a bar with the time so far
and the estimate, and is never silent for more than two seconds; with --json there is a line of JSON
every second; a log gets a line every half minute.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from edge.engine.build.estimate import BuildProgress
from edge.progress import AGAIN_S
from edge.terminal import echo, new_console, visible

JSON_EVERY_S = 1.0

Show = Callable[[BuildProgress], None]


@contextlib.contextmanager
def build_progress(*, as_json: bool) -> Iterator[Show]:
    """A callback that shows the progress of one build."""
    if as_json:
        yield _seldom(_json_line, JSON_EVERY_S)
        return
    console = new_console(error=True)
    if not console.is_terminal:
        yield _seldom(lambda now: f"{now.elapsed_s:7.1f} s  {words(now)}", AGAIN_S)
        return
    bar = Progress(
        SpinnerColumn(),
        TimeElapsedColumn(),
        BarColumn(),
        TextColumn("{task.description}", markup=False),
        console=console,
        transient=True,
    )
    with bar:
        row = bar.add_task("starting", total=None)

        def show(now: BuildProgress) -> None:
            bar.update(
                row, description=visible(words(now)), completed=now.done, total=now.total or None
            )

        yield show


def words(now: BuildProgress) -> str:
    """ "Timing graph nodes 12 of 80, about 3 min 20 s left by the last build of this model"."""
    steps = f" {now.done} of {now.total}" if now.total else ""
    if now.remaining_s is None:
        return f"{now.phase}{steps}"
    return f"{now.phase}{steps}, about {_duration(now.remaining_s)} left by {now.basis}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _json_line(now: BuildProgress) -> str:
    rounded = {
        name: round(value, 1) if isinstance(value, float) else value
        for name, value in asdict(now).items()
    }
    return json.dumps({"event": "progress", **rounded})


def _seldom(
    line: Callable[[BuildProgress], str],
    every_s: float,
    clock: Callable[[], float] = time.monotonic,
) -> Show:
    """Writes a line at once, and again after `every_s`; the build goes on where that fails."""
    last_s: float | None = None

    def show(now: BuildProgress) -> None:
        nonlocal last_s
        if last_s is not None and clock() - last_s < every_s:
            return
        last_s = clock()
        with contextlib.suppress(OSError, ValueError):
            echo(line(now), error=True)

    return show
