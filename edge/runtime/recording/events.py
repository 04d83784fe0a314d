"""Events and faults of a run, each as one line for a person and as values for a program.

Values only; listeners decide what to show.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class RunEvent:
    """One thing that happened.

    Attributes:
        kind: "frame", "mode", "scene", "rule", "fallback", "command", "effective", "link",
            "camera" or "fault".
        mono_ms: milliseconds since the run began.
        text: one line for a person.
        values: the same for a program; the keys are listed in docs/runtime.md.
    """

    kind: str
    mono_ms: float
    text: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Fault:
    """Something that went wrong in a run and is part of its result.

    `exit_code` is the least exit code of a run with this fault: 0 where the run recovered from it.
    """

    kind: str
    mono_ms: float
    text: str
    remedy: str
    exit_code: int
