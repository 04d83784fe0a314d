"""The policy against a second implementation of docs/runtime.md, on random stories.

The whole command is compared: action, ceiling, braking, release. A worse input (one more match,
fault, doubt, gap or missing acknowledge) never makes any part of it milder.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policies.policy_model import MS, StrictModel
from policies.policy_road import MOVING, SETTINGS

from edge.contract.mission.checks.policy_checks import STOPS
from edge.contract.mission.sections.policy import Confirm, Policy
from edge.runtime.policy.facts import Decision, Facts, FrameFacts
from edge.runtime.policy.policy import decide, initial
from edge.runtime.policy.settings import PolicySettings
from edge.runtime.tracking.track import Track
from firmware_bridge.protocol.messages import Action, Perception, SafetyCommand

LABELS = ("first", "second", "third")


def track(label: int) -> Track:
    return Track(1, (40.0, 60.0, 50.0, 90.0), 0.9, label, 0, 1, 0, 0, 0, math.inf, "boxes")


@st.composite
def rules(draw: st.DrawFn) -> dict[str, Any]:
    action = draw(st.sampled_from([a.name for a in Action if a is not Action.NONE]))
    of = draw(st.integers(1, 4))
    clears = ["standstill", "operator", "never", "standstill"]
    if Action[action] not in STOPS:
        clears += ["when_gone"] * 4
    return {
        "why": "drawn",
        "confirm": {"k": draw(st.integers(1, of)), "of": of},
        "action": action,
        "speed_ceiling_mps": draw(st.sampled_from([3.0, 8.0]))
        if action in ("CAP_SPEED", "SLOW_DOWN")
        else None,
        "deceleration_mps2": draw(st.sampled_from([0.4, 0.7, 1.2, 1.9, 4.0, 7.0])),
        "clear": draw(st.sampled_from(clears)),
        "hold_ms": draw(st.sampled_from([0, 0, 90, 200])),
    }


@st.composite
def missions(draw: st.DrawFn) -> PolicySettings:
    drawn = draw(st.lists(rules(), min_size=1, max_size=3))
    named = [
        {"name": label, "when": {"label": label, "confidence": 0.5}} | rule
        for label, rule in zip(LABELS, drawn, strict=False)
    ]
    fallbacks = {
        "speed_ceiling_mps": draw(st.sampled_from([2.0, 5.0])),
        "deceleration_mps2": draw(st.sampled_from([0.6, 1.0, 1.8])),
    }
    policy = Policy.model_validate({"rules": named, "fallbacks": fallbacks})
    return replace(SETTINGS, labels=LABELS, policy=policy)


@dataclass(frozen=True)
class Step:
    """One turn: `after_ms` later; `seen` None: without a frame; else the labels in it."""

    after_ms: float
    seen: frozenset[int] | None = None
    known: bool = True
    doubt: bool = False
    capture_ms: float = 0.0
    facts: tuple[tuple[str, Any], ...] = ()

    def turn(self, now_ns: int) -> tuple[Facts, list[bool | None]]:
        """Its facts, and whether each rule matches: with doubt an absent label is not told."""
        facts = replace(MOVING, **dict(self.facts))
        if self.seen is None:
            return facts, []
        tracks = tuple(track(label) for label in sorted(self.seen)) if self.known else ()
        captured_ns = now_ns - round(self.capture_ms * MS)
        seen = FrameFacts(captured_ns, self.known, tracks, (100, 100), left_out=int(self.doubt))
        absent = None if self.doubt else False
        matches = [True if label in self.seen else absent for label in range(len(LABELS))]
        return replace(facts, frame=seen), matches


FACTS = st.fixed_dictionaries(
    {},
    optional={
        "camera_gone": st.sampled_from([False, False, False, True]),
        "inference_hung": st.sampled_from([False, False, False, True]),
        "late_share": st.sampled_from([None, 0.1, 0.9]),
        "unacknowledged_in_a_row": st.sampled_from([0, 0, 4, 6, 11, 40]),
        "commands_often_late": st.booleans(),
        "operator_request": st.booleans(),
        "standstill": st.sampled_from([None, False]),
    },
)
"""What may go wrong in a turn; most of the time the vehicle stands and nothing does."""

STEPS = st.builds(
    lambda facts, **given: Step(
        facts=tuple(({"standstill": True} | facts).items()),
        **given,
    ),
    after_ms=st.sampled_from([40, 40, 40, 40, 20, 90, 0.3, 250, 450]),
    seen=st.sampled_from([frozenset(), frozenset(), frozenset(), {0}, {0}, {1}, {0, 1, 2}, None]),
    known=st.sampled_from([True] * 7 + [False]),
    doubt=st.sampled_from([False] * 6 + [True]),
    capture_ms=st.sampled_from([0, 0, 0, 0, 10, 60, -1]),
    facts=st.one_of(st.just({}), st.just({}), FACTS),
)
STORIES = st.lists(STEPS, min_size=1, max_size=30)


def play(mission: PolicySettings, story: list[Step]) -> list[Decision]:
    state, now_ns, decisions = initial(mission), 0, []
    for step in story:
        now_ns += round(step.after_ms * MS)
        facts, _ = step.turn(now_ns)
        state, decision = decide(mission, facts, state, now_ns)
        decisions.append(decision)
    return decisions


@pytest.mark.requirement("R-RUN-17", "R-RUN-18", "R-RUN-19", "R-RUN-21")
@settings(max_examples=300, deadline=None)
@given(missions(), STORIES)
def test_every_command_is_what_the_requirements_say(
    mission: PolicySettings, story: list[Step]
) -> None:
    model, now_ns = StrictModel(mission), 0
    for step, decision in zip(story, play(mission, story), strict=True):
        now_ns += round(step.after_ms * MS)
        facts, matches = step.turn(now_ns)
        expected = model.turn(now_ns, facts, matches[: len(mission.policy.rules)])
        command = decision.command
        assert command.action is expected.action
        assert command.release is expected.release
        assert command.speed_ceiling_mps == pytest.approx(expected.speed_ceiling_mps)
        assert command.deceleration_limit_mps2 == pytest.approx(expected.deceleration_mps2)
        assert (decision.perception is Perception.KNOWN) is expected.known


def milder(command: SafetyCommand, than: SafetyCommand) -> list[str]:
    """In what a command asks for less than another."""
    less = {
        "action": command.action < than.action,
        "ceiling": command.speed_ceiling_mps > than.speed_ceiling_mps,
        "braking": command.deceleration_limit_mps2 < than.deceleration_limit_mps2,
        "release": command.release and not than.release,
    }
    return [name for name, is_less in less.items() if is_less]


def _one_more_match(step: Step) -> Step:
    return replace(step, seen=step.seen if step.seen is None else step.seen | {0})


def _one_more_fact(name: str, value: Any) -> Any:
    return lambda step: replace(step, facts=(*step.facts, (name, value)))


WORSE: dict[str, Any] = {
    "a match": _one_more_match,
    "a doubt": lambda step: replace(step, doubt=True),
    "an unknown frame": lambda step: replace(step, known=step.known and step.seen is None),
    "a lost camera": _one_more_fact("camera_gone", True),
    "a hung network": _one_more_fact("inference_hung", True),
    "the end": _one_more_fact("ending", True),
    "late results": _one_more_fact("late_share", 0.9),
    "missing acknowledges": _one_more_fact("unacknowledged_in_a_row", 40),
    "acknowledges that are late": _one_more_fact("commands_often_late", True),
    "a vehicle that moves": _one_more_fact("standstill", False),
    "an unknown standstill": _one_more_fact("standstill", None),
    "no operator": _one_more_fact("operator_request", False),
}
"""What can only be worse for whoever is on the road, and so must never make a command milder."""


@pytest.mark.requirement("R-RUN-20")
@settings(max_examples=300, deadline=None)
@given(missions(), STORIES, st.sampled_from(sorted(WORSE)), st.data())
def test_what_is_worse_never_makes_any_later_command_milder(
    mission: PolicySettings, story: list[Step], name: str, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(story) - 1))
    worse = [*story[:at], WORSE[name](story[at]), *story[at + 1 :]]
    base = play(mission, story)
    if name == "an unknown frame":
        if story[at].seen:
            return  # what the frame shows is lost with it, so a rule may rightly not fire
        if not base[at].waiting and (at == 0 or base[at - 1].waiting):
            return  # the first that is perceived: a stop holds until the next one
    for one, other in zip(play(mission, worse), base, strict=True):
        assert milder(one.command, other.command) == [], name


@pytest.mark.requirement("R-RUN-20")
def test_perception_grows_old_only_from_the_first_perceived_frame_and_a_stop_holds_until_it() -> (
    None
):
    rule = SETTINGS.policy.rules[0].model_copy(update={"confirm": Confirm(k=1, of=1)})
    policy = SETTINGS.policy.model_copy(update={"rules": (rule,)})
    clear = Step(40, frozenset(), facts=(("standstill", True),))
    wait = Step(5000, facts=(("standstill", True),))
    lost = replace(clear, known=False)
    *before, after = play(replace(SETTINGS, policy=policy), [lost, wait, lost, wait, clear])
    assert [one.command.action for one in before] == [Action.COMFORT_STOP] * 4
    assert not any(one.command.release for one in before)
    assert after.command.action is Action.NONE
    *_, after = play(replace(SETTINGS, policy=policy), [clear, wait, lost, wait, clear])
    assert after.command.action is Action.SLOW_DOWN


@settings(max_examples=100, deadline=None)
@given(missions(), st.integers(0, 900), st.integers(0, 900))
def test_an_older_frame_never_makes_the_command_milder(
    mission: PolicySettings, one_ms: int, other_ms: int
) -> None:
    looked = [Step(40, frozenset(), facts=(("standstill", True),))] * 4
    waits = [Step(ms, facts=(("standstill", True),)) for ms in sorted((one_ms, other_ms))]
    younger, older = (play(mission, [*looked, wait])[-1] for wait in waits)
    assert milder(older.command, younger.command) == []
    assert older.perception <= younger.perception
