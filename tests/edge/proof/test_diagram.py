"""The pictures of a policy: nothing is missing in them, and those in the documents are fresh."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from policies.proof_road import PERSON, STOP, mission_with, rule, write_mission

from edge.contract.mission.loading import load_mission
from edge.contract.mission.schema import Mission
from edge.proof.diagram.mermaid import mermaid, mermaid_policy
from edge.proof.diagram.mode_picture import _PLACES
from edge.proof.diagram.svg import svg
from edge.proof.laws.faults import FAULTS
from edge.proof.properties import PROPERTIES
from edge.runtime.policy.modes import TRANSITIONS
from edge.runtime.policy.settings import PolicySettings
from firmware_bridge.protocol.messages import Action, Mode


@pytest.fixture
def roadnet(root: Path) -> Mission:
    return load_mission(root / "examples" / "roadnet" / "mission.toml")


def test_the_picture_in_the_documents_is_fresh(root: Path, roadnet: Mission) -> None:
    command = "brakepoint policy diagram examples/roadnet/mission.toml --svg docs/images/policy.svg"
    drawn = (root / "docs" / "images" / "policy.svg").read_text()
    assert drawn == svg(roadnet), f"write it again: {command}"


def test_the_tables_in_the_documents_are_fresh(root: Path, roadnet: Mission) -> None:
    page = (root / "docs" / "policy.md").read_text()
    settings = PolicySettings.of(roadnet, fps=roadnet.camera.fps)
    for one in PROPERTIES.values():
        assert f"| {one.name} | {one.sentence} | {', '.join(one.requirements)} |" in page
    for fault in FAULTS.values():
        assert f"| {fault.name} | {fault.action.name} | {fault.deadline(settings)} |" in page
    failures = (root / "docs" / "runtime.md").read_text()
    for fault in FAULTS.values():
        assert fault.reason.name
        assert fault.action.name in failures


def test_the_picture_shows_every_rule_fault_action_and_mode(roadnet: Mission) -> None:
    drawn = ElementTree.fromstring(svg(roadnet))
    words = {element.text for element in drawn.iter() if element.tag.endswith("text")}
    names = {rule.name for rule in roadnet.policy.rules} | FAULTS.keys()
    names |= {action.name for action in Action} | {mode.name for mode in Mode}
    assert names <= words
    assert _PLACES.keys() == set(Mode)
    changes = {
        (mode, to) for mode, row in TRANSITIONS.items() for to in row.values() if to is not mode
    }
    shafts = [one for one in drawn.iter() if one.get("class") == "way soft"]
    assert len(shafts) == len(changes)


def test_names_are_text_in_both_pictures(tmp_path: Path) -> None:
    odd = rule("a <b> & #c", PERSON)
    mission = mission_with(tmp_path, odd.replace("a <b>", 'a \\"q\\" <b>'))
    drawn = ElementTree.fromstring(svg(mission))
    assert 'a "q" <b> & #c' in {element.text for element in drawn.iter()}
    assert "a #quot;q#quot; #lt;b#gt; & #35;c" in mermaid_policy(mission)


def test_mermaid_names_every_rule_and_fault_with_its_action(tmp_path: Path) -> None:
    text = mermaid(mission_with(tmp_path, STOP))
    assert text.count("```mermaid\n") == 2
    assert 'rule1["person<br/>' in text
    assert 'rule1 -->|"6 m/s2"| EMERGENCY_STOP' in text
    for fault in FAULTS.values():
        assert re.search(rf'fault\d+\["{fault.name}<br/>', text)
    assert "STARTING --> NORMAL: healthy" in text


def test_the_verb_prints_text_and_writes_a_picture(
    tmp_path: Path, brakepoint: Callable[..., tuple[int, str, str]]
) -> None:
    path, picture = write_mission(tmp_path, STOP), tmp_path / "policy.svg"
    code, out, _ = brakepoint("policy", "diagram", path)
    assert code == 0
    assert out.startswith("```mermaid\nflowchart LR\n")
    code, out, err = brakepoint("policy", "diagram", path, "--svg", picture)
    assert (code, out) == (0, "")
    assert f"wrote {picture}" in err
    ElementTree.fromstring(picture.read_text())
