"""A road for the policy's tests: a mission's rules, tracks, and frames one camera period apart."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from edge.contract.mission.sections.policy import Policy
from edge.perception.values import Classification
from edge.runtime.policy.facts import Decision, Facts, FrameFacts
from edge.runtime.policy.policy import decide, initial
from edge.runtime.policy.settings import PolicySettings
from edge.runtime.tracking.ground_plane import GroundDistance
from edge.runtime.tracking.track import Track
from firmware_bridge.protocol.messages import Action

MS = 1_000_000
PERIOD = 40 * MS

POLICY = Policy.model_validate(
    {
        "zones": {"corridor": [[0.3, 0.5], [0.7, 0.5], [0.9, 1.0], [0.1, 1.0]]},
        "rules": [
            {
                "name": "pedestrian",
                "why": "a person cannot be passed",
                "when": {"label": "pedestrian", "confidence": 0.4, "zone": "corridor"},
                "confirm": {"k": 3, "of": 5},
                "action": "COMFORT_STOP",
                "deceleration_mps2": 2.0,
                "clear": "standstill",
                "hold_ms": 200,
            },
            {
                "name": "crowd",
                "why": "many people",
                "when": {"label": "pedestrian", "confidence": 0.4, "count": 3},
                "confirm": {"k": 1, "of": 1},
                "action": "EMERGENCY_STOP",
                "deceleration_mps2": 6.0,
                "clear": "operator",
            },
            {
                "name": "vehicle",
                "why": "keep room",
                "when": {"label": "vehicle", "confidence": 0.5, "height_min": 0.2},
                "confirm": {"k": 2, "of": 3},
                "action": "CAP_SPEED",
                "speed_ceiling_mps": 4.0,
                "deceleration_mps2": 1.5,
                "clear": "when_gone",
                "hold_ms": 300,
            },
            {
                "name": "sign",
                "why": "somebody should know",
                "when": {"label": "traffic sign", "confidence": 0.5},
                "confirm": {"k": 1, "of": 1},
                "action": "NOTIFY",
                "clear": "never",
            },
        ],
        "fallbacks": {"speed_ceiling_mps": 5.0, "deceleration_mps2": 1.0},
    }
)
SETTINGS = PolicySettings(
    labels=("pedestrian", "vehicle", "traffic sign"),
    policy=POLICY,
    unknown_after_ns=2 * PERIOD,
    slow_down_after_ns=5 * PERIOD,
    comfort_stop_after_ns=10 * PERIOD,
    commands_a_step=5,
    valid_for_ms=250,
)
STANDING = Facts(
    frame=None,
    camera_gone=False,
    inference_hung=False,
    late_share=None,
    unacknowledged_in_a_row=0,
    standstill=True,
    operator_request=False,
    effective_action=Action.NONE,
    link_up=True,
    ending=False,
)
MOVING = replace(STANDING, standstill=False)


def track(
    label: int,
    *,
    x: float = 0.5,
    bottom: float = 0.9,
    score: float = 0.8,
    time_to_contact_s: float = math.inf,
    near_m: float | None = None,
) -> Track:
    box = (100 * x - 5, 100 * bottom - 30, 100 * x + 5, 100 * bottom)
    distance = GroundDistance(near_m)
    return Track(1, box, score, label, 0, 1, 0, 0, 0, time_to_contact_s, "boxes", distance=distance)


PERSON, VEHICLE, SIGN = track(0), track(1), track(2)


@dataclass
class Road:
    """Drives the policy frame by frame and remembers where it stands."""

    facts: Facts = MOVING
    now_ns: int = 0
    settings: PolicySettings = SETTINGS

    def __post_init__(self) -> None:
        self.state = initial(self.settings)

    def frame(self, *tracks: Track, known: bool = True, **facts: Any) -> Decision:
        """One camera period later: a frame with these tracks, perceived at once."""
        self.now_ns += PERIOD
        seen = FrameFacts(self.now_ns, known, tracks, (100, 100))
        return self.turn(frame=seen, **facts)

    def scene(
        self, *said: Classification, tracks: tuple[Track, ...] = (), **facts: Any
    ) -> Decision:
        """One camera period later: a frame of which the heads say this."""
        self.now_ns += PERIOD
        return self.turn(frame=FrameFacts(self.now_ns, True, tracks, (100, 100), said), **facts)

    def scenes(self, count: int, *said: Classification, **facts: Any) -> Decision:
        for _ in range(count):
            decision = self.scene(*said, **facts)
        return decision

    def frames(self, count: int, *tracks: Track, **facts: Any) -> Decision:
        for _ in range(count):
            decision = self.frame(*tracks, **facts)
        return decision

    def wait(self, ms: float, **facts: Any) -> Decision:
        """Nothing new for so long, in turns of 20 ms."""
        end_ns = self.now_ns + round(ms * MS)
        while self.now_ns < end_ns:
            self.now_ns = min(self.now_ns + 20 * MS, end_ns)
            decision = self.turn(**facts)
        return decision

    def turn(self, **facts: Any) -> Decision:
        now = replace(self.facts, **facts)
        self.state, decision = decide(self.settings, now, self.state, self.now_ns)
        return decision


def driving(settings: PolicySettings = SETTINGS) -> Road:
    """A road that was looked at for every rule's window and is clear, the start's stop released."""
    road = Road(settings=settings)
    road.frames(max(rule.confirm.of for rule in settings.policy.rules), standstill=True)
    assert road.frame().command.action is Action.NONE
    return road


def said(label: str | None, score: float = 0.9, head: str = "condition") -> Classification:
    """What one head says of a frame."""
    return Classification(head, label, score)
