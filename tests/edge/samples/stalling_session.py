"""A backend that works for a while and then hangs, like a wedged accelerator."""

from __future__ import annotations

import time
from pathlib import Path

from edge.backends.onnxruntime_backend import OnnxruntimeSession
from edge.backends.options import SessionOptions
from edge.perception.values import Floats

GOOD_RUNS = 20
STALL_S = 12.0


class StallingSession(OnnxruntimeSession):
    """Answers GOOD_RUNS times; then each answer takes STALL_S."""

    def __init__(self, path: Path, *, options: SessionOptions) -> None:
        super().__init__(path, options=options)
        self._left = GOOD_RUNS

    def infer(self, x: Floats) -> tuple[Floats, ...]:
        self._left -= 1
        if self._left < 0:
            time.sleep(STALL_S)
        return super().infer(x)
