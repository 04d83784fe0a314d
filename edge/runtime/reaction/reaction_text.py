"""Reactions as JSON and as tables for a person.

In: reactions of a mission's rules. Out: plain values, or lines on a console. Computes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from edge.runtime.reaction.avoidance import (
    CUT_IN_MPS,
    HIGHEST_KMH,
    R152_WARNING_S,
    R157_CUT_IN_MPS2,
    R157_CUT_IN_S,
    RuleReaction,
)
from edge.runtime.reaction.braking import FRICTION, GRAVITY_MPS2

SCHEMA = "brakepoint.policy-reaction/1"

ASSUMED = (
    "Of an object that stands straight ahead on a flat road, in which the network misses no more "
    "frames than `confirm` allows; brakes that give what is asked."
)


def payload_of(reactions: Sequence[RuleReaction]) -> dict[str, Any]:
    """All of it for programs; null: not known, or the rule does not stop the vehicle."""
    return {
        "schema": SCHEMA,
        "assumed": ASSUMED,
        "friction": dict(FRICTION),
        "r157_cut_in_s": round(_r157_s(), 3),
        "rules": [_row(reaction) for reaction in reactions],
    }


def _row(reaction: RuleReaction) -> dict[str, Any]:
    return {
        "rule": reaction.rule,
        "action": reaction.action.name,
        "terms": [
            {"name": term.name, "seconds": round(term.seconds, 4), "origin": term.origin}
            for term in reaction.terms
        ],
        "delay_s": round(reaction.delay_s, 4),
        "speed_kmh": round(reaction.speed_kmh, 1),
        "matches_m": _rounded(reaction.matches_m),
        "acts_m": _rounded(reaction.acts_m),
        "conditions": [trigger.why for trigger in reaction.triggers.known],
        "roads": {
            name: {
                "deceleration_mps2": round(road.braking.deceleration_mps2, 2),
                "jerk_mps3": road.braking.jerk_mps3,
                "avoids_kmh": _rounded(road.avoids_kmh, 1),
                "needs_m": _rounded(road.needs_m),
                "cut_in_s": _rounded(road.cut_in_s),
            }
            for name, road in reaction.roads.items()
        },
        "r152_kmh": reaction.asked_kmh,
        "remarks": list(reaction.remarks),
    }


def _rounded(value: float | None, digits: int = 2) -> float | None:
    return None if value is None or math.isinf(value) else round(value, digits)


def _r157_s() -> float:
    return CUT_IN_MPS / (2.0 * R157_CUT_IN_MPS2) + R157_CUT_IN_S


def print_reactions(console: Console, reactions: Sequence[RuleReaction]) -> None:
    """Two tables, terms and rules, and what stands beside them."""
    console.print("Reaction: from light to the first braking, milliseconds at most")
    console.print(_terms_table(reactions))
    console.print(f"\nStops: {ASSUMED}")
    console.print(_rules_table(reactions))
    for reaction in reactions:
        for remark in reaction.remarks:
            console.print(f"  {reaction.rule}: {remark}")
    grip = ", ".join(
        f"{road} {share:g} ({share * GRAVITY_MPS2:.1f} m/s2)" for road, share in FRICTION.items()
    )
    console.print(f"  friction of tyres: {grip}, Wong, Theory of Ground Vehicles")
    console.print(f"  UN R152 asks for a warning {R152_WARNING_S:g} s before: no rule gives one")
    console.print(
        f"  UN R157 takes a cut-in as avoidable from {_r157_s():.2f} s to contact on, closing with "
        f"{CUT_IN_MPS * 3.6:g} km/h"
    )


def _terms_table(reactions: Sequence[RuleReaction]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("rule")
    table.add_column("term")
    table.add_column("ms", justify="right")
    table.add_column("from")
    for reaction in reactions:
        for row, term in enumerate(reaction.terms):
            name = reaction.rule if row == 0 else ""
            table.add_row(name, term.name, f"{term.seconds * 1e3:.1f}", term.origin)
        table.add_row("", "sum", f"{reaction.delay_s * 1e3:.1f}", "")
    return table


def _rules_table(reactions: Sequence[RuleReaction]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    heads = ("at km/h", "matches at m", "brakes from m", "dry: needs m", "avoids km/h")
    for head in ("rule", "action", *heads, "wet: needs m", "avoids km/h", "R152 asks", "cut-in s"):
        table.add_column(
            head,
            justify="left" if head in ("rule", "action") else "right",
            no_wrap=head == "action",
        )
    for reaction in reactions:
        dry, wet = reaction.roads["dry"], reaction.roads["wet"]
        table.add_row(
            reaction.rule,
            reaction.action.name,
            f"{reaction.speed_kmh:.0f}",
            _shown(reaction.matches_m),
            _shown(reaction.acts_m),
            _shown(dry.needs_m),
            _speed(dry.avoids_kmh),
            _shown(wet.needs_m),
            _speed(wet.avoids_kmh),
            "-" if reaction.asked_kmh is None else f"{reaction.asked_kmh:.0f} km/h",
            _shown(dry.cut_in_s, 2),
        )
    return table


def _shown(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _speed(kmh: float | None) -> str:
    if kmh is None:
        return "-"
    return f"{HIGHEST_KMH:g} and more" if kmh >= HIGHEST_KMH else f"{kmh:.1f}"
