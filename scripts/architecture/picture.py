"""Draws the order of rooms as one SVG picture.

In: the contracts. Out: the text of an SVG in which imports run downwards, with no external font or
script, for a light and a dark page and for a screen 360 px wide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from contracts import Contracts, folder, purpose

WIDTH = 600
EDGE = 14
RAIL = 34
GAP = 6
WORDS_PX = 14
LINE = 18
BETWEEN = 46
HUES = {"converters": "a", "calibration": "b", "edge": "c", "firmware_bridge": "d"}

STYLE = """\
svg { --page: #ffffff; --card: #f6f8fa; --room: #ffffff; --line: #d1d9e0; --ink: #1f2328;
  --soft: #59636e; --a: #8250df; --b: #0969da; --c: #1a7f37; --d: #bc4c00; }
@media (prefers-color-scheme: dark) {
  svg { --page: #0d1117; --card: #151b23; --room: #0d1117; --line: #3d444d; --ink: #f0f6fc;
    --soft: #9198a1; --a: #ab7df8; --b: #4493f8; --c: #3fb950; --d: #f0883e; }
}
text { font-family: -apple-system, "Segoe UI", Roboto, Helvetica, Arial, sans-serif;
  font-size: 14px; fill: var(--soft); }
.name { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace;
  font-size: 17px; font-weight: 600; fill: var(--ink); }
.package { font-size: 22px; }
.file { font-size: 14px; font-weight: 400; }
.small { font-size: 13px; }
.page { fill: var(--page); }
.card { fill: var(--card); stroke: var(--line); }
.room { fill: var(--room); stroke: var(--line); }
.loose { fill: none; stroke: var(--line); stroke-dasharray: 4 3; }
.arrow { fill: none; stroke-width: 2.5; stroke-linecap: round; stroke-linejoin: round; }
.between { stroke: var(--soft); }
"""
for _hue in HUES.values():
    STYLE += f".{_hue} {{ stroke: var(--{_hue}); }} .bar-{_hue} {{ fill: var(--{_hue}); }}\n"

NARROW, WIDE = set("iljtfrI.,:;'|!() -"), set("mwMWABCDEGHKNOPQRSUVXYZ@%&")


def width_of(words: str, size_px: float) -> float:
    """An upper estimate of the width in px of text in any of the sans-serif fonts of STYLE."""
    ems = sum(0.35 if c in NARROW else 0.86 if c in WIDE else 0.6 for c in words)
    return ems * size_px


def wrapped(words: str, width: float, size_px: float) -> list[str]:
    """The words on lines of at most `width` px."""
    lines = [""]
    for word in words.split():
        longer = f"{lines[-1]} {word}".strip()
        if width_of(longer, size_px) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


@dataclass(frozen=True)
class Box:
    """A room in its layer: its name, its lines of purpose (none: a module) and its width in px."""

    name: str
    lines: list[str]
    width: float


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(words)}</text>'


def rect(x: float, y: float, width: float, height: float, kind: str) -> str:
    return (
        f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="6"/>'
    )


def arrow(x: float, top: float, bottom: float, kind: str) -> str:
    head = f"M{x - 5:g} {bottom - 6:g} L{x:g} {bottom:g} L{x + 5:g} {bottom - 6:g}"
    return f'<path class="arrow {kind}" d="M{x:g} {top:g} V{bottom:g} {head}"/>'


def boxes(root: Path, package: str, layer: Sequence[str], width: float) -> list[Box]:
    """The boxes of one layer: modules as wide as their names, rooms share what is left."""
    rooms = [name for name in layer if folder(root, f"{package}.{name}").is_dir()]
    loose = {f: 0.6 * 14 * len(f"{f}.py") + 24 for f in layer if f not in rooms}
    free = width - sum(loose.values()) - GAP * (len(layer) - 1)
    if not rooms:
        return [Box(f"{name}.py", [], loose[name] + free / len(layer)) for name in layer]
    each = free / len(rooms)
    return [
        Box(f"{name}.py", [], loose[name])
        if name in loose
        else Box(name, wrapped(purpose(root, f"{package}.{name}"), each - 24, WORDS_PX), each)
        for name in layer
    ]


def draw_layer(row: Sequence[Box], left: float, top: float) -> tuple[list[str], float]:
    """The layer's marks and its height in px."""
    most = max(len(box.lines) for box in row)
    height = 30.0 + LINE * most
    marks: list[str] = []
    for box in row:
        if box.lines:
            marks.append(rect(left, top, box.width, height, "room"))
            marks.append(text(left + 12, top + 20, box.name, "name"))
            marks += [
                text(left + 12, top + 38 + LINE * place, line)
                for place, line in enumerate(box.lines)
            ]
        else:
            marks.append(rect(left, top, box.width, height, "loose"))
            middle = left + box.width / 2
            marks.append(text(middle, top + height / 2 + 5, box.name, "name file", "middle"))
        left += box.width + GAP
    return marks, height


def draw_package(root: Path, contracts: Contracts, package: str, top: float) -> tuple[str, float]:
    """One package's card and the y of its lower edge."""
    hue = HUES[package]
    inner = WIDTH - 2 * EDGE - RAIL - 12
    words = wrapped(purpose(root, package), WIDTH - 2 * EDGE - 32, WORDS_PX)
    marks = [text(EDGE + 16, top + 32, package, "name package")]
    barred = contracts.forbidden.get(package, [])[:2]
    if barred:
        shown = "device half: " + ", ".join(f"no {name}" for name in barred)
        marks.append(text(WIDTH - EDGE - 14, top + 31, shown, "small", "end"))
    marks += [text(EDGE + 16, top + 54 + LINE * at, line) for at, line in enumerate(words)]
    first = y = top + 54 + LINE * len(words) - 4
    for layer in contracts.rooms[package]:
        drawn, height = draw_layer(boxes(root, package, layer, inner), EDGE + RAIL, y)
        marks += drawn
        y += height + GAP
    marks.append(arrow(EDGE + RAIL / 2 + 2, first + 4, y - GAP - 4, hue))
    bottom = y - GAP + 12
    card = rect(EDGE, top, WIDTH - 2 * EDGE, bottom - top, "card")
    bar = rect(EDGE, top + 6, 4, bottom - top - 12, f"bar-{hue}")
    return "\n".join([card, bar, *marks]), bottom


def picture(root: Path, contracts: Contracts) -> str:
    """The SVG: packages from the highest to the lowest, rooms in them likewise."""
    legend = "Imports run downwards only; rooms side by side do not import each other"
    lines = wrapped(legend, WIDTH - 2 * EDGE, WORDS_PX)
    y = 26.0 + LINE * len(lines) - 4
    marks = [text(EDGE, 26 + LINE * at, line) for at, line in enumerate(lines)]
    for package in contracts.packages:
        drawn, y = draw_package(root, contracts, package, y)
        marks.append(drawn)
        if package != contracts.packages[-1]:
            marks.append(arrow(WIDTH / 2, y + 8, y + BETWEEN - 8, "between"))
            y += BETWEEN
    height = y + EDGE
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:g}" '
        f'viewBox="0 0 {WIDTH} {height:g}" role="img">'
    )
    order = " -> ".join(contracts.packages)
    title = f"<title>Order of rooms. Packages import one way: {escape(order)}</title>"
    sheet = f'<rect class="page" width="{WIDTH}" height="{height:g}" rx="8"/>'
    return "\n".join([head, title, f"<style>\n{STYLE}</style>", sheet, *marks, "</svg>", ""])
