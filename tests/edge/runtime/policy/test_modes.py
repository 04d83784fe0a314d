"""The table of modes is complete, every mode is reached and left, its diagram is in the docs."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.runtime.policy.modes import TRANSITIONS, Situation, mermaid, next_mode
from firmware_bridge.protocol.messages import Mode


def test_every_mode_knows_every_situation() -> None:
    assert set(TRANSITIONS) == set(Mode)
    for row in TRANSITIONS.values():
        assert set(row) == set(Situation)


@pytest.mark.parametrize("mode", list(Mode))
def test_every_mode_can_be_left(mode: Mode) -> None:
    assert any(target is not mode for target in TRANSITIONS[mode].values())


def test_every_mode_is_reached_from_the_start() -> None:
    reached, edge = {Mode.STARTING}, {Mode.STARTING}
    while edge:
        edge = {to for mode in edge for to in TRANSITIONS[mode].values()} - reached
        reached |= edge
    assert reached == set(Mode)


@pytest.mark.requirement("R-RUN-26")
def test_a_stop_is_left_through_stopped_only() -> None:
    assert set(TRANSITIONS[Mode.SAFE].values()) == {Mode.SAFE, Mode.STOPPED}


@pytest.mark.parametrize("mode", list(Mode))
def test_a_stop_or_the_end_is_never_normal(mode: Mode) -> None:
    for found in (Situation.STOPPING, Situation.STANDING, Situation.ENDED, Situation.WAITING):
        assert next_mode(mode, found) not in (Mode.NORMAL, Mode.DEGRADED)


def test_the_documented_diagram_is_the_table(root: Path) -> None:
    text = (root / "docs" / "runtime.md").read_text(encoding="utf-8")
    assert mermaid() in text, (
        "docs/runtime.md shows another table; put this between ```mermaid and ```:\n" + mermaid()
    )
