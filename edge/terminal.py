"""Prints for the command line: plain text to stdout and stderr, also where a stream fails.

Never interprets a string from a user, a file or a device as markup, and prints its control
characters as escapes. A closed pipe, a full disk or a closed descriptor ends the printing, not the
work. No other module prints.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any, TextIO, cast

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Characters that control a terminal: C0 except tabulator and line feed, C1, direction marks
(Unicode's UAX 9), line separators, lone surrogates."""

LARGEST_UNWRITTEN = 64 << 20
"""Unwritten characters that are stored for the other stream, at most."""


def visible(text: str) -> str:
    r"""The same text with control characters as escapes: "\x1b"."""
    return CONTROL.sub(lambda found: _escaped(ord(found[0])), text)


def _escaped(code: int) -> str:
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


class VisibleConsole(Console):
    """rich's console without markup in strings, and with control characters as escapes."""

    def render_str(self, text: str, **how: Any) -> Text:
        """Escape every printed string, also cells and titles of tables."""
        return super().render_str(visible(text), **how)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Escape strings that are already rich's own Text."""
        for segment in super().render(renderable, options):
            if segment.control or not CONTROL.search(segment.text):
                yield segment
            else:
                yield Segment(visible(segment.text), segment.style)


def new_console(
    *, error: bool = False, width: int | None = None, soft_wrap: bool = False
) -> Console:
    """A console on stdout or stderr; `width` is the least one, for tables with long names."""
    made = VisibleConsole(
        stderr=error, highlight=False, markup=False, emoji=False, soft_wrap=soft_wrap
    )
    if width is not None and made.width < width:
        made.width = width
    return made


def styled(*parts: str | tuple[str, str]) -> Text:
    """Text of several parts, each plain or with a style: ("failed", "bold red")."""
    shown = [visible(one) if isinstance(one, str) else (visible(one[0]), one[1]) for one in parts]
    return Text.assemble(*shown)


def echo(text: str, *, error: bool = False) -> None:
    """Print `text` and a line feed to stdout, or to stderr with `error`."""
    stream = sys.stderr if error else sys.stdout
    stream.write(visible(text) + "\n")
    stream.flush()


class Outlet:
    """A stream whose write never raises: it stores the text that it cannot write.

    Attributes:
        error: the error that ended the writing; None as long as it writes.
        unwritten: the text that was not written.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.error: OSError | ValueError | None = None
        self._unwritten: list[str] = []
        self._kept = 0

    @property
    def unwritten(self) -> str:
        """The text that was not written, in order."""
        return "".join(self._unwritten)

    def write(self, text: str) -> int:
        """Write and flush until the first error."""
        if self.error is None:
            try:
                self._stream.write(text)
                self._stream.flush()
                return len(text)
            except (OSError, ValueError) as error:  # ValueError: the stream is closed
                self.error = error
        if self._kept < LARGEST_UNWRITTEN:
            self._unwritten.append(text)
            self._kept += len(text)
        return len(text)

    def flush(self) -> None:
        """Does nothing: `write` flushes."""

    def isatty(self) -> bool:
        """Of the stream."""
        return self.error is None and self._stream.isatty()

    def fileno(self) -> int:
        """Of the stream."""
        return self._stream.fileno()

    def __getattr__(self, name: str) -> Any:
        """Everything else (encoding, errors) is the stream's."""
        return getattr(self._stream, name)


@contextlib.contextmanager
def outlets() -> Iterator[None]:
    """Standard output and error that never raise, for the time of a command.

    Text that standard output did not accept, as on a full disk, goes to standard error at the end,
    except after a closed pipe, whose reader has gone.
    """
    _open_all()
    former = sys.stdout, sys.stderr
    out, error = Outlet(_tolerant(sys.stdout)), Outlet(_tolerant(sys.stderr))
    sys.stdout, sys.stderr = cast(TextIO, out), cast(TextIO, error)
    try:
        yield
    finally:
        if out.error is not None and not isinstance(out.error, BrokenPipeError):
            error.write(
                f"brakepoint: standard output cannot be written: {out.error}\n{out.unwritten}"
            )
        sys.stdout, sys.stderr = former
        for outlet, descriptor in ((out, 1), (error, 2)):
            if isinstance(outlet.error, OSError):
                _drop(descriptor)


def _open_all() -> None:
    """Open closed descriptors 0 to 2 on /dev/null: else a file opened later would get one of
    them, and libraries would write their messages into it."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest that is free


def _tolerant(stream: TextIO | None) -> TextIO:
    """The stream, which writes characters that its encoding lacks as escapes; a dummy if closed."""
    if stream is None:
        return io.StringIO()
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    return stream


def _drop(descriptor: int) -> None:
    """Discard what the interpreter still writes at its end."""
    with contextlib.suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, descriptor)
        os.close(nowhere)
