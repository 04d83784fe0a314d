"""Keeps what belongs to a lost device or a hung thread until the process ends, and ends it.

CUDA's destructors wait for the GPU, and so do those that run when a process ends by itself. Where
a GPU does not answer, nothing of it is destroyed, and the process leaves without its last rites.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn

_KEPT: list[object] = []


def abandon(what: object) -> None:
    """Keeps `what` for ever, so that no destructor of it runs."""
    _KEPT.append(what)


def must_leave_at_once() -> bool:
    """Whether anything was abandoned: the process's own end could hang."""
    return bool(_KEPT)


def leave_at_once(exit_code: int) -> NoReturn:
    """Ends the process without any destructor; what was printed is written before."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(exit_code)
