"""Shows the progress of verbs that take over two seconds, on stderr.

On a terminal a bar that vanishes at the end; elsewhere a line for each kind of work. Never writes
to stdout, and never ends the work because it cannot be shown.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from edge.terminal import echo, new_console, visible

Advance = Callable[[str, int, int], None]
"""Called with the kind of work, how much is done, and how much there is (0: unknown)."""

AGAIN_S = 30.0
"""At most so many seconds between two lines while one kind of work advances."""


@contextlib.contextmanager
def progress_bar() -> Iterator[Advance]:
    """A callback that shows a bar, or lines, for each kind of work in order of appearance."""
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
    """Lines for a log: seconds since the beginning, kind of work, progress."""
    began = clock()
    shown_s: dict[str, float] = {}

    def advance(what: str, done: int, total: int) -> None:
        now = clock()
        if what in shown_s and now - max(shown_s.values()) < AGAIN_S:
            return
        counts = (
            f", {done} of {total}" if total and what in shown_s else f", {total}" if total else ""
        )
        shown_s[what] = now
        # The work goes on where its log cannot be written.
        with contextlib.suppress(OSError, ValueError):
            echo(f"{now - began:7.1f} s  {what}{counts}", error=True)

    return advance
