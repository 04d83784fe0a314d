"""How far away an object straight ahead is at the latest when a frame can first match a rule.

In: a mission and a rule. Out: `Trigger`s, one for each condition that depends on distance; all must
hold, so the nearest counts. Each takes the unfavourable end of its uncertainty. Supposes that the
network finds the object there, which no mission says.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from edge.contract.mission.schema import Mission
from edge.contract.mission.sections.policy import Rule
from edge.runtime.tracking.ground_plane import GroundCamera

LEAST_HEIGHT_M = {
    "pedestrian": 1.15,
    "person": 1.15,
    "vehicle": 1.4,
    "car": 1.4,
}
"""Height of the smallest object of a label that must be stopped for: the child of a 6-year-old's
height that UN R152 tests with, and a low car."""


@dataclass(frozen=True)
class Trigger:
    """One condition.

    Attributes:
        metres: its distance; 0 where it is a time.
        seconds: time to contact, so that the distance grows with the speed; 0 where it is none.
        why: in words.
    """

    metres: float
    seconds: float
    why: str

    def at(self, speed_mps: float) -> float:
        """The distance at this closing speed."""
        return self.metres + self.seconds * speed_mps


@dataclass(frozen=True)
class Triggers:
    """All conditions of a rule that depend on distance.

    Attributes:
        known: those with a distance.
        unknown: in words, those whose distance the mission does not tell.
    """

    known: tuple[Trigger, ...]
    unknown: tuple[str, ...]

    def at(self, speed_mps: float) -> float:
        """The distance at which all known conditions hold; inf without any."""
        return min((trigger.at(speed_mps) for trigger in self.known), default=math.inf)


def triggers_of(mission: Mission, rule: Rule) -> Triggers:
    """The conditions of a rule."""
    when = rule.when
    known: list[Trigger] = []
    unknown: list[str] = []
    if when.distance_max_m is not None:
        known.append(Trigger(when.distance_max_m, 0.0, "distance_max_m"))
    if when.time_to_contact_max_s is not None:
        known.append(Trigger(0.0, when.time_to_contact_max_s, "time_to_contact_max_s"))
    geometry = mission.camera.geometry
    camera = None if geometry is None else GroundCamera.of(geometry)
    for found in (_height(mission, rule, camera), _zone(mission, rule, camera)):
        if isinstance(found, Trigger):
            known.append(found)
        elif found is not None:
            unknown.append(found)
    return Triggers(tuple(known), tuple(unknown))


def _height(mission: Mission, rule: Rule, camera: GroundCamera | None) -> Trigger | str | None:
    if rule.when.height_min <= 0.0:
        return None
    least_m = LEAST_HEIGHT_M.get(rule.when.label or "")
    if camera is None:
        return "height_min needs [camera.geometry]"
    if least_m is None:
        return f"height_min: the height of '{rule.when.label}' is not known"
    metres = camera.fy_px * least_m / (rule.when.height_min * mission.camera.height_px)
    why = f"height_min, an object of {least_m:g} m"
    return Trigger(max(0.0, metres - camera.to_bumper_m), 0.0, why)


def _zone(mission: Mission, rule: Rule, camera: GroundCamera | None) -> Trigger | str | None:
    if rule.when.zone is None:
        return None
    if camera is None:
        return "zone needs [camera.geometry]"
    corners = mission.policy.zones[rule.when.zone]
    top = min(y for _, y in corners)
    columns = [x for x, y in corners if y == top]
    width, height = camera.size_px
    column_px = sum(columns) / len(columns) * width
    found = camera.distance(column_px, top * height, box_height_px=0.0)
    if found.near_m is None:
        return None  # it reaches above the horizon: no foot is too far away for it
    return Trigger(found.near_m, 0.0, f"zone '{rule.when.zone}', its far edge")
