"""`[budget]`, `[camera]`, `[link]` and `[target]`: what the device has and how long it may take.

Times in milliseconds, speeds in m/s, pictures in pixels. The schema only.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from edge.contract.sections.field_types import Positive, PositiveFloat, Strict, Text

MAX_VALID_FOR_MS = 300
"""The longest time-to-live a command may ask for; the microcontroller clips to the same."""


class Budget(Strict):
    """Milliseconds allowed for each stage and from capture to bytes written."""

    grab_ms: PositiveFloat
    preprocess_ms: PositiveFloat
    infer_ms: PositiveFloat
    decode_ms: PositiveFloat
    track_ms: PositiveFloat
    decide_ms: PositiveFloat
    send_ms: PositiveFloat
    end_to_end_ms: PositiveFloat

    def stage_ms(self, stage: str) -> float:
        """The budget of one of STAGES."""
        value: float = getattr(self, f"{stage}_ms")
        return value


class Camera(Strict):
    """What the camera delivers, and the speed assumed while the true one is unknown."""

    width_px: Positive
    height_px: Positive
    fps: PositiveFloat
    assumed_speed_mps: PositiveFloat


class LinkSettings(Strict):
    """The serial link. `port` is a device path, or "emulated" for the firmware as a process."""

    port: Text = "emulated"
    baud: Positive = 115200
    rate_hz: Annotated[float, Field(ge=20.0, le=200.0)] = 50.0
    valid_for_ms: Annotated[int, Field(ge=50, le=MAX_VALID_FOR_MS)] = 250
    acknowledge_within_ms: Annotated[int, Field(ge=10, le=1000)] = 100


class Target(Strict):
    """Where the model runs.

    dla: the network is cut behind the last operator that a DLA takes, and `engine build --dla`
        builds the body (docs/engine.md).
    """

    dla: bool = False
    backend: Literal["onnxruntime"] = "onnxruntime"
    threads: Positive = 2
