"""The laws of docs/link.md that the microcontroller's rules obey in every step from every state.

In: the tabled core. Out: for each law the first step that breaks it, with a shortest way there from
boot.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edge.proof.machines.core_checks import (
    CoreTable,
    Found,
    applies,
    boots_stopped,
    clips,
    leaves,
    never_lets_up,
    obeys,
    releases_standing,
    sensor,
    silence,
    slow_ends,
    vouches,
)
from edge.proof.machines.frontier import Explored
from edge.proof.machines.microcontroller import Letter, Microcontroller


@dataclass(frozen=True)
class CoreLaw:
    """One law: a sentence, its requirements, and which states break it, each with a text."""

    name: str
    sentence: str
    requirements: tuple[str, ...]
    broken: Callable[[CoreTable], Found]


@dataclass(frozen=True)
class CoreBreach:
    """A broken law: the letters from boot that lead there, the last one broke it."""

    law: str
    letters: tuple[Letter, ...]
    text: str


def core_breaches(mcu: Microcontroller, explored: Explored) -> list[CoreBreach]:
    """The first breach of each law, with the fewest steps from boot."""
    found = []
    for law in CORE_LAWS:
        best: tuple[int, Letter | None, int, str] | None = None
        for letter, wrong, text in law.broken(mcu):
            reached = np.flatnonzero(wrong & (explored.depth >= 0))
            if len(reached):
                state = int(reached[np.argmin(explored.depth[reached])])
                depth = int(explored.depth[state])
                if best is None or depth < best[0]:
                    best = (depth, letter, state, text)
        if best is not None:
            _, letter, state, text = best
            way = [mcu.letters[by] for _, by in explored.way_to(state)]
            found.append(CoreBreach(law.name, (*way, *([letter] if letter else [])), text))
    return found


CORE_LAWS: tuple[CoreLaw, ...] = (
    CoreLaw("mcu boots stopped", "It boots with a stop latched.", ("R-LINK-1",), boots_stopped),
    CoreLaw(
        "mcu obeys",
        "A fresh command is applied, or something graver; a stale stop is latched.",
        ("R-LINK-11", "R-LINK-12", "R-LINK-20"),
        obeys,
    ),
    CoreLaw(
        "mcu applies the gravest",
        "Applied is the gravest of command, timer and latch, with the lowest ceiling and the "
        "hardest braking.",
        ("R-LINK-20", "R-LINK-21"),
        applies,
    ),
    CoreLaw("mcu clips", "Numbers stay in the compiled limits.", ("R-LINK-24",), clips),
    CoreLaw(
        "mcu never lets up",
        "A latched stop never brakes softer until its release.",
        ("R-LINK-22",),
        never_lets_up,
    ),
    CoreLaw(
        "mcu releases standing",
        "A stop ends only at standstill, by a fresh permission, with three healthy heartbeats.",
        ("R-LINK-28", "R-LINK-29", "R-LINK-30"),
        releases_standing,
    ),
    CoreLaw(
        "mcu needs a sensor",
        "Without a valid speed a stop is applied.",
        ("R-LINK-26",),
        sensor,
    ),
    CoreLaw(
        "mcu acts alone",
        "Without commands, heartbeats or vouched frames it slows down and then stops in time.",
        ("R-LINK-3", "R-LINK-15", "R-LINK-16", "R-LINK-17"),
        silence,
    ),
    CoreLaw(
        "mcu slow ends",
        "SLOW_DOWN by a timer ends only with a fresh command and a vouched frame.",
        ("R-LINK-19",),
        slow_ends,
    ),
    CoreLaw(
        "mcu vouches",
        "Only healthy heartbeats vouch for a frame.",
        ("R-LINK-13", "R-LINK-30"),
        vouches,
    ),
    CoreLaw(
        "mcu can be left",
        "From every state a healthy host releases a standing vehicle.",
        ("R-LINK-19", "R-LINK-28"),
        leaves,
    ),
)
