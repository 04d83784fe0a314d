"""The policy's values: facts of one turn in, demands and a decision out.

Values only; policy.py decides.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge.perception.values import Classification, LabelMap
from edge.runtime.tracking.track import Track
from firmware_bridge.protocol.messages import Action, Perception, Reason, SafetyCommand


@dataclass(frozen=True)
class FrameFacts:
    """The perception of one frame that is new in this turn.

    Attributes:
        captured_ns: the frame's capture time.
        known: False where the frame could not be perceived: `tracks` and `scene` are empty then,
            and `areas` is None.
        tracks: the tracker's tracks after the frame.
        frame_size: (width_px, height_px).
        scene: answers of the classification heads.
        areas: the label map; None of a network without one.
        left_out: number of detections that a limit of work left out.
    """

    captured_ns: int
    known: bool
    tracks: tuple[Track, ...]
    frame_size: tuple[int, int]
    scene: tuple[Classification, ...] = ()
    areas: LabelMap | None = None
    left_out: int = 0


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Everything that one turn of the decision loop decides on.

    Attributes:
        frame: the new frame's perception; None in a turn without a new frame.
        camera_gone: the camera delivers nothing and is being reopened.
        inference_hung: the network has not answered for far longer than it ever takes (R-RUN-8).
        late_share: share of late results in the window; None until the window is full.
        unacknowledged_in_a_row: commands late since the newest one that was acknowledged in time.
        standstill, operator_request: as the microcontroller reports; None: not known, which counts
            as moving and as no request.
        effective_action: what the microcontroller applies; None: not known.
        link_up: commands reach the microcontroller.
        ending: the run is to end.
        commands_often_late: too large a share of the last commands was late (link.late_share_max).
    """

    frame: FrameFacts | None
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
    """What one active rule or fallback demands.

    `kind` is "rule" or "fallback"; `speed_ceiling_mps` is None where the action has none.
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
        winner: the demand whose action the command carries; None when nothing is demanded.
        demands: all active ones, most severe first.
        perception: for the heartbeat.
        waiting: no frame has been perceived yet.
        matched: names of the rules that match in the new frame; empty without a new frame.
        unsure: names of the rules without enough frames yet for a stop to be released.
    """

    command: SafetyCommand
    winner: Demand | None
    demands: tuple[Demand, ...]
    perception: Perception
    waiting: bool
    matched: tuple[str, ...]
    unsure: tuple[str, ...] = ()
