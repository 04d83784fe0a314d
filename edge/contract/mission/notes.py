"""Finds settings of a valid mission that are probably not meant; one sentence each.

A `Mission` goes in, sentences for `mission check` come out. They never refuse a mission.
"""

from __future__ import annotations

from edge.contract.mission.frame_ages import FrameAges
from edge.contract.mission.schema import Mission
from firmware_bridge.protocol.limits import LIMITS
from firmware_bridge.protocol.line_rate import BITS_PER_BYTE, wire_bytes
from firmware_bridge.protocol.messages import (
    Acknowledge,
    Action,
    Heartbeat,
    SafetyCommand,
    Status,
    VehicleState,
)

UPDATE_MS = 10.0
"""The microcontroller's longest time between two updates (docs/link.md, porting)."""


def notes_of(mission: Mission) -> list[str]:
    """The notes on a mission, in the order of its file."""
    return [
        *_dropped_before(mission),
        *_zones_unused(mission),
        *_braked_otherwise(mission),
        *_capped_lower(mission),
        *_frames_get_old(mission),
        *_acknowledged_too_late(mission),
    ]


def _dropped_before(mission: Mission) -> list[str]:
    """Rules whose confidence is below the decoder's score threshold."""
    threshold = mission.model.decode.score_threshold
    if mission.model.decode.kind in ("classify", "segment"):
        return []
    return [
        f"rule '{rule.name}' asks for a confidence of {rule.when.confidence:g}, but what is below "
        f"model.decode.score_threshold, {threshold:g}, is dropped before"
        for rule in mission.policy.rules
        if rule.when.label is not None and rule.when.confidence < threshold
    ]


def _zones_unused(mission: Mission) -> list[str]:
    used = {rule.when.zone for rule in mission.policy.rules}
    return [f"no rule asks for zone '{name}'" for name in mission.policy.zones if name not in used]


def _braked_otherwise(mission: Mission) -> list[str]:
    """Decelerations outside the microcontroller's range for their action."""
    asked = [
        (f"rule '{rule.name}'", Action[rule.action], rule.deceleration_mps2)
        for rule in mission.policy.rules
    ]
    fallbacks = mission.policy.fallbacks
    asked += [
        ("policy.fallbacks", action, fallbacks.deceleration_mps2)
        for action in (Action.SLOW_DOWN, Action.COMFORT_STOP)
    ]
    notes = []
    for who, action, given_mps2 in asked:
        braking = LIMITS.action[action]
        low_mps2 = braking.deceleration_min_cmps2 / 100.0
        high_mps2 = braking.deceleration_max_cmps2 / 100.0
        if given_mps2 is None or low_mps2 <= given_mps2 <= high_mps2:
            continue
        if action is Action.NOTIFY:
            notes.append(f"{who} asks for {given_mps2:g} m/s2, but NOTIFY brakes nothing")
            continue
        applied_mps2 = min(max(given_mps2, low_mps2), high_mps2)
        notes.append(
            f"{who} asks for {action.name} with {given_mps2:g} m/s2, but the microcontroller "
            f"allows it {low_mps2:.1f} to {high_mps2:.1f}: {applied_mps2:.1f} is applied"
        )
    return notes


def _capped_lower(mission: Mission) -> list[str]:
    """Speed ceilings above the microcontroller's compiled limit."""
    highest_mps = LIMITS.speed_ceiling_max_cmps / 100.0
    asked = [(f"rule '{rule.name}'", rule.speed_ceiling_mps) for rule in mission.policy.rules]
    asked.append(("policy.fallbacks", mission.policy.fallbacks.speed_ceiling_mps))
    return [
        f"{who} allows {ceiling_mps:g} m/s, but the microcontroller never allows more than "
        f"{highest_mps:.1f}: {highest_mps:.1f} is applied"
        for who, ceiling_mps in asked
        if ceiling_mps is not None and ceiling_mps > highest_mps
    ]


def _acknowledged_too_late(mission: Mission) -> list[str]:
    """A time to acknowledge that a healthy line may need by itself, so that the vehicle is slowed
    and stopped for it: a turn and its acknowledge behind one report, and one update of the
    microcontroller."""
    link = mission.link
    sent = (Heartbeat, SafetyCommand, VehicleState, Status, Acknowledge)
    line_ms = sum(map(wire_bytes, sent)) * BITS_PER_BYTE * 1000.0 / link.baud
    needed_ms = line_ms + UPDATE_MS
    if link.acknowledge_within_ms > needed_ms:
        return []
    return [
        f"link.acknowledge_within_ms = {link.acknowledge_within_ms} is too short: at {link.baud} "
        f"baud a command and its acknowledge take up to {needed_ms:.0f} ms, so commands would "
        "count as late and the vehicle be slowed or stopped"
    ]


def _frames_get_old(mission: Mission) -> list[str]:
    """A loop within its budget whose frames grow too old from one result to the next."""
    fps = mission.camera.fps
    ages = FrameAges.of(mission, fps=fps)
    oldest_ms = 1000.0 / fps + mission.budget.end_to_end_ms
    unknown_ms, slow_ms = ages.unknown_after_ns / 1e6, ages.slow_down_after_ns / 1e6
    if oldest_ms <= unknown_ms:
        return []
    slows = f" and SLOW_DOWN demanded from {slow_ms:.0f} ms on" if oldest_ms > slow_ms else ""
    return [
        f"a frame every {1000.0 / fps:.0f} ms and budget.end_to_end_ms = "
        f"{mission.budget.end_to_end_ms:g} let a frame get {oldest_ms:.0f} ms old, but perception "
        f"is Unknown from {unknown_ms:.0f} ms on{slows}: a loop that needs its whole budget flaps"
    ]
