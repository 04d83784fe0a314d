"""The marks of a picture: text, boxes with lines, arrows.

In: places in px and words. Out: SVG elements as text. Widths of text are upper estimates for any of
the fonts in STYLE.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

SIZE_PX = 13
LINE_PX = 17
_PADDING = 10

_NARROW, _WIDE = set("iljtfrI.,:;'|!() -"), set("mwMWABCDEGHKNOPQRSUVXYZ@%&")

STYLE = """\
svg { --page: #ffffff; --card: #f6f8fa; --line: #d1d9e0; --ink: #1f2328; --soft: #59636e;
  --a0: #59636e; --a1: #0969da; --a2: #1a7f37; --a3: #9a6700; --a4: #bc4c00; --a5: #cf222e; }
@media (prefers-color-scheme: dark) {
  svg { --page: #0d1117; --card: #151b23; --line: #3d444d; --ink: #f0f6fc; --soft: #9198a1;
    --a0: #9198a1; --a1: #4493f8; --a2: #3fb950; --a3: #d29922; --a4: #f0883e; --a5: #f85149; }
}
text { font-family: -apple-system, "Segoe UI", Roboto, Helvetica, Arial, sans-serif;
  font-size: 13px; fill: var(--soft); }
.name { font-weight: 600; fill: var(--ink); }
.head { font-size: 16px; font-weight: 600; fill: var(--ink); }
.page { fill: var(--page); }
.card { fill: var(--card); stroke: var(--line); }
.way { fill: none; stroke-width: 1.8; stroke-linecap: round; }
.soft { stroke: var(--soft); }
"""
for _severity in range(6):
    STYLE += f".s{_severity} {{ stroke: var(--a{_severity}); }}\n"


def width_of(words: str) -> float:
    """An upper estimate of a line's width in px."""
    ems = sum(0.35 if c in _NARROW else 0.86 if c in _WIDE else 0.6 for c in words)
    return ems * SIZE_PX


def wrapped(words: str, width: float) -> list[str]:
    """The words on lines of at most `width` px."""
    lines = [""]
    for word in words.split():
        longer = f"{lines[-1]} {word}".strip()
        if width_of(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    """One line of text."""
    return f'<text class="{kind}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(words)}</text>'


def rect(x: float, y: float, width: float, height: float, kind: str) -> str:
    """A box with round corners."""
    return (
        f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="6"/>'
    )


def _lines(paragraphs: Sequence[str], width: float) -> list[tuple[str, str]]:
    """The lines of a box, each with its kind; the first paragraph is its name."""
    inner = width - 2 * _PADDING
    name, *rest = paragraphs
    lines = [(line, "name") for line in wrapped(name, inner / 1.06)]
    return lines + [(line, "") for part in rest if part for line in wrapped(part, inner)]


def box_height(paragraphs: Sequence[str], width: float) -> float:
    """The height of a box with these paragraphs."""
    return LINE_PX * len(_lines(paragraphs, width)) + 12.0


def labelled_box(
    x: float, y: float, paragraphs: Sequence[str], width: float, kind: str = ""
) -> list[str]:
    """A box with paragraphs, the first one bold."""
    marks = [rect(x, y, width, box_height(paragraphs, width), f"card {kind}".strip())]
    for row, (line, style) in enumerate(_lines(paragraphs, width)):
        marks.append(text(x + _PADDING, y + 18 + LINE_PX * row, line, style))
    return marks


def way(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    """A smooth line from one column to the next."""
    middle = (x1 + x2) / 2.0
    return (
        f'<path class="way {kind}" d="M{x1:g} {y1:g} C{middle:g} {y1:g} {middle:g} {y2:g} '
        f'{x2:g} {y2:g}"/>'
    )
