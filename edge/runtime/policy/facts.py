"""What the policy decides on: facts of one turn, and the demands and the decision made of them.

Values only; the deciding is in policy.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge.perception.values import Classified, LabelMap
from edge.runtime.tracking.tracker import Track
from firmware_bridge.protocol.messages import Action, Perception, Reason, SafetyCommand


@dataclass(frozen=True)
class Seen:
    """One perceived result that is new in this turn.

    `known` False: the frame could not be perceived; `tracks` and `scene` are empty, `areas` is None
    as it is of a network that tells none.
    `frame_size` is (width_px, height_px). `left_out`: detections that a limit of work left out.
    """

    captured_ns: int
    known: bool
    tracks: tuple[Track, ...]
    frame_size: tuple[int, int]
    scene: tuple[Classified, ...] = ()
    areas: LabelMap | None = None
    left_out: int = 0


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All that one turn of the decision loop knows.

    Attributes:
        seen: the new result, None in a turn woken by time.
        camera_gone: the camera delivers nothing and is being reopened.
        inference_hung: the network has not answered for far longer than it ever takes.
        late_share: share of late results in the window; None until the window is full.
        unacknowledged_in_a_row: commands that were late since the newest one acknowledged in time.
        standstill, operator_request: as the microcontroller says; None: not known, which counts
            as moving and as no request.
        effective_action: what the microcontroller applies; None: not known.
        link_up: commands travel.
        ending: the run is to end.
        commands_often_late: too large a share of the last commands was late (link.late_share_max).
    """

    seen: Seen | None
    camera_gone: bool
    inference_hung: bool
    late_share: float | None
    unacknowledged_in_a_row: int
    standstill: bool | None
    operator_request: bool | None
    effective_action: Action | None
    link_up: bool
    ending: bool
    commands_often_late: bool = False


@dataclass(frozen=True)
class Demand:
    """One active rule or fallback and the numbers it asks for.

    `speed_ceiling_mps` is None where the action names none.
    """

    name: str
    kind: str
    action: Action
    speed_ceiling_mps: float | None
    deceleration_mps2: float
    reason: Reason


@dataclass(frozen=True)
class Decision:
    """What one turn decides.

    Attributes:
        command: to be sent.
        winner: the demand whose action it carries; None when nothing is demanded.
        demands: all active ones, most severe first.
        perception: the verdict for the heartbeat.
        waiting: nothing was ever perceived.
        matched: names of the rules that match in the new frame; empty without a new frame.
        unsure: names of the rules that have not seen enough of the road for a stop to be released.
    """

    command: SafetyCommand
    winner: Demand | None
    demands: tuple[Demand, ...]
    perception: Perception
    waiting: bool
    matched: tuple[str, ...]
    unsure: tuple[str, ...] = ()
