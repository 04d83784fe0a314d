"""Where the command line's words go out: text is text, and trouble of a stream costs nothing else.

Every string that a user, a file or a device gave is printed as it is read, never as markup, and its
control characters as escapes. A reader that has gone, a full disk or a closed descriptor ends the
printing, not the work. Nothing else in this program prints.
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
"""What would move the cursor, colour, ring, or turn the direction of writing: C0 but tabulator and
line feed, C1, the marks of direction (Unicode's UAX 9), separators of lines, lone surrogates."""

LARGEST_LOST = 64 << 20
"""Characters that are kept of what could not be written, for the other stream."""


def visible(text: str) -> str:
    r"""The same text with control characters as escapes: "\x1b"."""
    return CONTROL.sub(lambda found: _escaped(ord(found[0])), text)


def _escaped(code: int) -> str:
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


class VisibleConsole(Console):
    """rich's console for words of others: strings are no markup, control characters are shown."""

    def render_str(self, text: str, **how: Any) -> Text:
        """Every string that is printed comes through here: cells and titles of tables too."""
        return super().render_str(visible(text), **how)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Whatever was made into rich's own Text elsewhere comes through here."""
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
    """Prints lines."""
    stream = sys.stderr if error else sys.stdout
    stream.write(visible(text) + "\n")
    stream.flush()


class Outlet:
    """A stream that takes everything: what it cannot write is kept, and nothing is raised.

    Attributes:
        trouble: the error that ended its writing, None as long as it writes.
        lost: what was not written.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.trouble: OSError | ValueError | None = None
        self._lost: list[str] = []
        self._kept = 0

    @property
    def lost(self) -> str:
        """What was not written, in order."""
        return "".join(self._lost)

    def write(self, text: str) -> int:
        """Writes and flushes, as long as that goes."""
        if self.trouble is None:
            try:
                self._stream.write(text)
                self._stream.flush()
                return len(text)
            except (OSError, ValueError) as error:  # ValueError: the stream is closed
                self.trouble = error
        if self._kept < LARGEST_LOST:
            self._lost.append(text)
            self._kept += len(text)
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""

    def isatty(self) -> bool:
        """Of the stream."""
        return self.trouble is None and self._stream.isatty()

    def fileno(self) -> int:
        """Of the stream."""
        return self._stream.fileno()

    def __getattr__(self, name: str) -> Any:
        """Everything else (encoding, errors) is the stream's."""
        return getattr(self._stream, name)


@contextlib.contextmanager
def outlets() -> Iterator[None]:
    """Standard output and error that never raise, for the time of a command.

    What standard output did not take, as on a full disk, is written to standard error at the end;
    where its reader has gone (a closed pipe), it is not wanted.
    """
    _open_all()
    former = sys.stdout, sys.stderr
    out, error = Outlet(_tolerant(sys.stdout)), Outlet(_tolerant(sys.stderr))
    sys.stdout, sys.stderr = cast(TextIO, out), cast(TextIO, error)
    try:
        yield
    finally:
        if out.trouble is not None and not isinstance(out.trouble, BrokenPipeError):
            error.write(f"brakepoint: standard output cannot be written: {out.trouble}\n{out.lost}")
        sys.stdout, sys.stderr = former
        for outlet, descriptor in ((out, 1), (error, 2)):
            if isinstance(outlet.trouble, OSError):
                _drop(descriptor)


def _open_all() -> None:
    """Descriptors 0 to 2, where a shell closed them, lead nowhere: a file that is opened later must
    not become the one that libraries write their messages to."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest that is free


def _tolerant(stream: TextIO | None) -> TextIO:
    """The stream; what its encoding lacks is written as an escape. A closed one takes nothing."""
    if stream is None:
        return io.StringIO()
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    return stream


def _drop(descriptor: int) -> None:
    """Lets what the interpreter still writes at its end go nowhere."""
    with contextlib.suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, descriptor)
        os.close(nowhere)
