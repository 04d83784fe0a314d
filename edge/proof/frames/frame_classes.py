"""Frames that stand for all frames: for each rule the least that matches, and just less than that.

In: the mission's labels, scenes, rules and zones. Out: `FrameClass`es, each with what every rule
makes of it by the real `matches`. The conditions of `when` are monotone (a higher score, a taller
box, less time to contact, one object more never match less), so the least frame of a rule is one in
which the fewest other rules match with it. Never judges a picture.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from edge.contract.mission.schema import Mission
from edge.contract.mission.sections.policy import Rule, When
from edge.perception.decode import CLASSES, CONDITION
from edge.perception.values import Classification, LabelMap
from edge.proof.frames.frame_class import (
    CLEAR,
    MATCH,
    SIZE_PX,
    UNCLEAR,
    FrameClass,
    FrameName,
    RuleFrames,
    Verdict,
    covered,
    frame_of,
    label_map,
)
from edge.proof.frames.zone_points import GRID, ZonePoints
from edge.runtime.policy.facts import FrameFacts
from edge.runtime.policy.rule_matching import matches
from edge.runtime.policy.settings import PolicySettings
from edge.runtime.tracking.ground_plane import GroundDistance
from edge.runtime.tracking.track import Track

_LESS = 1e-6
_FOLLOWED_NS = 1_000_000_000
_FAR_M = 1000.0


class FrameClasses:
    """All representative frames of a mission.

    Attributes:
        clear: matches no rule; None: there is no such frame.
        of: the frames of each rule, by its name.
    """

    def __init__(self, settings: PolicySettings, scenes: Mapping[str, Sequence[str]]) -> None:
        """`scenes`: the labels of each classification head, as `scenes_of` gives them."""
        self._settings = settings
        self._scenes = scenes
        self._points = ZonePoints(settings.policy)
        self.clear = self._clear()
        self.of = {rule.name: self._of(rule) for rule in settings.policy.rules}

    def distinct(self) -> tuple[FrameClass, ...]:
        """One frame for each way in which the rules judge together; the clear road first."""
        made = [] if self.clear is None else [self.clear]
        for frames in self.of.values():
            made += [*frames.least, frames.unclear]
        first: dict[tuple[Verdict, ...], FrameClass] = {}
        for one in made:
            first.setdefault(one.verdicts, one)
        return tuple(first.values())

    def named(self, name: FrameName) -> FrameClass | None:
        """The class of that name; None where the mission has none."""
        if name.kind == CLEAR:
            return self.clear
        frames = self.of.get(name.rule)
        if frames is None:
            return None
        every = (*frames.least, *frames.less, frames.unclear)
        return next((one for one in every if one.names == (name,)), None)

    def together(self, *classes: FrameClass) -> FrameClass:
        """A frame with the objects of several, and the scene and areas of the first."""
        first = classes[0].frame
        frame = replace(
            first,
            tracks=tuple(track for one in classes for track in one.frame.tracks),
            left_out=max(one.frame.left_out for one in classes),
        )
        names = tuple(name for one in classes for name in one.names)
        return self._judged(names, frame)

    def _judged(self, names: tuple[FrameName, ...], frame: FrameFacts) -> FrameClass:
        """A frame with the verdicts of the real `matches`."""
        policy, labels = self._settings.policy, self._settings.labels
        verdicts = [
            matches(rule.when, frame, labels=labels, zones=policy.zones) for rule in policy.rules
        ]
        return FrameClass(names, frame, tuple(verdicts))

    def _clear(self) -> FrameClass | None:
        """The first frame of which every rule says that it does not match."""
        for scene in self._possible_scenes():
            for areas in self._uniform_areas():
                made = self._judged((FrameName(CLEAR),), frame_of(scene=scene, areas=areas))
                if all(verdict is False for verdict in made.verdicts):
                    return made
        return None

    def _possible_scenes(self) -> Iterator[tuple[Classification, ...]]:
        """What the heads may say of a frame: each label surely, and each hardly."""
        heads = list(self._scenes.items())
        if not heads:
            yield ()
            return
        for score in (1.0, _LESS):
            for at in range(max(len(labels) for _, labels in heads)):
                yield tuple(
                    Classification(head, labels[min(at, len(labels) - 1)], score)
                    for head, labels in heads
                )

    def _uniform_areas(self) -> Iterator[LabelMap | None]:
        """Label maps of one label each; None where no rule asks for areas."""
        if all(rule.when.share_min is None for rule in self._settings.policy.rules):
            yield None
            return
        for label in range(len(self._settings.labels)):
            yield label_map(np.full((GRID, GRID), label, np.uint8), np.ones((GRID, GRID)))

    def _of(self, rule: Rule) -> RuleFrames:
        if rule.when.scene is not None:
            return self._of_scene(rule, rule.when)
        if rule.when.share_min is not None:
            return self._of_area(rule, rule.when, rule.when.share_min)
        return self._of_objects(rule, rule.when)

    def _of_scene(self, rule: Rule, when: When) -> RuleFrames:
        head = CLASSES if when.scene in self._scenes.get(CLASSES, ()) else CONDITION
        shown = Classification(head, when.scene, when.confidence)
        others = [label for label in self._scenes.get(head, ()) if label != when.scene]
        less = {}
        if others:
            less["scene"] = Classification(head, others[0], 1.0)
        if when.confidence > 0.0:
            less["confidence"] = replace(shown, score=when.confidence - _LESS)
        return self._made(
            rule,
            least=[frame_of(scene=(shown,))],
            less={name: frame_of(scene=(one,)) for name, one in less.items()},
            unclear=frame_of(scene=(replace(shown, label=None),)),
        )

    def _of_area(self, rule: Rule, when: When, share_min: float) -> RuleFrames:
        label = self._settings.labels.index(when.label or "")
        cells = self._points.cells(when.zone)
        few = max(math.ceil(share_min * len(cells)), 1)
        ground = None if self.clear is None else self.clear.frame.areas
        maps = [covered(ground, label, cells[:count], when.confidence) for count in (few, few - 1)]
        unsure = covered(ground, label, cells, 0.0) if when.confidence > 0.0 else None
        return self._made(
            rule,
            least=[frame_of(areas=maps[0])],
            less={"share_min": frame_of(areas=maps[1])},
            unclear=frame_of(areas=unsure),
        )

    def _of_objects(self, rule: Rule, when: When) -> RuleFrames:
        points = self._points.least(when.zone, height=when.height_min)
        tracks = [self._track(when, point) for point in points]
        less = {name: (one,) * when.count for name, one in self._just_less(when, tracks[0])}
        less["count"] = (tracks[0],) * (when.count - 1)
        return self._made(
            rule,
            least=[frame_of(tracks=(one,) * when.count) for one in tracks],
            less={name: frame_of(tracks=shown) for name, shown in less.items()},
            unclear=frame_of(left_out=1),
        )

    def _track(self, when: When, point: tuple[float, float]) -> Track:
        """An object that stands at a point of the frame and meets each condition exactly."""
        x, y = (SIZE_PX * share for share in point)
        limit_s = when.time_to_contact_max_s
        return Track(
            id=1,
            box=(x, y - SIZE_PX * when.height_min, x, y),
            score=when.confidence,
            label=self._settings.labels.index(when.label or ""),
            age_frames=100,
            hits=100,
            missed_frames=0,
            first_ns=0,
            last_ns=_FOLLOWED_NS,
            time_to_contact_s=math.inf if limit_s is None else limit_s,
            contact_from="boxes",
            distance=GroundDistance(
                near_m=_FAR_M if when.distance_max_m is None else when.distance_max_m
            ),
        )

    def _just_less(self, when: When, track: Track) -> Iterator[tuple[str, Track]]:
        """The same object, each time with one condition just missed."""
        x1, y1, x2, y2 = track.box
        yield "missed_frames", replace(track, missed_frames=1)
        if when.confidence > 0.0:
            yield "confidence", replace(track, score=when.confidence - _LESS)
        if when.height_min > 0.0:
            yield "height_min", replace(track, box=(x1, y1 + SIZE_PX * _LESS, x2, y2))
        if when.time_to_contact_max_s is not None:
            later_s = when.time_to_contact_max_s + _LESS
            yield "time_to_contact_max_s", replace(track, time_to_contact_s=later_s)
        if when.distance_max_m is not None:
            farther = GroundDistance(near_m=when.distance_max_m + _LESS)
            yield "distance_max_m", replace(track, distance=farther)
        if len(self._settings.labels) > 1:
            other = (track.label + 1) % len(self._settings.labels)
            yield "label", replace(track, label=other)
        outside = None if when.zone is None else self._points.outside(when.zone)
        if outside is not None:
            yield "zone", self._track(when, outside)

    def _made(
        self,
        rule: Rule,
        *,
        least: Sequence[FrameFacts],
        less: Mapping[str, FrameFacts],
        unclear: FrameFacts,
    ) -> RuleFrames:
        """The frames judged; what they leave open (a scene beside objects) is as on a clear
        road."""
        base = None if self.clear is None else self.clear.frame

        def judged(name: FrameName, frame: FrameFacts) -> FrameClass:
            if base is not None:
                areas = base.areas if rule.when.share_min is None else frame.areas
                frame = replace(frame, scene=frame.scene or base.scene, areas=areas)
            return self._judged((name,), frame)

        first: dict[tuple[Verdict, ...], FrameClass] = {}
        for number, frame in enumerate(least):
            one = judged(FrameName(MATCH, rule.name, number), frame)
            first.setdefault(one.verdicts, one)
        return RuleFrames(
            least=tuple(first.values()),
            less=tuple(judged(FrameName(name, rule.name), frame) for name, frame in less.items()),
            unclear=judged(FrameName(UNCLEAR, rule.name), unclear),
        )


def scenes_of(mission: Mission) -> dict[str, tuple[str, ...]]:
    """The labels of each classification head of the mission's network that a rule may ask for."""
    heads = {}
    if mission.model.decode.kind == "classify":
        heads[CLASSES] = mission.model.labels
    if mission.model.condition is not None:
        heads[CONDITION] = mission.model.condition.labels
    return heads
