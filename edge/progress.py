"""The progress bar of every verb that takes over two seconds: on stderr, gone when done.

Shows work; never decides anything and never touches stdout.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Advance = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is (0: unknown)."""


@contextlib.contextmanager
def progress_bar() -> Iterator[Advance]:
    """A bar for each kind of work named, in the order met."""
    bars = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True),
        console=Console(stderr=True),
        transient=True,
    )
    with bars:
        rows = {}

        def advance(what: str, done: int, total: int) -> None:
            if what not in rows:
                rows[what] = bars.add_task(what)
            bars.update(rows[what], completed=done, total=total or None)

        yield advance
