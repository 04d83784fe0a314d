"""The kinds of fault that a run records, each with its remedy and exit code, and the log of faults.

In: kind and text of a fault, from the capture thread or the loop. Out: the run's faults, and an
event for each. Never ends a run.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from edge.runtime.clock import Clock
from edge.runtime.recording.events import Fault, RunEvent

_CAPACITY = 256


@dataclass(frozen=True)
class FaultKind:
    """One row: what to do about it, and the exit code of a run in which it happened."""

    remedy: str
    exit_code: int


FAULTS: dict[str, FaultKind] = {
    "source ended early": FaultKind("copy the file again: its end is missing", 3),
    "source too slow": FaultKind(
        "play a clip of fewer pixels or frames, or play it on a faster machine", 5
    ),
    "frame times": FaultKind(
        "record with times in one file, or write them anew: ffmpeg -i OLD -c copy NEW.mp4", 0
    ),
    "unreadable frame": FaultKind("copy the picture again or take it out", 3),
    "damaged frame": FaultKind(
        "check the camera's cable; over USB use a shorter one and no hub, or fewer pixels", 0
    ),
    "camera gone": FaultKind("check its cable and power; it is being reopened", 0),
    "camera gone at the end": FaultKind("check its cable and power, then run again", 5),
    "link lost": FaultKind("check cable and power of the microcontroller; reconnecting", 0),
    "link lost at the end": FaultKind(
        "check cable and power of the microcontroller, then run again", 5
    ),
    "link": FaultKind("see the link's counts in the report; check the wiring if it recurs", 0),
    "device lost": FaultKind(
        "start again: this process can use the device no more; if it recurs, look at the kernel's "
        "log (dmesg), at heat and power",
        5,
    ),
    "inference hung": FaultKind("start again; if it recurs, look at the device's load and heat", 5),
    "perception unknown": FaultKind("look at camera and model: see the reason", 0),
    "detections left out": FaultKind(
        "raise model.decode.score_threshold or max_detections if this many are true", 0
    ),
    "frames too far apart": FaultKind("take a source of more frames a second", 0),
    "budget missed": FaultKind(
        "run the INT8 model (--precision int8), a smaller network or input, more target.threads or "
        "a faster device; a longer [budget] only where the vehicle may react that late",
        0,
    ),
    "never released": FaultKind(
        "see what stopped it in the timeline; a rule needs `confirm.of` frames in a row that tell "
        "what it asks (docs/runtime.md)",
        0,
    ),
    "last stop unacknowledged": FaultKind(
        "look at the microcontroller: without commands it stops by its own timers", 5
    ),
    "recording incomplete": FaultKind("free cores, or run without --video", 0),
    "recording lost": FaultKind("free space where --video points to, or run without it", 5),
}


class FaultLog:
    """The faults of one run; only the newest _CAPACITY are kept."""

    def __init__(self, clock: Clock, start_ns: int, on_event: Callable[[RunEvent], None]) -> None:
        self._clock = clock
        self._start_ns = start_ns
        self._on_event = on_event
        self._kept: deque[Fault] = deque(maxlen=_CAPACITY)

    def note(self, kind: str, text: str) -> None:
        """Records one fault of a kind in FAULTS and emits its event. Any thread may call it."""
        row = FAULTS[kind]
        fault = Fault(kind, (self._clock() - self._start_ns) / 1e6, text, row.remedy, row.exit_code)
        self._kept.append(fault)
        self._on_event(
            RunEvent(
                "fault",
                fault.mono_ms,
                f"{kind}: {text}; {row.remedy}",
                {"kind": kind, "text": text, "remedy": row.remedy},
            )
        )

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The recorded faults, the oldest first."""
        return tuple(self._kept)
