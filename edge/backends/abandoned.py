"""Keeps what belongs to a lost device or a hung thread until the process ends, and ends it.

CUDA's destructors wait for the GPU, and so do those that run when a process ends by itself. Where
a GPU does not answer, nothing of it is destroyed, and the process ends without its usual clean-up.
"""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Iterator

_KEPT: list[object] = []


def abandon(what: object) -> None:
    """Keeps `what` until the process ends, so that no destructor of it runs."""
    _KEPT.append(what)


@contextlib.contextmanager
def process_end(*, own: bool) -> Iterator[None]:
    """Ends the process at a SystemExit, by its code, where anything was abandoned; at another
    exception with its traceback.

    Args:
        own: the caller is the process's entry point, not a part of another program.
    """
    try:
        yield
    except BaseException as end:
        if not (own and _KEPT):
            raise
        code = end.code if isinstance(end, SystemExit) else 1
        if not isinstance(end, SystemExit):
            traceback.print_exc()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code if isinstance(code, int) else int(code is not None))
