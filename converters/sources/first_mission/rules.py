"""Writes the `[[policy.rules]]` of a first mission for a network's labels, and values as TOML.

Takes the guessed decoder and the labels; returns TOML text. Without a label known as a person or a
vehicle the only rule notifies and does not brake: an action on the vehicle is not guessed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from converters.sources.first_mission.decoder_guess import DecoderGuess

PERSONS = ("pedestrian", "person", "people", "human")
VEHICLES = ("vehicle", "car", "truck", "bus")


def rules_for(reading: DecoderGuess, names: list[str]) -> str:
    """The `[[policy.rules]]` of a first mission for these labels, as text."""
    if reading.kind == "classify":
        return _rule("the first label", f"{{ scene = {toml_text(names[0])}, confidence = 0.6 }}")
    if reading.kind == "segment":
        area = (
            f'label = {toml_text(names[0])}, confidence = 0.6, zone = "corridor", share_min = 0.05'
        )
        return _rule("the first label in the corridor", f"{{ {area} }}")
    person = next((name for name in names if name.lower() in PERSONS), None)
    vehicle = next((name for name in names if name.lower() in VEHICLES), None)
    rules = []
    if person is not None:
        seen = (
            f'label = {toml_text(person)}, confidence = 0.6, zone = "corridor", height_min = 0.05'
        )
        rules.append(
            _rule(
                "person in the corridor",
                f"{{ {seen} }}",
                why="a person in the path of the vehicle cannot be passed",
                action='"EMERGENCY_STOP"     # NOTIFY < CAP_SPEED < SLOW_DOWN < COMFORT_STOP < '
                "EMERGENCY_STOP\ndeceleration_mps2 = 6.0",
                clear="standstill",
            )
        )
    if vehicle is not None:
        seen = (
            f'label = {toml_text(vehicle)}, confidence = 0.5, zone = "corridor", height_min = 0.15'
        )
        rules.append(
            _rule(
                "vehicle close ahead",
                f"{{ {seen} }}",
                why="keep room to the vehicle in front",
                action='"CAP_SPEED"\nspeed_ceiling_mps = 10.0\ndeceleration_mps2 = 1.5',
            )
        )
    if not rules:
        seen = f'label = {toml_text(names[0])}, confidence = 0.6, zone = "corridor"'
        rules.append(_rule("the first label in the corridor", f"{{ {seen} }}"))
    return "".join(rules)


def _rule(
    name: str,
    when: str,
    *,
    why: str = "to be decided: this rule tells and does nothing yet",
    action: str = '"NOTIFY"             # NOTIFY < CAP_SPEED < SLOW_DOWN < COMFORT_STOP < '
    "EMERGENCY_STOP",
    clear: str = "when_gone",
) -> str:
    return (
        f"[[policy.rules]]\nname = {toml_text(name)}\nwhy = {toml_text(why)}\nwhen = {when}\n"
        "confirm = { k = 3, of = 5 }   # of the last 5 perceived frames, 3 matched\n"
        f'action = {action}\nclear = "{clear}"\n'
        "hold_ms = 1000                # active at least so long after the last match\n\n"
    )


def toml_list(names: Sequence[str]) -> str:
    """A TOML array, one line where it is short."""
    shown = [toml_text(name) for name in names]
    line = f"[{', '.join(shown)}]"
    if len(line) <= 90:
        return line
    return "[\n" + "".join(f"    {name},\n" for name in shown) + "]"


def toml_text(value: str) -> str:
    """A TOML string: JSON's escapes are TOML's."""
    return json.dumps(value)
