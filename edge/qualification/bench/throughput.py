"""The most frames a second: the loop's inference thread with a frame always waiting.

A way to open a session, a model and a frame go in; frames a second come out. Preprocess, inference,
decoding and tracking are the loop's own; capture, decisions and the link are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from edge.backends.session import Session
from edge.contract.mission.sections.model import Model
from edge.perception.values import Frame
from edge.runtime.clock import Clock
from edge.runtime.loop.capture import CapturedFrame
from edge.runtime.loop.inference import Inference, Result
from edge.runtime.loop.mailbox import Mailbox

LONGEST_S = 10.0
"""A frame that takes longer ends the measurement."""


def measure_throughput(
    open_session: Callable[[], Session], model: Model, frame: Frame, *, clock: Clock, seconds: float
) -> float | None:
    """Frames a second; None where a frame did not come through.

    Raises:
        Refusal: what opening the session raises.
    """
    frames: Mailbox[CapturedFrame] = Mailbox()
    results: Mailbox[Result] = Mailbox()
    inference = Inference(open_session, model, frames, results, health=None, clock=clock)
    try:
        inference.start()
        count = 0
        began_ns = clock()
        while (passed_ns := clock() - began_ns) < seconds * 1e9 or count == 0:
            frames.put(CapturedFrame(replace(frame, captured_ns=clock(), index=count), 0.0))
            if results.take(LONGEST_S) is None:
                return None
            count += 1
        return count * 1e9 / passed_ns
    finally:
        frames.close()
        inference.join(timeout_s=LONGEST_S)
