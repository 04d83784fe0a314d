"""Looks for the shortest story, from the start of a run, in which a turn breaks a given law.

In: a law, a turn that breaks it, settings. Out: a story on the whole policy whose last turn breaks
that law, found by a search that tries fewer turns first and then leaves out every turn that is not
needed; None where there is none among so many turns. Only the real `decide` moves it.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from edge.proof.frames.frame_class import FrameClass
from edge.proof.frames.frame_classes import FrameClasses
from edge.proof.stories.state_json import state_to_json
from edge.proof.stories.story import Shown, Story, StoryTurn, changed_facts, play
from edge.proof.turns.checker import MS, NOW_NS, QUIET, Broken, Checker
from edge.runtime.policy.policy import PolicyState, initial
from edge.runtime.policy.settings import PolicySettings

_TURN_NS = 20 * MS
Facts = tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class _Block:
    """Equal turns in a row."""

    turn: StoryTurn
    count: int
    shown: FrameClass | None


def shortest_story(
    settings: PolicySettings,
    classes: FrameClasses,
    law: str,
    broken: Broken,
    *,
    most_turns: int,
) -> Story | None:
    """Searches for at most so many turns of `decide`."""
    blocks = list(_blocks(settings, classes, broken))
    start = initial(settings)
    order = itertools.count()
    queue: list[tuple[int, int, PolicyState, int, tuple[StoryTurn, ...]]] = [
        (0, next(order), start, NOW_NS, ())
    ]
    seen: set[str] = set()
    checker = Checker()
    while queue and checker.turns < most_turns:
        _, _, state, now_ns, turns = heapq.heappop(queue)
        key = repr(state_to_json(state, now_ns))
        if key in seen:
            continue
        seen.add(key)
        for block in blocks:
            after, later_ns, taken = state, now_ns, 0
            while taken < block.count and law not in checker.broken:
                later_ns += block.turn.after_ns
                after = _take(settings, checker, block, after, later_ns)
                taken += 1
            grown = turns + (block.turn,) * taken
            if law in checker.broken:
                found = Story(law, checker.broken[law].text, grown)
                return _least(found, settings, classes)
            cost = len(grown)
            heapq.heappush(queue, (cost, next(order), after, later_ns, grown))
    return None


def _take(
    settings: PolicySettings, checker: Checker, block: _Block, state: PolicyState, now_ns: int
) -> PolicyState:
    facts = replace(QUIET, **dict(block.turn.facts))
    shown = block.turn.shown
    if shown is not None and block.shown is not None:
        frame = replace(block.shown.at(now_ns - shown.age_ns), known=shown.known)
        facts = replace(facts, frame=frame)
    return checker.take(settings, facts, state, shown=block.shown, now_ns=now_ns).after


def _blocks(settings: PolicySettings, classes: FrameClasses, broken: Broken) -> Iterator[_Block]:
    """What may come next: frames and pauses, alone or as many as a rule's window, with the facts of
    the broken turn or at standstill or moving."""
    rules = settings.policy.rules
    longest = max(rule.confirm.of for rule in rules)
    period_ns = min(settings.unknown_after_ns - 1, 40 * MS)
    facts: dict[Facts, None] = {(): None, (("standstill", False),): None}
    facts[changed_facts(broken.turn.facts)] = None
    facts[(("operator_request", True),)] = None
    shows = _shows(classes, broken)
    for one in facts:
        for shown in shows:
            seen = Shown(shown.names, 0, known=True)
            for count in sorted({1, longest}):
                yield _Block(StoryTurn(period_ns, seen, one), count, shown)
        for known in (True, False):
            for count in (1, 5):
                seen = Shown(shows[0].names, 0, known)
                yield _Block(
                    StoryTurn(_TURN_NS if known else period_ns, seen, one), count, shows[0]
                )
        pauses = {
            _TURN_NS,
            settings.unknown_after_ns,
            settings.slow_down_after_ns,
            settings.comfort_stop_after_ns,
            *(rule.hold_ms * MS for rule in rules),
        }
        for pause_ns in sorted(pauses - {0}):
            yield _Block(StoryTurn(pause_ns, None, one), 1, None)
    if broken.shown is not None and broken.turn.facts.frame is not None:
        frame = broken.turn.facts.frame
        age_ns = broken.turn.now_ns - frame.captured_ns
        shown = next((s for s in shows if s.names == broken.shown.names), shows[0])
        seen = Shown(shown.names, age_ns, frame.known)
        for count in (1, 5, 25):
            for one in facts:
                yield _Block(StoryTurn(period_ns, seen, one), count, shown)


def _shows(classes: FrameClasses, broken: Broken) -> list[FrameClass]:
    """The frames worth trying: a clear road, and those of the broken turn's rules."""
    names = {name.rule for name in (broken.shown.names if broken.shown else ())} - {""}
    names |= {rule.name for rule in broken.turn.settings.policy.rules[:1]}
    found = [] if classes.clear is None else [classes.clear]
    for name in sorted(names):
        if name in classes.of:
            found += [classes.of[name].least[0], classes.of[name].unclear]
    return found


def _least(story: Story, settings: PolicySettings, classes: FrameClasses) -> Story:
    """The story without the turns that it does not need, the last ones first."""
    for at in reversed(range(len(story.turns) - 1)):
        fewer = replace(story, turns=(*story.turns[:at], *story.turns[at + 1 :]))
        story = _until_broken(fewer, settings, classes) or story
    return story


def _until_broken(story: Story, settings: PolicySettings, classes: FrameClasses) -> Story | None:
    """The story up to the turn that breaks its law; None where none does."""
    checker = Checker()
    for count, _ in enumerate(play(story, settings, classes, checker), start=1):
        if story.law in checker.broken:
            text = checker.broken[story.law].text
            return replace(story, turns=story.turns[:count], text=text)
    return None
