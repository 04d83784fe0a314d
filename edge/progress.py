"""What every verb that takes over two seconds says of its progress, on stderr: a bar that is gone
when done, or, where stderr is no terminal, a line for each kind of work.

Shows work; never decides anything, never touches stdout, and never ends what it tells of.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from edge.terminal import echo, new_console, visible

Advance = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is (0: unknown)."""

AGAIN_S = 30.0
"""A line at least so often, while one kind of work goes on and says so."""


@contextlib.contextmanager
def progress_bar() -> Iterator[Advance]:
    """A bar, or a line, for each kind of work named, in the order met."""
    console = new_console(error=True)
    if not console.is_terminal:
        yield _lines()
        return
    bars = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True),
        console=console,
        transient=True,
    )
    with bars:
        rows = {}

        def advance(what: str, done: int, total: int) -> None:
            if what not in rows:
                rows[what] = bars.add_task(visible(what))
            bars.update(rows[what], completed=done, total=total or None)

        yield advance


def _lines(clock: Callable[[], float] = time.monotonic) -> Advance:
    """Lines for a log: seconds since the beginning, what is being done, how far it is."""
    began = clock()
    told: dict[str, float] = {}

    def advance(what: str, done: int, total: int) -> None:
        now = clock()
        if what in told and now - max(told.values()) < AGAIN_S:
            return
        counts = f", {done} of {total}" if total and what in told else f", {total}" if total else ""
        told[what] = now
        # A log that cannot be written to is no reason to lose the work.
        with contextlib.suppress(OSError, ValueError):
            echo(f"{now - began:7.1f} s  {what}{counts}", error=True)

    return advance
