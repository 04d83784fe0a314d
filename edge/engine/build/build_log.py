"""Receives TensorRT's severe log messages and its progress in a build. Never cancels a build."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edge.engine.api_probe import Probe

PhaseProgress = Callable[[str, int, int], None]
"""Called with the phase, how many of its steps are done, and how many there are."""

SEVERE = ("INTERNAL_ERROR", "ERROR", "WARNING")


def message_log(probe: Probe, messages: list[str]) -> Any:
    """A TensorRT logger that appends severe messages to `messages`."""
    base: Any = probe.attribute(probe.trt, "ILogger")

    class Log(base):  # type: ignore[misc] # the base is known when TensorRT is imported
        """Appends severe messages."""

        def __init__(self) -> None:
            base.__init__(self)

        def log(self, severity: Any, text: str) -> None:
            if severity.name in SEVERE:
                messages.append(f"{severity.name}: {text}")

    return Log()


def progress_monitor(probe: Probe, tell: PhaseProgress) -> Any:
    """A TensorRT progress monitor that calls `tell` for each step of a phase."""
    base: Any = probe.attribute(probe.trt, "IProgressMonitor")

    class Monitor(base):  # type: ignore[misc] # as above
        """Reports the progress of each phase."""

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
