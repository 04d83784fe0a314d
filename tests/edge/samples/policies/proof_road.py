"""Missions for proofs: examples/roadnet with other rules, few and with short windows."""

from __future__ import annotations

from pathlib import Path

from checkout import ROOT

from edge.contract.mission.loading import load_mission
from edge.contract.mission.schema import Mission
from edge.proof.frames.frame_classes import FrameClasses, scenes_of
from edge.runtime.policy.settings import PolicySettings

PERSON = 'label = "pedestrian", confidence = 0.6, zone = "corridor", height_min = 0.05'
VEHICLE = 'label = "vehicle", confidence = 0.5, height_min = 0.15, time_to_contact_max_s = 2.5'


def rule(
    name: str,
    when: str,
    *,
    k: int = 1,
    of: int = 1,
    action: str = "NOTIFY",
    clear: str = "when_gone",
    ceiling_mps: float | None = None,
    braking_mps2: float | None = None,
    hold_ms: int = 0,
) -> str:
    """One rule as TOML."""
    lines = [
        "[[policy.rules]]",
        f'name = "{name}"',
        'why = "for a test"',
        f"when = {{ {when} }}",
        f"confirm = {{ k = {k}, of = {of} }}",
        f'action = "{action}"',
        f'clear = "{clear}"',
        f"hold_ms = {hold_ms}",
    ]
    if ceiling_mps is not None:
        lines.append(f"speed_ceiling_mps = {ceiling_mps}")
    if braking_mps2 is not None:
        lines.append(f"deceleration_mps2 = {braking_mps2}")
    return "\n".join(lines) + "\n\n"


STOP = rule(
    "person",
    PERSON,
    action="EMERGENCY_STOP",
    clear="standstill",
    braking_mps2=6.0,
    hold_ms=300,
)
SLOW = rule(
    "wet",
    'scene = "wet", confidence = 0.6',
    k=2,
    of=3,
    action="SLOW_DOWN",
    ceiling_mps=6.0,
    braking_mps2=1.8,
)
"""A rule that stops the vehicle, and one that slows it."""


def write_mission(folder: Path, *rules: str) -> Path:
    """A mission file with these rules."""
    text = (ROOT / "examples" / "roadnet" / "mission.toml").read_text()
    before, _, rest = text.partition("[[policy.rules]]")
    path = folder / "mission.toml"
    path.write_text(before + "".join(rules) + rest[rest.index("[policy.fallbacks]") :])
    return path


def mission_with(folder: Path, *rules: str) -> Mission:
    """The same, loaded."""
    return load_mission(write_mission(folder, *rules))


def settings_of(mission: Mission) -> tuple[PolicySettings, FrameClasses]:
    """What explorations take."""
    settings = PolicySettings.of(mission, fps=mission.camera.fps)
    return settings, FrameClasses(settings, scenes_of(mission))
