"""The table of the link's states is complete and means what it says."""

from __future__ import annotations

import pytest

from firmware_bridge.link.states import TRANSITIONS, LinkInput, LinkState, next_state


@pytest.mark.parametrize("state", LinkState)
@pytest.mark.parametrize("happened", LinkInput)
def test_every_input_has_an_answer_in_every_state(state: LinkState, happened: LinkInput) -> None:
    assert next_state(state, happened) in LinkState


def test_every_state_can_be_reached_and_left() -> None:
    for state in LinkState:
        assert set(TRANSITIONS[state].values()) - {state}
        assert any(state in TRANSITIONS[other].values() for other in LinkState if other != state)


@pytest.mark.parametrize("state", LinkState)
def test_a_lost_port_is_disconnected_and_an_opened_one_greets(state: LinkState) -> None:
    assert next_state(state, LinkInput.LOST) is LinkState.DISCONNECTED
    assert next_state(state, LinkInput.CLOSED) is LinkState.DISCONNECTED
    assert next_state(state, LinkInput.OPENED) is LinkState.GREETING


def test_nothing_but_agreement_establishes() -> None:
    for state in LinkState:
        for happened in set(LinkInput) - {LinkInput.AGREED}:
            assert next_state(state, happened) is not LinkState.ESTABLISHED


def test_a_disagreement_is_refused_until_somebody_greets_again() -> None:
    assert next_state(LinkState.GREETING, LinkInput.DISAGREED) is LinkState.REFUSED
    assert next_state(LinkState.ESTABLISHED, LinkInput.DISAGREED) is LinkState.REFUSED
    for happened in (LinkInput.SILENT, LinkInput.DEAF, LinkInput.FORGOTTEN):
        assert next_state(LinkState.REFUSED, happened) is LinkState.REFUSED
    assert next_state(LinkState.REFUSED, LinkInput.REBOOTED) is LinkState.GREETING
