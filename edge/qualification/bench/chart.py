"""Draws a measurement over its time as an SVG: latency, heat, power, clocks.

A `BenchResult` goes in; an SVG document comes out. Written by hand, since the device has no
plotting library. Panels without data are left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from edge.qualification.bench.measure import BenchResult
from edge.qualification.bench.spread import Spread
from edge.qualification.bench.watch import Sample
from edge.qualification.bench.windows import HANDED_OVER

WIDE, HIGH, LEFT, TOP, GAP = 720.0, 130.0, 64.0, 58.0, 62.0
"""Plot area of one panel, left margin, head, and the gap between panels, in pixels."""

BUCKETS = 120
"""Points along the time axis."""

COLOURS = ("#1f5fa8", "#c0582b")
STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#222}.title{font-weight:600}.small{fill:#5a6470}"
    ".grid{stroke:#e2e6ea}.line{fill:none;stroke-width:1.6;stroke-linejoin:round}"
)

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Panel:
    """One plot: curves by name, over seconds."""

    title: str
    curves: dict[str, Points]

    @property
    def empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not any(self.curves.values())


def draw(result: BenchResult) -> str:
    """The document."""
    panels = [panel for panel in _panels(result) if not panel.empty]
    seconds = max((t for panel in panels for c in panel.curves.values() for t, _ in c), default=1.0)
    height = TOP + len(panels) * (HIGH + GAP)
    head = (
        f"{result.report.mission} on {result.report.model.backend}, {result.report.seconds:.0f} s"
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDE + 24:g} {height:g}" '
        f'width="{LEFT + WIDE + 24:g}" height="{height:g}">',
        f"<style>{STYLE}</style>",
        '<rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="{LEFT}" y="24" class="title">{escape(head)}</text>',
    ]
    for number, panel in enumerate(panels):
        parts += _drawn(panel, TOP + number * (HIGH + GAP), seconds)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panels(result: BenchResult) -> list[Panel]:
    handed = [
        (timing.at_s, timing.handed_over_ms)
        for timing in result.timings
        if timing.handed_over_ms is not None
    ]
    infer = [
        (timing.at_s, timing.stage_ms["infer"])
        for timing in result.timings
        if "infer" in timing.stage_ms
    ]
    return [
        Panel(f"{HANDED_OVER}, ms", _percentiles(handed)),
        Panel("inference in the loop, ms", _percentiles(infer)),
        Panel("hottest zone, °C", {"": _sensed(result.samples, "hottest")}),
        Panel("whole board, W", {"": _sensed(result.samples, "watts")}),
        Panel(
            "clocks, MHz",
            {
                "CPU": _sensed(result.samples, "cpu_mhz"),
                "GPU": _sensed(result.samples, "gpu_mhz"),
            },
        ),
        Panel(
            "this process in memory, MB",
            {"": [(one.at_s, one.resident / 1e6) for one in result.samples if one.resident]},
        ),
    ]


def _percentiles(points: Points) -> dict[str, Points]:
    """The median and the highest of each of BUCKETS stretches of time."""
    if not points:
        return {}
    step = max((points[-1][0] - points[0][0]) / BUCKETS, 1e-9)
    stretches: dict[int, list[float]] = {}
    for at_s, value in points:
        stretches.setdefault(int((at_s - points[0][0]) / step), []).append(value)
    curves: dict[str, list[tuple[float, float]]] = {"p50": [], "highest": []}
    for stretch, values in stretches.items():
        spread = Spread.of(values)
        assert spread is not None
        at_s = points[0][0] + (stretch + 0.5) * step
        curves["p50"].append((at_s, spread.p50))
        curves["highest"].append((at_s, spread.max))
    return dict(curves)


def _sensed(samples: Sequence[Sample], name: str) -> Points:
    values = [(sample.at_s, getattr(sample.reading, name)) for sample in samples]
    return [(at_s, float(value)) for at_s, value in values if value is not None]


def _drawn(panel: Panel, top: float, seconds: float) -> list[str]:
    most = max(value for curve in panel.curves.values() for _, value in curve)
    step = _tick(most)
    ceiling = step * max(1, math.ceil(most / step))
    parts = [f'<text x="{LEFT}" y="{top - 10:g}" class="title">{escape(panel.title)}</text>']
    for number in range(round(ceiling / step) + 1):
        y = top + HIGH - HIGH * number * step / ceiling
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{LEFT + WIDE}" y1="{y:.1f}" y2="{y:.1f}"/>'
        )
        parts.append(
            f'<text class="small" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">'
            f"{number * step:g}</text>"
        )
    every_s = _tick(seconds)
    for number in range(int(seconds / every_s) + 1):
        x = LEFT + WIDE * number * every_s / seconds
        parts.append(
            f'<text class="small" x="{x:.1f}" y="{top + HIGH + 17:g}" text-anchor="middle">'
            f"{number * every_s:g} s</text>"
        )
    names = [name for name, curve in panel.curves.items() if curve and name]
    for row, name in enumerate(reversed(names)):
        colour = COLOURS[list(panel.curves).index(name)]
        x = LEFT + WIDE - 66 * row
        parts.append(
            f'<text x="{x:g}" y="{top - 10:g}" text-anchor="end" style="fill:{colour}">'
            f"{escape(name)}</text>"
        )
    # The first curve is drawn last, above the others.
    for number, curve in reversed(list(enumerate(panel.curves.values()))):
        points = " ".join(
            f"{LEFT + WIDE * at_s / seconds:.1f},{top + HIGH - HIGH * value / ceiling:.1f}"
            for at_s, value in curve
        )
        if points:
            parts.append(
                f'<polyline class="line" style="stroke:{COLOURS[number]}" points="{points}"/>'
            )
    return parts


def _tick(most: float) -> float:
    """A round step that divides the axis into three to six parts."""
    if most <= 0.0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(most))
    return next(power * share for share in (0.2, 0.5, 1.0, 2.0) if most / (power * share) <= 6.0)
