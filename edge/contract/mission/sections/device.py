"""`[budget]`, `[camera]`, `[link]` and `[target]`: what the device has and how long it may take.

Times in milliseconds, speeds in m/s, pictures in pixels. The schema only.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from edge.contract.mission.sections.field_types import Flag, Name, Number, Strict, Whole
from edge.contract.mission.sections.geometry import Geometry
from firmware_bridge.link.deadlines import LinkTimes
from firmware_bridge.link.line_speed import BAUD

MAX_VALID_FOR_MS = 300
"""The longest time-to-live a command may ask for; the microcontroller clips to the same."""

Milliseconds = Annotated[Number, Field(gt=0.0, le=10_000.0)]
Pixels = Annotated[Whole, Field(ge=1, le=16_384)]


class Budget(Strict):
    """Milliseconds allowed for each stage and from capture to bytes written."""

    grab_ms: Milliseconds
    preprocess_ms: Milliseconds
    infer_ms: Milliseconds
    decode_ms: Milliseconds
    track_ms: Milliseconds
    decide_ms: Milliseconds
    send_ms: Milliseconds
    end_to_end_ms: Milliseconds

    def stage_ms(self, stage: str) -> float:
        """The budget of one of STAGES."""
        value: float = getattr(self, f"{stage}_ms")
        return value


class Camera(Strict):
    """What the camera delivers, and the speed assumed while the true one is unknown.

    geometry: how it sees and where it is mounted; without it no distance is known.
    """

    width_px: Pixels
    height_px: Pixels
    fps: Annotated[Number, Field(ge=1.0, le=240.0)]
    assumed_speed_mps: Annotated[Number, Field(gt=0.0, le=70.0)]
    geometry: Geometry | None = None


class LinkSettings(Strict):
    """The serial link. `port` is a device path, or "emulated" for the firmware as a process.

    A command acknowledged after more than `acknowledge_within_ms` is late. Late ones in a row make
    the demand graver step by step, and more than `late_share_max` of the last 50 slow the vehicle
    (docs/runtime.md).
    """

    port: Name = "emulated"
    baud: Annotated[Whole, Field(ge=9600, le=4_000_000)] = BAUD
    rate_hz: Annotated[Number, Field(ge=20.0, le=200.0)] = 50.0
    valid_for_ms: Annotated[Whole, Field(ge=50, le=MAX_VALID_FOR_MS)] = 250
    acknowledge_within_ms: Annotated[Whole, Field(ge=10, le=1000)] = LinkTimes().acknowledge_ms
    late_share_max: Annotated[Number, Field(gt=0.0, lt=1.0)] = LinkTimes().late_share_max


class Target(Strict):
    """Where the model runs.

    dla: the network is cut behind the last operator that a DLA takes, and `engine build --dla`
        builds the body (docs/engine.md).
    backend: "auto" takes the first of tensorrt, rtx and onnxruntime on which the conversion was
        gated and that is there.
    cuda: the Python package for device memory and streams of tensorrt and rtx.
    gpu: the CUDA driver's number of the GPU.
    threads: of onnxruntime.
    """

    dla: Flag = False
    backend: Literal["onnxruntime", "tensorrt", "rtx", "auto"] = "onnxruntime"
    cuda: Literal["pycuda", "cuda-bindings"] = "pycuda"
    gpu: Annotated[Whole, Field(ge=0, le=15)] = 0
    threads: Annotated[Whole, Field(ge=1, le=256)] = 2
