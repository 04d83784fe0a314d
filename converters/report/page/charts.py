"""Positions of the bars of layers and ranges on the page, from the report's figures.

All scales are logarithmic: layers and tensors of one network lie decades apart.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

WIDE, HIGH = 1000.0, 200.0
"""Width and height of the plot area, in its own units."""

LEAST_TASK_LOSS = 1e-4
"""Task loss below this is drawn as zero."""

MOST_LISTED = 12

ONE_SIDED = 0.1
"""A tensor is one-sided if less than this share of its range is below 0, as after ReLU or SiLU."""


def layer_chart(document: Mapping[str, Any]) -> dict[str, Any] | None:
    """Task loss of every layer in graph order, and the worst; None where none was measured."""
    search = document["search"]
    if search is None or not search["layers"]:
        return None
    left = {row["node"] for row in document["quantized"]["left_float"]}
    layers = search["layers"]
    scale = _Scale(LEAST_TASK_LOSS, max(layer["task_loss"] or 0.0 for layer in layers))
    total = document["quantized"]["macs"] or 1
    rows = [
        {
            "name": layer["node"],
            "value": layer["task_loss"],
            "in_float": layer["node"] in left,
            "share": layer["macs"] / total,
            **_bar(row, len(layers), scale.height(layer["task_loss"])),
        }
        for row, layer in enumerate(layers)
    ]
    worst = sorted(rows, key=lambda row: (-(row["value"] or 0.0), row["name"]))
    return {
        "bars": rows,
        "worst": worst[:MOST_LISTED],
        "ticks": scale.ticks(),
        "left": len([row for row in rows if row["in_float"]]),
    }


def range_chart(document: Mapping[str, Any]) -> dict[str, Any]:
    """Magnitude of every tensor in graph order: the part that INT8 covers, and the part beyond."""
    tensors = document["ranges"]
    seen = [max(abs(one["lowest"]), abs(one["highest"])) for one in tensors]
    positive = [one["amax"] for one in tensors if one["amax"] > 0.0]
    scale = _Scale(min(positive, default=1.0) / 2.0, max(seen, default=1.0))
    rows = []
    for row, (one, extreme) in enumerate(zip(tensors, seen, strict=True)):
        covered = scale.height(one["amax"])
        rows.append(
            {
                **one,
                "name": one["tensor"],
                "value": one["amax"],
                "extreme": extreme,
                "in_float": False,
                "beyond": extreme / one["amax"] if one["amax"] else 1.0,
                "one_sided": min(-one["lowest"], one["highest"]) < ONE_SIDED * one["amax"],
                **_bar(row, len(tensors), covered),
                "clipped": max(0.0, scale.height(extreme) - covered),
            }
        )
    worst = sorted(rows, key=lambda row: (-row["beyond"], row["name"]))
    return {"bars": rows, "worst": worst[:MOST_LISTED], "ticks": scale.ticks()}


def _bar(row: int, of: int, height: float) -> dict[str, Any]:
    """Place and size of one bar of `of`, a fifth of it the gap to the next; nothing above it."""
    wide = WIDE / of
    return {"x": row * wide, "wide": 0.8 * wide, "high": height, "clipped": 0.0}


class _Scale:
    """Decades from the first power of ten below `least` to the first above `most`."""

    def __init__(self, least: float, most: float) -> None:
        self._low = math.floor(math.log10(max(least, 1e-12)))
        self._high = max(math.ceil(math.log10(max(most, 1e-12))), self._low + 1)

    def height(self, value: float | None) -> float:
        """0..HIGH; 0 for what is below the scale, or not known."""
        if value is None or value <= 0.0:
            return 0.0
        share = (math.log10(value) - self._low) / (self._high - self._low)
        return HIGH * min(max(share, 0.0), 1.0)

    def ticks(self) -> Sequence[dict[str, Any]]:
        """A line at every power of ten, at most eight of them."""
        step = max(1, math.ceil((self._high - self._low) / 8))
        return [
            {"y": HIGH - self.height(10.0**power), "label": f"{10.0**power:g}"}
            for power in range(self._low, self._high + 1, step)
        ]
