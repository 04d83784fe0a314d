"""Counter-examples as stories: the shortest one is found, written, read, played and told."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from policies.proof_road import PERSON, SLOW, STOP, mission_with, rule, settings_of

from edge.contract.mission.sections.policy import Confirm
from edge.proof.frames.frame_class import FrameName
from edge.proof.stories.search import shortest_story
from edge.proof.stories.state_json import state_from_json, state_to_json
from edge.proof.stories.story import Shown, Story, StoryTurn, play, story_from_json, story_of
from edge.proof.stories.story_text import WORDS, played
from edge.proof.turns.checker import (
    MS,
    NOW_NS,
    QUIET,
    Broken,
    Checker,
    judged_by,
    of_one_rule,
)
from edge.proof.turns.fault_turns import FaultTurns
from edge.proof.turns.recovery import worst
from edge.proof.turns.rule_turns import RuleTurns
from edge.runtime.policy import policy
from edge.runtime.policy.facts import Facts
from edge.runtime.policy.fault_counter import FaultCounter
from edge.runtime.policy.policy import initial
from edge.runtime.policy.rule_state import RuleState
from firmware_bridge.errors import UsageError
from firmware_bridge.protocol.messages import Action

LONG = rule(
    "person", PERSON, k=3, of=5, action="EMERGENCY_STOP", clear="standstill", braking_mps2=6.0
)


def _fires_late(monkeypatch: pytest.MonkeyPatch) -> None:
    real = RuleState.after_frame

    def after_frame(self: RuleState, one: Any, **given: Any) -> RuleState:
        later = one.model_copy(update={"confirm": Confirm(k=one.confirm.k + 1, of=one.confirm.of)})
        return real(self, later if one.confirm.k < one.confirm.of else one, **given)

    monkeypatch.setattr(RuleState, "after_frame", after_frame)


def _counts_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        FaultCounter,
        "after",
        lambda self, *, bad: replace(self, level=self.level + 0.5) if bad else self,
    )


def _forgets_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "held_stop", lambda *_, **__: None)


SHORTEST: dict[str, tuple[str, str, Callable[[pytest.MonkeyPatch], None], int]] = {
    "a rule that fires late": (LONG, "rules act", _fires_late, 3),
    "a counter that counts slowly": (STOP, "counts", _counts_slowly, 1),
    "a stop that is not held": (STOP, "holds stops", _forgets_stops, 1),
}


@pytest.mark.parametrize("fault", SHORTEST)
def test_the_story_has_as_few_turns_as_can_show_it(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, law, spoil, turns = SHORTEST[fault]
    settings, classes = settings_of(mission_with(tmp_path, text, SLOW))
    spoil(monkeypatch)
    checker = Checker()
    RuleTurns(settings, classes, 0).explore(checker)
    FaultTurns(settings, classes).explore(checker)
    # A window of two frames does not show a rule that fires with the fourth match of three.
    broken = checker.broken.get(law) or _any_broken(settings)
    story = shortest_story(settings, classes, law, broken, most_turns=20_000)
    assert story is not None
    assert story.start is None
    assert len(story.turns) == turns
    assert law in played(story, settings, classes).broken


def _any_broken(settings: Any) -> Broken:
    checker = Checker()
    turn = checker.take(settings, replace(QUIET, standstill=False), initial(settings))
    return Broken(turn, None, "")


def test_a_search_that_finds_nothing_ends(tmp_path: Path) -> None:
    settings, classes = settings_of(mission_with(tmp_path, STOP))
    broken = _any_broken(settings)
    assert shortest_story(settings, classes, "holds stops", broken, most_turns=500) is None


def test_a_story_reads_back_and_plays_from_its_state(tmp_path: Path) -> None:
    settings, classes = settings_of(mission_with(tmp_path, STOP, SLOW))
    shown = classes.together(classes.of["person"].least[0], classes.of["wet"].unclear)
    checker = Checker()
    facts = replace(
        QUIET,
        frame=shown.at(NOW_NS - 5 * MS),
        standstill=None,
        effective_action=Action.SLOW_DOWN,
        late_share=0.5,
        unacknowledged_in_a_row=7,
    )
    turn = checker.take(settings, facts, worst(settings), shown=shown)
    story = story_of(Broken(turn, shown, "wrong"), "numbers", settings.policy)
    assert story.only is None
    again = story_from_json(json.loads(json.dumps(story.to_json())))
    assert again == story
    (same,) = play(again, settings, classes, checker)
    assert same.facts == replace(facts, frame=shown.at(NOW_NS - 5 * MS))
    assert same.before == turn.before
    assert same.decision == turn.decision
    assert played(again, settings, classes).broken == {}


def test_a_turn_of_some_rules_alone_is_played_with_them_alone(tmp_path: Path) -> None:
    settings, classes = settings_of(mission_with(tmp_path, SLOW, STOP))
    alone = of_one_rule(settings, 1, confirm=Confirm(k=1, of=2))
    shown = judged_by(classes.of["person"].least[0], 1)
    checker = Checker()
    facts = replace(QUIET, frame=shown.at(NOW_NS))
    turn = checker.take(alone, facts, initial(alone), shown=shown)
    story = story_of(Broken(turn, shown, ""), "numbers", settings.policy)
    assert story.only == (("person", Confirm(k=1, of=2)),)
    (same,) = play(story_from_json(story.to_json()), settings, classes, checker)
    assert same.decision == turn.decision
    assert checker.broken == {}


def test_a_state_survives_json(tmp_path: Path) -> None:
    settings, _ = settings_of(mission_with(tmp_path, STOP, SLOW))
    for state in (initial(settings), worst(settings)):
        text = json.dumps(state_to_json(state, NOW_NS))
        assert state_from_json(json.loads(text), initial(settings), NOW_NS) == state


def test_equal_turns_stand_in_one_row_and_every_fact_has_words(tmp_path: Path) -> None:
    settings, classes = settings_of(mission_with(tmp_path, STOP))
    clear = Shown((FrameName("clear"),), 0, known=True)
    match = Shown((FrameName("match", "person"),), 10 * MS, known=True)
    turns = [
        *[StoryTurn(40 * MS, clear, ())] * 3,
        StoryTurn(40 * MS, match, (("standstill", False),)),
        StoryTurn(20 * MS, None, (("camera_gone", True), ("link_up", False))),
        StoryTurn(20 * MS, replace(clear, known=False), (("unacknowledged_in_a_row", 12),)),
        StoryTurn(20 * MS, replace(clear, age_ns=-MS), (("late_share", 0.5),)),
    ]
    shown = played(Story("never fails", "", tuple(turns)), settings, classes)
    assert shown.broken == {}
    assert [(row.first, row.last) for row in shown.rows] == [(1, 3), (4, 4), (5, 5), (6, 6), (7, 7)]
    assert [row.what for row in shown.rows] == [
        "clear road; the vehicle stands",
        "'person' matches, 10 ms old; the vehicle moves",
        "no frame; the camera is gone; the link is down; the vehicle stands",
        "a frame that is not perceived; 12 commands in a row are late; the vehicle stands",
        "clear road, captured 1 ms ahead; 50% of the results are late; the vehicle stands",
    ]
    assert shown.rows[0].decision == "NONE, release"
    assert shown.rows[1].decision == "EMERGENCY_STOP (person)"
    assert WORDS.keys() == {field.name for field in fields(Facts)} - {"frame"}


@pytest.mark.parametrize(
    ("story", "words"),
    [
        (Story("x", "", (), only=(("nobody", Confirm(k=1, of=1)),)), "a rule named 'nobody'"),
        (
            Story("x", "", (StoryTurn(0, Shown((FrameName("match", "gone"),), 0, True), ()),)),
            "a frame in which 'gone' matches",
        ),
    ],
)
def test_a_story_of_another_mission_is_refused(tmp_path: Path, story: Story, words: str) -> None:
    settings, classes = settings_of(mission_with(tmp_path, STOP))
    with pytest.raises(UsageError, match="does not fit") as refused:
        list(play(story, settings, classes, Checker()))
    assert refused.value.expected == words


def test_facts_that_do_not_exist_are_refused() -> None:
    document = {"law": "x", "text": "", "only": None, "start": None}
    turn = {"after_ns": 0, "frame": None, "facts": {"weather": "fine"}}
    with pytest.raises(UsageError, match="cannot be read") as refused:
        story_from_json(document | {"turns": [turn]})
    assert "weather" in refused.value.found
