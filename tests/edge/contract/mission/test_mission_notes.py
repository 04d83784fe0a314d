"""Notes of `mission check` on numbers that are valid but may not do what their author expects."""

from __future__ import annotations

from pathlib import Path

import pytest
from checkout import ROOT

from edge.contract.mission.loading import MissionInvalid, load_mission
from edge.contract.mission.notes import notes_of
from edge.contract.mission.template import mission_template

TEMPLATE = mission_template()


@pytest.fixture
def mission(tmp_path: Path) -> Path:
    path = tmp_path / "mission.toml"
    path.write_text(TEMPLATE, encoding="utf-8")
    return path


def about(path: Path, *sets: str) -> list[str]:
    return notes_of(load_mission(path, list(sets)))


@pytest.mark.parametrize(
    ("fps", "end_to_end_ms", "key"),
    [
        ("1.0", "100", "camera.fps"),
        ("1.9", "100", "camera.fps"),
        ("2.0", "100", "camera.fps"),
        ("2.5", "600", "budget.end_to_end_ms"),
        ("25.0", "960", "budget.end_to_end_ms"),
    ],
)
def test_frames_that_nobody_would_ever_vouch_for_are_refused_with_the_numbers(
    fps: str, end_to_end_ms: str, key: str, mission: Path
) -> None:
    with pytest.raises(MissionInvalid) as refused:
        load_mission(mission, [f"camera.fps={fps}", f"budget.end_to_end_ms={end_to_end_ms}"])
    said = dict(refused.value.mistakes)[key]
    assert ("500 ms" in said) if key == "camera.fps" else ("1000 ms" in said)


@pytest.mark.parametrize(
    ("sets", "parts"),
    [
        (("camera.fps=2.5",), None),
        (("camera.fps=2.5", "budget.end_to_end_ms=110"), ("510 ms old", "from 500 ms on:")),
        (("budget.end_to_end_ms=161",), ("201 ms old", "SLOW_DOWN demanded from 200 ms")),
        (("camera.fps=10.0", "budget.end_to_end_ms=450"), ("550 ms old", "from 500 ms")),
    ],
)
def test_a_budget_that_makes_a_healthy_loop_flap_is_noted(
    sets: tuple[str, ...], parts: tuple[str, ...] | None, mission: Path
) -> None:
    notes = [note for note in about(mission, *sets) if "ms old" in note]
    assert len(notes) == (parts is not None)
    assert all(part in notes[0] for part in parts or ())


@pytest.mark.parametrize(
    ("action", "given", "applied"),
    [
        ("CAP_SPEED", "2.5", "2.0"),
        ("CAP_SPEED", "0.2", "0.3"),
        ("SLOW_DOWN", "2.1", "2.0"),
        ("COMFORT_STOP", "0.4", "0.5"),
        ("COMFORT_STOP", "6.0", "2.0"),
        ("EMERGENCY_STOP", "4.9", "5.0"),
        ("EMERGENCY_STOP", "9.0", "8.0"),
    ],
)
def test_a_deceleration_that_would_be_clipped_is_noted(
    action: str, given: str, applied: str, mission: Path
) -> None:
    text = TEMPLATE.replace('action = "EMERGENCY_STOP"', f'action = "{action}"', 1)
    ceiling = "\nspeed_ceiling_mps = 5.0" if action in ("CAP_SPEED", "SLOW_DOWN") else ""
    text = text.replace("deceleration_mps2 = 6.0", f"deceleration_mps2 = {given}{ceiling}", 1)
    if ceiling:
        text = text.replace('clear = "standstill"', 'clear = "when_gone"', 1)
    mission.write_text(text, encoding="utf-8")
    (note,) = about(mission)
    assert f"'pedestrian in the corridor' asks for {action} with {float(given):g} m/s2" in note
    assert f"{applied} is applied" in note


def test_a_fallback_that_would_be_clipped_is_noted_for_each_of_its_actions(mission: Path) -> None:
    notes = about(mission, "policy.fallbacks.deceleration_mps2=3.0")
    assert ["SLOW_DOWN" in note for note in notes] == [True, False]
    assert ["COMFORT_STOP" in note for note in notes] == [False, True]
    assert all("policy.fallbacks" in note and "2.0 is applied" in note for note in notes)


def test_the_ends_of_the_range_are_applied_as_written(mission: Path) -> None:
    assert about(mission, "policy.fallbacks.deceleration_mps2=2.0") == []
    assert about(mission, "policy.fallbacks.deceleration_mps2=0.5") == []


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("examples/*/mission.toml")), ids=lambda path: path.parent.name
)
def test_examples_ask_for_what_is_applied(path: Path) -> None:
    assert not [note for note in about(path) if "is applied" in note or "ms old" in note]


def test_a_ceiling_that_would_be_clipped_is_noted(mission: Path) -> None:
    assert about(mission, "policy.fallbacks.speed_ceiling_mps=60.0") == []
    (note,) = about(mission, "policy.fallbacks.speed_ceiling_mps=65.0")
    assert "policy.fallbacks allows 65 m/s" in note
    assert "60.0 is applied" in note
    text = TEMPLATE.replace("speed_ceiling_mps = 10.0", "speed_ceiling_mps = 61.0", 1)
    mission.write_text(text, encoding="utf-8")
    (note,) = about(mission)
    assert "'vehicle close ahead' allows 61 m/s" in note


@pytest.mark.parametrize(
    ("within_ms", "baud", "noted"),
    # 83 bytes on the wire and 10 ms of the microcontroller: 17.2 and 31.6 ms.
    [(10, 115200, True), (17, 115200, True), (18, 115200, False), (31, 38400, True)],
)
def test_a_time_to_acknowledge_that_the_line_itself_needs_is_noted(
    within_ms: int, baud: int, noted: bool, mission: Path
) -> None:
    sets = [f"link.acknowledge_within_ms={within_ms}", f"link.baud={baud}"]
    if baud < 100_000:
        sets += ["link.rate_hz=40.0"]
    notes = about(mission, *sets)
    assert len(notes) == noted
    assert all(f"at {baud} baud" in note for note in notes)
