"""Takes turns of the real `decide` and checks each against every law.

In: settings, facts, a state, a time. Out: the `Turn`; the first turn that breaks each law is kept,
and all turns are counted. The explorations beside this module decide which turns there are.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from edge.proof.frames.frame_class import FrameClass
from edge.proof.laws.turn import Turn, take_turn
from edge.proof.laws.turn_laws import breaches
from edge.runtime.policy.facts import Facts
from edge.runtime.policy.policy import PolicyState
from edge.runtime.policy.settings import PolicySettings

NOW_NS = 10**15
"""The time of every turn that is taken from a constructed state: only differences count."""

MS = 1_000_000

QUIET = Facts(
    frame=None,
    camera_gone=False,
    inference_hung=False,
    late_share=None,
    unacknowledged_in_a_row=0,
    standstill=True,
    operator_request=False,
    effective_action=None,
    link_up=True,
    ending=False,
    commands_often_late=False,
)
"""Nothing new and nothing wrong, at standstill."""


@dataclass(frozen=True)
class Broken:
    """A turn that breaks a law."""

    turn: Turn
    shown: FrameClass | None
    text: str


@dataclass
class Checker:
    """Counts turns and keeps the first that breaks each law.

    Attributes:
        turns: that were taken.
        broken: law -> the first turn that breaks it.
        lawful: the last turn broke none. What comes after one that did is not explored: it may
            have no end.
    """

    turns: int = 0
    broken: dict[str, Broken] = field(default_factory=dict)
    lawful: bool = True

    def take(
        self,
        settings: PolicySettings,
        facts: Facts,
        before: PolicyState,
        *,
        shown: FrameClass | None = None,
        now_ns: int = NOW_NS,
    ) -> Turn:
        """Takes one turn and checks it."""
        turn = take_turn(settings, facts, before, now_ns, shown=shown)
        self.turns += 1
        found = breaches(turn)
        self.lawful = not found
        for breach in found:
            self.broken.setdefault(breach.law, Broken(turn, shown, breach.text))
        return turn


def of_one_rule(settings: PolicySettings, at: int, **changes: object) -> PolicySettings:
    """The same settings with one rule alone, changed as given."""
    rule = settings.policy.rules[at].model_copy(update=changes)
    return replace(settings, policy=settings.policy.model_copy(update={"rules": (rule,)}))


def judged_by(shown: FrameClass, at: int) -> FrameClass:
    """A class of frames with the verdict of one rule alone."""
    return replace(shown, verdicts=(shown.verdicts[at],))
