"""Samples sensors and memory while something runs, on a thread of its own.

`DeviceFiles` go in; samples with seconds since the start come out. Reading takes well under a
millisecond on a machine without sensors and a few on a Jetson, once a second.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

from edge.qualification.device.facts import memory_of
from edge.qualification.device.files import DeviceFiles
from edge.qualification.device.sensors import Reading, Sensors
from edge.runtime.clock import Clock

EVERY_S = 1.0


@dataclass(frozen=True)
class Sample:
    """One moment: bytes of this process in memory, bytes that the system can still give."""

    at_s: float
    reading: Reading
    resident: int | None
    available: int | None


class Watch:
    """Samples from entering to leaving; the first at once."""

    def __init__(self, files: DeviceFiles, clock: Clock) -> None:
        self._files, self._clock = files, clock
        self._sensors = Sensors(files)
        self._samples: list[Sample] = []
        self._stop = threading.Event()
        self._began_ns = clock()
        self._thread = threading.Thread(target=self._run, name="sensors", daemon=True)

    def __enter__(self) -> Watch:
        self._began_ns = self._clock()
        self._samples.append(self.sample())
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join(2.0 * EVERY_S)

    @property
    def samples(self) -> Sequence[Sample]:
        """Those taken so far, in order."""
        return tuple(self._samples)

    @property
    def at_s(self) -> float:
        """Seconds since it began."""
        return (self._clock() - self._began_ns) / 1e9

    def sample(self) -> Sample:
        """The sensors now; not kept."""
        return Sample(
            self.at_s,
            self._sensors.read(),
            self._resident(),
            memory_of(self._files).get("MemAvailable"),
        )

    def _resident(self) -> int | None:
        found = re.search(
            r"^VmRSS:\s+(\d+) kB", self._files.text("/proc/self/status") or "", re.MULTILINE
        )
        return None if found is None else int(found[1]) << 10

    def _run(self) -> None:
        while not self._stop.wait(EVERY_S):
            self._samples.append(self.sample())
