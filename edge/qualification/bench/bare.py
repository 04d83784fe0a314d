"""Inference alone, as the floor of the loop: the session on one input, again and again.

A way to open a session and an input go in; times come out. The calling thread opens, uses and
closes the session.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from edge.backends.session import DeviceLost, InferenceFailed, Session
from edge.perception.values import Floats
from edge.qualification.bench.spread import Spread
from firmware_bridge.errors import DeviceFault

RUNS_LEAST, RUNS_MOST = 20, 2000
WARM_UP_RUNS = 5


@dataclass(frozen=True)
class BareInference:
    """What a session takes.

    Attributes:
        open_ms: to load the model.
        first_ms: the first inference, which allocates and chooses.
        infer: all but the first WARM_UP_RUNS.
        device: the device's own times by stage; empty without a device.
    """

    open_ms: float
    first_ms: float
    infer: Spread
    device: Mapping[str, Spread]

    def to_json(self) -> dict[str, Any]:
        """Milliseconds."""
        return {
            "open_ms": round(self.open_ms, 1),
            "first_ms": round(self.first_ms, 3),
            "infer_ms": self.infer.to_json(),
            "device_ms": {stage: spread.to_json() for stage, spread in self.device.items()},
        }


def measure_bare(
    open_session: Callable[[], Session], x: Floats, *, seconds: float
) -> BareInference:
    """Infers for so long, RUNS_LEAST times at least and RUNS_MOST at most.

    Args:
        x: (1, 3, H, W) float32, a preprocessed picture.

    Raises:
        Refusal: what opening raises.
        DeviceFault: an inference failed, or the device was lost, also while it was opened.
    """
    durations: list[float] = []
    device: dict[str, list[float]] = {}
    session: Session | None = None
    try:
        began_s = time.perf_counter()
        session = open_session()
        open_ms = (time.perf_counter() - began_s) * 1e3
        # A session with a buffer of its own takes the input without a copy, as the loop's does.
        given = session.input if session.input.shape == x.shape else x
        given[...] = x
        first_ms = 0.0
        end_s = time.perf_counter() + seconds
        while len(durations) < RUNS_LEAST or (
            time.perf_counter() < end_s and len(durations) < RUNS_MOST
        ):
            run_s = time.perf_counter()
            session.infer(given)
            durations.append((time.perf_counter() - run_s) * 1e3)
            first_ms = first_ms or durations[0]
            for stage, value_ms in session.device_ms.items():
                device.setdefault(stage, []).append(value_ms)
    except (InferenceFailed, DeviceLost) as error:
        raise DeviceFault(
            "inference alone fails",
            expected="an output for every input",
            found=str(error),
            remedy="run it to see more: brakepoint run; after a lost device start again",
        ) from error
    finally:
        if session is not None:
            session.close()
    infer = Spread.of(durations[WARM_UP_RUNS:])
    assert infer is not None
    spreads = {stage: Spread.of(values[WARM_UP_RUNS:]) for stage, values in device.items()}
    return BareInference(
        open_ms,
        first_ms,
        infer,
        {stage: spread for stage, spread in spreads.items() if spread is not None},
    )
