"""A policy as one SVG picture: rules on the left, actions in the middle, faults on the right, modes
below.

In: a mission. Out: the text of an SVG without external fonts or scripts, for a light and a dark
page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge.contract.mission.schema import Mission
from edge.contract.mission.sections.policy import Rule
from edge.proof.diagram.marks import STYLE, box_height, labelled_box, rect, text, way
from edge.proof.diagram.mode_picture import HEIGHT_PX, modes
from edge.proof.diagram.words import conditions, confirmation, numbers
from edge.proof.laws.faults import FAULTS
from edge.runtime.policy.settings import PolicySettings
from firmware_bridge.protocol.messages import Action

WIDTH = 1000
_EDGE = 16
_GAP = 10
_RULE_WIDTH, _ACTION_WIDTH, _FAULT_WIDTH = 340, 170, 260
_ACTION_LEFT = 428
_ACTION_HEIGHT = 34
_TOP = 52


@dataclass(frozen=True)
class _Box:
    """A rule or a fault: its lines, the first one bold, and the action that it asks for."""

    lines: tuple[str, ...]
    action: Action


def svg(mission: Mission) -> str:
    """The picture."""
    settings = PolicySettings.of(mission, fps=mission.camera.fps)
    rules = [_rule_box(rule) for rule in mission.policy.rules]
    faults = [_Box((one.name, one.deadline(settings)), one.action) for one in FAULTS.values()]
    rules.sort(key=lambda one: -one.action)
    faults.sort(key=lambda one: -one.action)
    height = max(
        _stacked(rules, _RULE_WIDTH),
        _stacked(faults, _FAULT_WIDTH),
        len(Action) * (_ACTION_HEIGHT + _GAP),
    )
    fault_left = WIDTH - _EDGE - _FAULT_WIDTH
    marks = [
        text(_EDGE, 34, "rules", "head"),
        text(_ACTION_LEFT, 34, "actions", "head"),
        text(fault_left, 34, "faults", "head"),
    ]
    rows = _action_rows(height)
    for some, left, width, ends in (
        (rules, _EDGE, _RULE_WIDTH, (_EDGE + _RULE_WIDTH, _ACTION_LEFT)),
        (faults, fault_left, _FAULT_WIDTH, (fault_left, _ACTION_LEFT + _ACTION_WIDTH)),
    ):
        marks += _column(some, left=left, width=width, height=height, ends=ends, rows=rows)
    for action, y in rows.items():
        top = y - _ACTION_HEIGHT / 2.0
        marks.append(rect(_ACTION_LEFT, top, _ACTION_WIDTH, _ACTION_HEIGHT, f"card s{action:d}"))
        marks.append(text(_ACTION_LEFT + _ACTION_WIDTH / 2.0, y + 5, action.name, "name", "middle"))
    below = _TOP + height + 60
    marks += [text(_EDGE, below - 10, "modes", "head"), *modes(below)]
    whole = below + HEIGHT_PX
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {whole:g}" '
        f'role="img" aria-label="Rules, actions, faults and modes">\n<style>\n{STYLE}</style>\n'
        f'<rect class="page" width="{WIDTH}" height="{whole:g}"/>\n'
        + "\n".join(marks)
        + "\n</svg>\n"
    )


def _rule_box(rule: Rule) -> _Box:
    lines = (rule.name, conditions(rule.when), confirmation(rule), numbers(rule))
    return _Box(lines, Action[rule.action])


def _stacked(some: Sequence[_Box], width: float) -> float:
    return sum(box_height(one.lines, width) + _GAP for one in some)


def _action_rows(height: float) -> dict[Action, float]:
    """The middle of each action's box, the gravest on top."""
    step = height / len(Action)
    return {action: _TOP + step * (place + 0.5) for place, action in enumerate(reversed(Action))}


def _column(
    some: Sequence[_Box],
    *,
    left: float,
    width: float,
    height: float,
    ends: tuple[float, float],
    rows: dict[Action, float],
) -> list[str]:
    """Boxes one below the other, each with a line to its action."""
    marks = []
    y = _TOP + (height - _stacked(some, width)) / 2.0
    for one in some:
        tall = box_height(one.lines, width)
        marks.append(way(ends[0], y + tall / 2.0, ends[1], rows[one.action], f"s{one.action:d}"))
        marks += labelled_box(left, y, one.lines, width)
        y += tall + _GAP
    return marks
