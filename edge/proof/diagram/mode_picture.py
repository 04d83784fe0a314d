"""The modes as a part of an SVG picture: a box for each, and an arrow for each change with its
causes.

In: the table of the modes. Out: marks. A change that the table gains has its arrow without more.
"""

from __future__ import annotations

import math

from edge.proof.diagram.marks import rect, text, width_of
from edge.runtime.policy.modes import TRANSITIONS
from firmware_bridge.protocol.messages import Mode

HEIGHT_PX = 470

_WIDE, _HIGH = 124.0, 40.0
_PLACES = {
    Mode.STARTING: (110.0, 215.0),
    Mode.NORMAL: (400.0, 80.0),
    Mode.DEGRADED: (850.0, 80.0),
    Mode.STOPPED: (400.0, 350.0),
    Mode.SAFE: (850.0, 350.0),
}
"""Middle of each box in px."""

_BENDS = {
    (Mode.STARTING, Mode.DEGRADED): -170.0,
    (Mode.STARTING, Mode.SAFE): 170.0,
    (Mode.NORMAL, Mode.STOPPED): -50.0,
    (Mode.STOPPED, Mode.NORMAL): -50.0,
}
_BEND = -22.0
"""How far an arrow bends to its left in px, so that two of opposite directions lie apart."""

_LABEL = 0.5
_LABELS = {
    (Mode.NORMAL, Mode.SAFE): 0.25,
    (Mode.DEGRADED, Mode.STOPPED): 0.3,
    (Mode.STOPPED, Mode.DEGRADED): 0.3,
}
"""Where a label stands on its arrow, as a share of the way; where arrows cross, before that."""


def modes(top: float) -> list[str]:
    """The marks, with everything below `top`."""
    marks, labels = [], []
    for mode, row in TRANSITIONS.items():
        for target in Mode:
            causes = [s.name.lower() for s, to in row.items() if to is target and to is not mode]
            if causes:
                shaft, label = _change(mode, target, ", ".join(causes), top)
                marks.append(shaft)
                labels += label
    for mode, (x, y) in _PLACES.items():
        marks.append(rect(x - _WIDE / 2.0, top + y - _HIGH / 2.0, _WIDE, _HIGH, "card"))
        marks.append(text(x, top + y + 5.0, mode.name, "name", "middle"))
    return marks + labels


def _change(mode: Mode, target: Mode, causes: str, top: float) -> tuple[str, list[str]]:
    """An arrow that bends, and its label on it."""
    bend = _BENDS.get((mode, target), _BEND)
    (x1, y1), (x2, y2) = _PLACES[mode], _PLACES[target]
    far = math.hypot(x2 - x1, y2 - y1)
    # To the left of the direction, as the page is seen.
    across = ((y2 - y1) / far, -(x2 - x1) / far)
    knee = ((x1 + x2) / 2.0 - bend * 2.0 * across[0], (y1 + y2) / 2.0 - bend * 2.0 * across[1])
    start, end = _edge(x1, y1, *knee), _edge(x2, y2, *knee)
    angle = math.atan2(end[1] - knee[1], end[0] - knee[0])
    tips = [
        (end[0] - 9.0 * math.cos(angle + turn), end[1] - 9.0 * math.sin(angle + turn))
        for turn in (-0.4, 0.4)
    ]
    shaft = (
        f"M{start[0]:.1f} {top + start[1]:.1f} Q{knee[0]:.1f} {top + knee[1]:.1f} "
        f"{end[0]:.1f} {top + end[1]:.1f} M{tips[0][0]:.1f} {top + tips[0][1]:.1f} "
        f"L{end[0]:.1f} {top + end[1]:.1f} L{tips[1][0]:.1f} {top + tips[1][1]:.1f}"
    )
    at = _LABELS.get((mode, target), _LABEL)
    shares = ((1.0 - at) ** 2, 2.0 * at * (1.0 - at), at**2)
    points = (start, knee, end)
    x = sum(share * point[0] for share, point in zip(shares, points, strict=True))
    y = top + sum(share * point[1] for share, point in zip(shares, points, strict=True))
    wide = width_of(causes) * 0.9 + 6.0
    label = [
        f'<rect class="page" x="{x - wide / 2.0:.1f}" y="{y - 9.0:.1f}" width="{wide:.1f}" '
        'height="18"/>',
        text(round(x, 1), round(y + 4.5, 1), causes, "", "middle"),
    ]
    return f'<path class="way soft" d="{shaft}"/>', label


def _edge(x: float, y: float, to_x: float, to_y: float) -> tuple[float, float]:
    """Where the line from the middle of a box to a point leaves the box."""
    dx, dy = to_x - x, to_y - y
    scale = min(
        (_WIDE / 2.0 + 2.0) / abs(dx) if dx else math.inf,
        (_HIGH / 2.0 + 2.0) / abs(dy) if dy else math.inf,
    )
    return x + dx * scale, y + dy * scale
