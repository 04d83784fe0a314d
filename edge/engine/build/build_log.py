"""Receives TensorRT's severe log messages and its progress in a build. Never cancels a build."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from edge.engine.api_probe import Probe

PhaseProgress = Callable[[str, int, int, float | None], None]
"""Called with the phase, how many of its steps are done, how many there are, and how many seconds
the rest of the phase takes at the rate so far (None where that cannot be said yet)."""

SEVERE = ("INTERNAL_ERROR", "ERROR", "WARNING")

LEAST_STEPS = 8
"""Steps of a phase with fewer are no measure of time: one of six may take nine tenths of it."""
LEAST_DONE, LEAST_S = 2, 1.0
"""No estimate from fewer steps or less time."""


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


def progress_monitor(
    probe: Probe, tell: PhaseProgress, *, clock: Callable[[], float] = time.monotonic
) -> Any:
    """A TensorRT progress monitor that calls `tell` for each step of a phase."""
    base: Any = probe.attribute(probe.trt, "IProgressMonitor")

    class Monitor(base):  # type: ignore[misc] # as above
        """Reports the progress of each phase."""

        def __init__(self) -> None:
            base.__init__(self)
            self._begun: dict[str, tuple[int, float]] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self._begun[phase_name] = (num_steps, clock())
            tell(phase_name, 0, num_steps, None)

        def step_complete(self, phase_name: str, step: int) -> bool:
            steps, since = self._begun.get(phase_name, (0, clock()))
            tell(phase_name, step + 1, steps, remaining_s(step + 1, steps, clock() - since))
            return True

        def phase_finish(self, phase_name: str) -> None:
            steps, _ = self._begun.pop(phase_name, (0, 0.0))
            tell(phase_name, steps, steps, 0.0)

    return Monitor()


def remaining_s(done: int, total: int, spent_s: float) -> float | None:
    """Seconds for the rest of a phase at the rate so far; None where that says nothing yet."""
    if total < LEAST_STEPS or done < LEAST_DONE or spent_s < LEAST_S:
        return None
    return spent_s * max(total - done, 0) / done
