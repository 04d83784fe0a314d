"""`[policy]`: zones, rules and fallbacks as data.

The schema only; `edge/runtime/policy/policy.py` decides. Actions and their order are the link's
(`firmware_bridge.protocol.messages.Action`).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from edge.contract.mission.sections.field_types import (
    Deceleration,
    Name,
    Number,
    Share,
    Speed,
    Strict,
    Text,
    Whole,
)
from edge.contract.mission.zone_shapes import MOST_CORNERS
from edge.perception.work_limits import MOST_DETECTIONS

ActionName = Literal["NOTIFY", "CAP_SPEED", "SLOW_DOWN", "COMFORT_STOP", "EMERGENCY_STOP"]


class When(Strict):
    """What a rule looks for in one frame: objects of a `label`, an area of it, or a `scene`.

    label: one of a detector's labels; at least `count` tracked objects must match all that follows.
    Of a segmentation network's: it must cover `share_min` of the zone's area, counting pixels with
    at least `confidence`.
    scene: a label of the condition head, or of a classifier: what the whole frame is like.
    confidence: least score. zone: a name in `[policy.zones]` that must hold the middle of the box's
    lower edge (where it stands on the road); without one the whole frame. height_min: least box
    height as a share of the frame's. time_to_contact_max_s: objects that come closer and would be
    here within so long, by how fast their boxes grow. distance_max_m: objects that may be
    no farther than this from the front bumper, by the near end of their distance's uncertainty.
    """

    label: Name | None = None
    scene: Name | None = None
    confidence: Share
    zone: Name | None = None
    height_min: Share = 0.0
    count: Annotated[Whole, Field(ge=1, le=MOST_DETECTIONS)] = 1
    time_to_contact_max_s: Annotated[Number, Field(gt=0.0, le=10.0)] | None = None
    distance_max_m: Annotated[Number, Field(gt=0.0, le=300.0)] | None = None
    share_min: Annotated[Number, Field(gt=0.0, le=1.0)] | None = None


Frames = Annotated[Whole, Field(ge=1, le=250)]


class Confirm(Strict):
    """Fires once `k` of the last `of` perceived frames matched."""

    k: Frames
    of: Frames


class Rule(Strict):
    """One safety action and when it applies.

    clear: "when_gone" (no match in the confirm window), "standstill" (gone, and the vehicle
    stands), "operator" (the same, and the operator asks), "never" (until the daemon is started
    again). hold_ms: stays active at least so long after the last match.
    """

    name: Name
    why: Text
    when: When
    confirm: Confirm
    action: ActionName
    speed_ceiling_mps: Speed | None = None
    deceleration_mps2: Deceleration | None = None
    clear: Literal["when_gone", "standstill", "operator", "never"]
    hold_ms: Annotated[Whole, Field(ge=0, le=600_000)] = 0


UNKNOWN_AT_MOST_MS = 500.0
SLOW_DOWN_AT_MOST_MS = 1000.0
COMFORT_STOP_AT_MOST_MS = 2000.0
"""Bounds of a perceived frame's age at any frame rate: 5 and 10 periods of 5 frames a second. With
a camera slower than 2 frames a second perception is Unknown between two frames
(docs/decisions/0027)."""


class Fallbacks(Strict):
    """What the loop does by itself when perception or link fail; a mission may only tighten it.

    Ages are of the newest frame that was perceived, in camera periods. Defaults: the failure
    table of docs/runtime.md.
    """

    unknown_after_periods: Annotated[Number, Field(ge=1.0, le=2.0)] = 2.0
    slow_down_after_periods: Annotated[Number, Field(ge=2.0, le=5.0)] = 5.0
    comfort_stop_after_periods: Annotated[Number, Field(ge=3.0, le=10.0)] = 10.0
    late_share_max: Annotated[Number, Field(ge=0.0, le=0.2)] = 0.2
    speed_ceiling_mps: Speed
    deceleration_mps2: Deceleration


Corners = Annotated[tuple[tuple[Share, Share], ...], Field(min_length=3, max_length=MOST_CORNERS)]


class Policy(Strict):
    """Zones, rules and fallbacks.

    zones: name -> polygon of at least three (x, y) corners as shares of frame width and height, in
        their order around it.
    brake_delay_ms: from the microcontroller's demand to the first braking of the vehicle.
    """

    zones: Annotated[dict[Name, Corners], Field(max_length=64)] = Field(default={})
    rules: Annotated[tuple[Rule, ...], Field(min_length=1, max_length=200)]
    fallbacks: Fallbacks
    brake_delay_ms: Annotated[Number, Field(ge=0.0, le=2000.0)] | None = None
