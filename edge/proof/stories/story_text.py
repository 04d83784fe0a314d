"""A story in words: what each turn brought and what was decided, equal turns in one row.

In: a story, played on a mission. Out: rows for a table; the row of the turn that breaks a law says
so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from edge.proof.frames.frame_classes import FrameClasses
from edge.proof.laws.turn import Turn
from edge.proof.stories.story import Shown, Story, StoryTurn, play
from edge.proof.turns.checker import QUIET, Checker
from edge.runtime.policy.settings import PolicySettings

WORDS: dict[str, dict[object, str]] = {
    "camera_gone": {True: "the camera is gone"},
    "inference_hung": {True: "the network hangs"},
    "late_share": {},
    "unacknowledged_in_a_row": {},
    "standstill": {
        True: "the vehicle stands",
        False: "the vehicle moves",
        None: "it is not known whether the vehicle stands",
    },
    "operator_request": {True: "the operator asks", None: "the operator is not heard"},
    "effective_action": {},
    "link_up": {False: "the link is down"},
    "ending": {True: "the run ends"},
    "commands_often_late": {True: "too many commands are late"},
}
"""Facts that are not as in `QUIET`, in words; a test holds it complete."""


@dataclass(frozen=True)
class Row:
    """One row: its first and last turn, milliseconds before each, words."""

    first: int
    last: int
    after_ms: float
    what: str
    decision: str
    breaks: str


@dataclass(frozen=True)
class Played:
    """A story that was played: its rows, and which laws its turns broke, each with what was
    wrong."""

    rows: tuple[Row, ...]
    broken: dict[str, str]


def played(story: Story, settings: PolicySettings, classes: FrameClasses) -> Played:
    """Plays the story by the real `decide`.

    Raises:
        UsageError: the mission has no such rule or frame.
    """
    checker = Checker()
    rows: list[Row] = []
    known: set[str] = set()
    turns = zip(story.turns, play(story, settings, classes, checker), strict=True)
    for number, (one, turn) in enumerate(turns, start=1):
        new = [law for law in checker.broken if law not in known]
        known.update(new)
        breaks = "; ".join(f"{law}: {checker.broken[law].text}" for law in new)
        row = Row(number, number, one.after_ns / 1e6, _what(one), _decision(turn), breaks)
        if rows and not new and replace(rows[-1], first=number, last=number) == row:
            rows[-1] = replace(rows[-1], last=number)
        else:
            rows.append(row)
    return Played(tuple(rows), {law: one.text for law, one in checker.broken.items()})


def _what(turn: StoryTurn) -> str:
    facts = dict(turn.facts)
    facts.setdefault("standstill", QUIET.standstill)
    words = [_shown(turn.shown)]
    for name, value in facts.items():
        if name == "late_share":
            words.append(f"{value:.0%} of the results are late")
        elif name == "unacknowledged_in_a_row":
            words.append(f"{value} commands in a row are late")
        elif name == "effective_action":
            words.append("" if value is None else f"{value.name} is applied")
        else:
            words.append(WORDS[name].get(value, ""))
    return "; ".join(word for word in words if word)


def _shown(shown: Shown | None) -> str:
    if shown is None:
        return "no frame"
    words = "a frame that is not perceived"
    if shown.known:
        words = ", ".join(name.text() for name in shown.names)
    if shown.age_ns < 0:
        return f"{words}, captured {-shown.age_ns / 1e6:g} ms ahead"
    return words if shown.age_ns == 0 else f"{words}, {shown.age_ns / 1e6:g} ms old"


def _decision(turn: Turn) -> str:
    if turn.decision is None:
        return f"decide raised {turn.error}"
    command = turn.decision.command
    names = ", ".join(dict.fromkeys(one.name for one in turn.decision.demands))
    release = ", release" if command.release else ""
    why = f" ({names})" if names else ""
    return f"{command.action.name}{release}{why}"
