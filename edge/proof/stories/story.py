"""A counter-example as a story: turns one after the other, as a file, and played again.

In: the turns of a broken law. Out: `Story`, which becomes JSON and text, and can be played on the
same mission or on a changed one. A story names what frames show
(edge/proof/frames/frame_classes.py), so it is played with the real frames of the mission that it is
played on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from edge.contract.mission.sections.policy import Confirm, Policy
from edge.proof.frames.frame_class import FrameClass, FrameName
from edge.proof.frames.frame_classes import FrameClasses
from edge.proof.laws.turn import Turn
from edge.proof.stories.state_json import state_from_json, state_to_json
from edge.proof.turns.checker import QUIET, Broken, Checker
from edge.runtime.policy.facts import Facts
from edge.runtime.policy.policy import PolicyState, initial
from edge.runtime.policy.settings import PolicySettings
from firmware_bridge.errors import UsageError
from firmware_bridge.protocol.messages import Action

SCHEMA = "brakepoint.policy-story/1"


Alone = tuple[str, Confirm]
"""The name of a rule, and the confirm window that it had when it was explored."""


@dataclass(frozen=True)
class Shown:
    """A turn's new frame: what it shows, how old it is, and whether it was perceived."""

    names: tuple[FrameName, ...]
    age_ns: int
    known: bool


@dataclass(frozen=True)
class StoryTurn:
    """One turn: how long after the one before, its frame, and the facts that are not `QUIET`'s."""

    after_ns: int
    shown: Shown | None
    facts: tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Story:
    """A counter-example.

    Attributes:
        law: that its last turn breaks.
        text: what is wrong there.
        turns: from the start of the run, or from `start`.
        start: the state before the first turn, as `state_json` writes it; None: the run's start.
        only: the rules that were explored alone, with their confirm windows; None: the whole
            policy.
    """

    law: str
    text: str
    turns: tuple[StoryTurn, ...]
    start: Mapping[str, Any] | None = None
    only: tuple[Alone, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """As in the file, without its schema."""
        only = None
        if self.only is not None:
            only = [{"rule": name, "k": one.k, "of": one.of} for name, one in self.only]
        return {
            "law": self.law,
            "text": self.text,
            "only": only,
            "start": None if self.start is None else dict(self.start),
            "turns": [_turn_to_json(turn) for turn in self.turns],
        }


def story_from_json(document: Mapping[str, Any]) -> Story:
    """The story of a file.

    Raises:
        UsageError: it is no such file.
    """
    try:
        only = document["only"]
        return Story(
            law=str(document["law"]),
            text=str(document["text"]),
            turns=tuple(_turn_from_json(turn) for turn in document["turns"]),
            start=document["start"],
            only=None if only is None else tuple(_alone_from_json(one) for one in only),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(
            "the story cannot be read",
            expected="a file that `brakepoint policy check --save` wrote",
            found=f"{type(error).__name__}: {error}",
            remedy="write it again: brakepoint policy check MISSION --save FILE",
        ) from error


def story_of(broken: Broken, law: str, policy: Policy) -> Story:
    """The one turn that breaks a law, from the state before it; `policy`: the mission's."""
    turn = broken.turn
    rules = turn.settings.policy.rules
    only = None
    if rules != policy.rules:
        only = tuple((rule.name, rule.confirm) for rule in rules)
    shown = None
    if turn.facts.frame is not None and broken.shown is not None:
        frame = turn.facts.frame
        shown = Shown(broken.shown.names, turn.now_ns - frame.captured_ns, frame.known)
    one = StoryTurn(0, shown, changed_facts(turn.facts))
    return Story(law, broken.text, (one,), state_to_json(turn.before, turn.now_ns), only)


def changed_facts(facts: Facts) -> tuple[tuple[str, Any], ...]:
    """The facts that differ from `QUIET`, without the frame."""
    return tuple(
        (field.name, getattr(facts, field.name))
        for field in fields(Facts)
        if field.name != "frame" and getattr(facts, field.name) != getattr(QUIET, field.name)
    )


def play(
    story: Story, settings: PolicySettings, classes: FrameClasses, checker: Checker
) -> Iterator[Turn]:
    """Takes the story's turns by the real `decide`; the checker tells which laws they break.

    Raises:
        UsageError: the mission has no such rule or frame.
    """
    places = None
    if story.only is not None:
        every = settings.policy.rules
        places = [_rule_number(settings, name) for name, _ in story.only]
        rules = tuple(
            every[at].model_copy(update={"confirm": confirm})
            for at, (_, confirm) in zip(places, story.only, strict=True)
        )
        settings = replace(settings, policy=settings.policy.model_copy(update={"rules": rules}))
    now_ns = 10**15
    state: PolicyState = initial(settings)
    if story.start is not None:
        state = state_from_json(story.start, initial(settings), now_ns)
    for one in story.turns:
        now_ns += one.after_ns
        shown, facts = None, replace(QUIET, **dict(one.facts))
        if one.shown is not None:
            shown = _class_of(one.shown.names, classes)
            if places is not None:
                shown = replace(shown, verdicts=tuple(shown.verdicts[at] for at in places))
            frame = replace(shown.at(now_ns - one.shown.age_ns), known=one.shown.known)
            facts = replace(facts, frame=frame)
        turn = checker.take(settings, facts, state, shown=shown, now_ns=now_ns)
        yield turn
        state = turn.after


def _rule_number(settings: PolicySettings, name: str) -> int:
    for at, rule in enumerate(settings.policy.rules):
        if rule.name == name:
            return at
    raise _not_there(f"a rule named '{name}'")


def _class_of(names: Sequence[FrameName], classes: FrameClasses) -> FrameClass:
    parts = []
    for name in names:
        part = classes.named(name)
        if part is None:
            raise _not_there(f"a frame in which {name.text()}")
        parts.append(part)
    return parts[0] if len(parts) == 1 else classes.together(*parts)


def _not_there(what: str) -> UsageError:
    return UsageError(
        "the story does not fit this mission",
        expected=what,
        found="none in this mission",
        remedy="replay it on the mission that it was found in, or one with the same rules",
    )


def _alone_from_json(document: Mapping[str, Any]) -> Alone:
    return str(document["rule"]), Confirm(k=document["k"], of=document["of"])


def _turn_to_json(turn: StoryTurn) -> dict[str, Any]:
    shown = None
    if turn.shown is not None:
        shown = {
            "shows": [asdict(name) for name in turn.shown.names],
            "age_ns": turn.shown.age_ns,
            "known": turn.shown.known,
        }
    facts = {name: value.name if isinstance(value, Action) else value for name, value in turn.facts}
    return {"after_ns": turn.after_ns, "frame": shown, "facts": facts}


def _turn_from_json(document: Mapping[str, Any]) -> StoryTurn:
    frame, facts = document["frame"], dict(document["facts"])
    names = {field.name for field in fields(Facts)} - {"frame"}
    if not facts.keys() <= names:
        raise ValueError(f"no such facts: {', '.join(sorted(facts.keys() - names))}")
    if facts.get("effective_action") is not None:
        facts["effective_action"] = Action[facts["effective_action"]]
    shown = None
    if frame is not None:
        shows = tuple(FrameName(**name) for name in frame["shows"])
        shown = Shown(shows, int(frame["age_ns"]), bool(frame["known"]))
    return StoryTurn(int(document["after_ns"]), shown, tuple(facts.items()))
