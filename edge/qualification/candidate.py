"""The model that is measured or proved: how it is opened alone, and how the loop runs it.

A mission and a conversion go in; sessions and reports of runs come out. The one place here that
knows how the product chooses a model and runs it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge.backends.session import Session
from edge.contract.conversion_output import Precision
from edge.contract.mission.schema import Mission
from edge.engine.choose_backend import ChosenModel, choose_backend
from edge.runtime.clock import Clock, monotonic_ns
from edge.runtime.daemon import open_model, run
from edge.runtime.health.files import NO_FILES, HealthFiles, read_health_files
from edge.runtime.loop.decision_loop import Link, Turn
from edge.runtime.recording.run_report import RunReport
from edge.runtime.sources.source import Source


@dataclass(frozen=True)
class Candidate:
    """One model of a mission."""

    mission: Mission
    model: ChosenModel
    health_files: HealthFiles = NO_FILES

    @classmethod
    def choose(
        cls,
        converted: Path,
        mission: Mission,
        precision: Precision,
        *,
        backend: str | None = None,
        engine: Path | None = None,
    ) -> Candidate:
        """The one that `run` takes with these options. Raises as `choose_backend` does."""
        model = choose_backend(converted, mission, precision, backend=backend, engine=engine)
        return cls(mission, model, read_health_files(converted, mission))

    @property
    def words(self) -> str:
        """ "cpu.onnx in int8 on onnxruntime"."""
        model = self.model
        return f"{model.path.name} in {model.precision} on {model.backend}"

    def open(self) -> Session:
        """A session, for the thread that calls."""
        return open_model(self.model, self.mission)

    def run(
        self,
        source: Source,
        link: Link,
        *,
        seconds: float,
        on_turn: Callable[[Turn, float], None],
        clock: Clock = monotonic_ns,
    ) -> RunReport:
        """Runs it in the product's own loop, which closes the source.

        Args:
            seconds: when the loop is asked to end, counted from its first turn.
            on_turn: called after every turn with the seconds since the first one, in the loop's
                thread.
        """
        done = threading.Event()
        first_ns: int | None = None

        def listen(turn: Turn) -> None:
            nonlocal first_ns
            first_ns = turn.now_ns if first_ns is None else first_ns
            at_s = (clock() - first_ns) / 1e9
            on_turn(turn, at_s)
            if at_s >= seconds:
                done.set()

        return run(
            self.mission,
            source=source,
            model=self.model,
            link=link,
            on_event=lambda _event: None,
            on_turn=listen,
            until=done,
            health_files=self.health_files,
            clock=clock,
        )
