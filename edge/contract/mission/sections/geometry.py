"""`[camera.geometry]`: how the camera sees and where it is mounted, for distances on the road.

The schema only; `edge/runtime/tracking/ground_plane.py` computes. How to measure them:
docs/distance.md.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from edge.contract.mission.sections.field_types import Number, Strict, Whole

_Focal = Annotated[Number, Field(ge=10.0, le=100_000.0)]
_Place = Annotated[Number, Field(gt=0.0, le=16_384.0)]
_Pixels = Annotated[Whole, Field(ge=1, le=16_384)]
_Coefficient = Annotated[Number, Field(ge=-100.0, le=100.0)]


class Geometry(Strict):
    """OpenCV's pinhole camera over a flat road.

    width_px, height_px: of the pictures that it was calibrated on. fx_px, fy_px, cx_px, cy_px,
    distortion (k1 k2 p1 p2 k3): from `brakepoint camera calibrate`. height_m: of the lens above the
    road. pitch_deg: how far it looks down. to_bumper_m: from the lens ahead to the front bumper.
    The four errors are standard deviations; pitch_error_deg includes the vehicle's nodding.
    """

    width_px: _Pixels
    height_px: _Pixels
    fx_px: _Focal
    fy_px: _Focal
    cx_px: _Place
    cy_px: _Place
    distortion: Annotated[tuple[_Coefficient, ...], Field(min_length=5, max_length=5)] = (0.0,) * 5
    height_m: Annotated[Number, Field(ge=0.2, le=6.0)]
    pitch_deg: Annotated[Number, Field(ge=-20.0, le=60.0)]
    to_bumper_m: Annotated[Number, Field(ge=0.0, le=20.0)]
    height_error_m: Annotated[Number, Field(ge=0.005, le=1.0)]
    pitch_error_deg: Annotated[Number, Field(ge=0.05, le=10.0)]
    foot_error_px: Annotated[Number, Field(ge=0.5, le=100.0)]
    foot_error_share: Annotated[Number, Field(ge=0.005, le=0.5)]
