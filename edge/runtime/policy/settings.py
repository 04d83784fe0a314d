"""What the policy needs of the mission and of the source of frames.

In: a mission and the source's frame rate. Out: `PolicySettings`, with every age in nanoseconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from edge.contract.mission.frame_ages import FrameAges
from edge.contract.mission.schema import Mission
from edge.contract.mission.sections.policy import Policy


@dataclass(frozen=True, kw_only=True)
class PolicySettings:
    """What the policy needs of the mission and the source.

    Attributes:
        labels: of the network, in the order of their indices.
        policy: rules, zones and fallbacks.
        unknown_after_ns, slow_down_after_ns, comfort_stop_after_ns: ages of the newest perceived
            frame from which perception is Unknown, SLOW_DOWN and COMFORT_STOP are demanded (see
            `frame_ages.Ages`).
        commands_a_step: late commands in a row for each step of escalation.
        valid_for_ms: time-to-live of a command.
    """

    labels: tuple[str, ...]
    policy: Policy
    unknown_after_ns: int
    slow_down_after_ns: int
    comfort_stop_after_ns: int
    commands_a_step: int
    valid_for_ms: int

    @staticmethod
    def of(mission: Mission, *, fps: float) -> PolicySettings:
        """Settings for a source of `fps` frames a second."""
        ages, link = FrameAges.of(mission, fps=fps), mission.link
        return PolicySettings(
            labels=mission.model.labels,
            policy=mission.policy,
            unknown_after_ns=ages.unknown_after_ns,
            slow_down_after_ns=ages.slow_down_after_ns,
            comfort_stop_after_ns=ages.comfort_stop_after_ns,
            commands_a_step=max(1, math.ceil(link.rate_hz * link.acknowledge_within_ms / 1000.0)),
            valid_for_ms=link.valid_for_ms,
        )
