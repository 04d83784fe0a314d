"""What TensorRT tells while it builds: severe messages of its log, and how far it is.

Listens only: never cancels a build and decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edge.engine.api_probe import Probe

PhaseProgress = Callable[[str, int, int], None]
"""Called with the phase, how many of its steps are done, and how many there are."""

SEVERE = ("INTERNAL_ERROR", "ERROR", "WARNING")


def message_log(probe: Probe, messages: list[str]) -> Any:
    """A logger that appends what is severe to `messages`."""
    base: Any = probe.attribute(probe.trt, "ILogger")

    class Log(base):  # type: ignore[misc] # the base is known when TensorRT is imported
        """Keeps what is severe."""

        def __init__(self) -> None:
            base.__init__(self)

        def log(self, severity: Any, text: str) -> None:
            if severity.name in SEVERE:
                messages.append(f"{severity.name}: {text}")

    return Log()


def progress_monitor(probe: Probe, tell: PhaseProgress) -> Any:
    """A monitor that tells how far each phase is."""
    base: Any = probe.attribute(probe.trt, "IProgressMonitor")

    class Monitor(base):  # type: ignore[misc] # as above
        """Tells how far each phase is; never cancels."""

        def __init__(self) -> None:
            base.__init__(self)
            self._steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self._steps[phase_name] = num_steps
            tell(phase_name, 0, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            tell(phase_name, step + 1, self._steps.get(phase_name, 0))
            return True

        def phase_finish(self, phase_name: str) -> None:
            steps = self._steps.get(phase_name, 0)
            tell(phase_name, steps, steps)

    return Monitor()
