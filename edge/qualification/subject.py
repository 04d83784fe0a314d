"""What is qualified: a device, a mission, a conversion, and what the steps found so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from edge.contract.mission.schema import Mission
from edge.engine.choose_backend import ENGINE_BACKENDS
from edge.perception.values import Frame
from edge.progress import Advance
from edge.qualification.bench.frames import open_frames
from edge.qualification.candidate import Candidate
from edge.qualification.device_steps import Device
from edge.runtime.clock import monotonic_ns
from firmware_bridge.errors import DeviceFault

READS_A_FRAME = 50
"""Readings in a row without a frame after which a source has none."""


@dataclass
class Subject:
    """One qualification.

    Attributes:
        converted: the folder that `convert` wrote.
        work: a folder for what the steps write: the engine and its sidecar.
        source: as of `run`; None: a generated story.
        engine: an engine to use instead of building one; set by the step that builds.
        tests: a folder with the conformance tests; None: they are left out.
        wheelhouse: the folder that this was installed from; None: not compared.
        clip_s: how long the clip runs through the loop, at most.
        golden: how many frames are compared.
    """

    device: Device
    mission: Mission
    converted: Path
    precision: Literal["float", "int8"]
    work: Path
    source: str | None
    port: str
    engine: Path | None = None
    tests: Path | None = None
    wheelhouse: Path | None = None
    clip_s: float = 20.0
    golden: int = 16
    progress: Advance = field(default=lambda _what, _done, _total: None)

    @property
    def lacks_engine(self) -> bool:
        """Whether the mission names a backend for engines, and none was built or named."""
        return self.engine is None and self.mission.target.backend in ENGINE_BACKENDS

    @property
    def candidate(self) -> Candidate:
        """The model that runs: in INT8 the engine, where there is one. Raises as `Candidate.choose`
        does."""
        engine = self.engine if self.precision == "int8" else None
        return Candidate.choose(self.converted, self.mission, self.precision, engine=engine)

    def frames(self, count: int, *, apart: int) -> list[Frame]:
        """So many frames of the source, each so many after the one before, as fast as it gives.

        Raises:
            DeviceFault: it gives none.
        """
        opened = open_frames(self.source, self.mission.camera, monotonic_ns)
        found: list[Frame] = []
        nothing = seen = 0
        try:
            while len(found) < count and nothing < READS_A_FRAME:
                reading = opened.read(lambda _seconds: None)
                if not isinstance(reading, Frame):
                    nothing += 1
                    continue
                nothing = 0
                if seen % apart == 0:
                    found.append(reading)
                seen += 1
        finally:
            opened.close()
        if not found:
            raise DeviceFault(
                f"{opened.info.given} gives no frame",
                expected="frames to compare",
                found=f"{nothing} readings without one",
                remedy="check the camera or the clip, or name another --source",
            )
        return found
