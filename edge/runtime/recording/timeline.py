"""The timeline of every rule and fallback that fired: first seen, confirmed, commanded,
acknowledged, effective, released.

In: decisions and commands of the loop, acknowledges and reports of the link, each with its time.
Out: an `Episode` for each firing. Memory is bounded: the oldest episodes go first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from edge.runtime.policy.facts import Decision, Demand
from firmware_bridge.protocol.messages import Action

_CAPACITY = 512


@dataclass(frozen=True)
class Stamp:
    """One moment: milliseconds since the run began, seconds into the clip, index of the newest
    inferred frame; None for the last two before the first frame.
    """

    mono_ms: float
    clip_s: float | None
    frame: int | None

    def to_json(self) -> dict[str, Any]:
        """As in the report."""
        return {
            "mono_ms": round(self.mono_ms, 3),
            "clip_s": None if self.clip_s is None else round(self.clip_s, 3),
            "frame": self.frame,
        }


MOMENTS = (
    "first_seen",
    "confirmed",
    "commanded",
    "acknowledged",
    "effective",
    "ended",
    "released",
)


@dataclass
class Episode:
    """One firing of one rule or fallback.

    first_seen: the first matching frame of those that led to it (fallbacks: the same as confirmed).
    confirmed: k of n reached. commanded: the first command written that carries this very action.
    acknowledged: that command's acknowledge. effective: the microcontroller reports this action.
    ended: it asks for nothing any more, also as a stop that is held. released: the microcontroller
    reports a lesser action after `effective`. None: has not happened, for example because a graver
    rule was in force all the time.
    """

    name: str
    kind: str
    action: Action
    moments: dict[str, Stamp] = field(default_factory=dict)
    counter: int | None = None
    sent_ns: int | None = None

    def to_json(self) -> dict[str, Any]:
        """As in the report."""
        return {
            "name": self.name,
            "kind": self.kind,
            "action": self.action.name,
            **{
                moment: self.moments[moment].to_json() if moment in self.moments else None
                for moment in MOMENTS
            },
        }


class Timeline:
    """Builds the episodes of one run."""

    def __init__(self) -> None:
        self._episodes: deque[Episode] = deque(maxlen=_CAPACITY)
        self._active: dict[str, Episode] = {}
        self._first_seen: dict[str, Stamp] = {}
        self._effective: Action | None = None

    @property
    def episodes(self) -> tuple[Episode, ...]:
        """In order of confirmation."""
        return tuple(self._episodes)

    def on_decision(
        self, decision: Decision, quiet: Iterable[str], at: Stamp, frame_at: Stamp | None
    ) -> None:
        """A turn's decision. `quiet`: rules whose confirm window holds no match any more;
        `frame_at`: capture of the turn's new frame."""
        for name in quiet:
            self._first_seen.pop(name, None)
        for name in decision.matched:
            if frame_at is not None:
                self._first_seen.setdefault(name, frame_at)
        active = {demand.name: demand for demand in decision.demands}
        for name, episode in list(self._active.items()):
            if name not in active or active[name].action is not episode.action:
                self._active.pop(name).moments["ended"] = at
        for name, demand in active.items():
            if name not in self._active:
                self._begin(demand, at)

    def on_command(self, action: Action, counter: int, sent_ns: int, at: Stamp) -> None:
        """A command of this action was written; `sent_ns` is when writing began."""
        for episode in self._active.values():
            if episode.action is action and "commanded" not in episode.moments:
                episode.moments["commanded"] = at
                episode.counter = counter
                episode.sent_ns = sent_ns

    def on_acknowledge(self, counter: int, at: Stamp) -> None:
        """The microcontroller acknowledged the command of that counter."""
        for episode in self._episodes:
            if episode.counter != counter or "acknowledged" in episode.moments:
                continue
            episode.moments["acknowledged"] = at
            # The acknowledge may be read before the writer is back from its call.
            if at.mono_ms < episode.moments["commanded"].mono_ms:
                episode.moments["commanded"] = at
            # The action was in force already, by another rule that demands the same one.
            if self._effective is episode.action:
                episode.moments.setdefault("effective", at)

    def on_effective(self, action: Action, mono_ns: int, at: Stamp) -> None:
        """The microcontroller reports what it applies now."""
        self._effective = action
        for episode in self._episodes:
            if episode.sent_ns is None or mono_ns < episode.sent_ns:
                continue
            if action is episode.action:
                episode.moments.setdefault("effective", at)
            elif action < episode.action and "effective" in episode.moments:
                episode.moments.setdefault("released", at)

    def _begin(self, demand: Demand, at: Stamp) -> None:
        episode = Episode(demand.name, demand.kind, demand.action)
        episode.moments["first_seen"] = self._first_seen.get(demand.name, at)
        episode.moments["confirmed"] = at
        self._active[demand.name] = episode
        self._episodes.append(episode)
