"""A picture of ranges over the histograms they were taken from, and how they came to rest.

Draws what is there; computes no range.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from calibration.observation.observation import Observation
from calibration.observation.sampling import SETTLED, curve_of
from calibration.ranges.methods.cumulative_histogram import EDGES
from calibration.ranges.ranges import Ranges
from edge.contract.artifact import replacing
from firmware_bridge.errors import UsageError

SUFFIXES = (".svg", ".png")

BELOW_TOP = 16
"""Octaves shown below the largest value of all: INT8 steps of nothing lie deeper."""

CURVE_IN = 1.6
"""Height of the curve, inches."""

ROW_IN = 0.14
"""Height of a tensor's row, inches."""


def plot(ranges: Ranges, seen: Observation, path: Path) -> None:
    """Draws into `path` every tensor's magnitudes (log2), its range and its extreme, and above
    them how far the ranges still moved the more frames were in.

    Raises:
        UsageError: `path` is neither SVG nor PNG, or `seen` is not what `ranges` were taken from.
    """
    if path.suffix not in SUFFIXES:
        raise UsageError(
            f"cannot draw {path}",
            expected=f"a name that ends in {' or '.join(SUFFIXES)}",
            found=path.suffix or "no suffix",
            remedy="choose another name",
        )
    if (seen.subject.model, tuple(sorted(seen.frames))) != (ranges.model, ranges.frames):
        raise UsageError(
            "these ranges were not taken from this observation",
            expected=f"model {ranges.model}, {len(ranges.frames)} frames",
            found=f"model {seen.subject.model}, {len(seen.frames)} frames",
            remedy="take both again: brakepoint calibrate MISSION --out DIR",
        )
    names = [name for name in seen.subject.tensors if seen.histograms[name].amax > 0.0]
    top = int(np.ceil(np.log2(max((seen.histograms[name].amax for name in names), default=1.0))))
    octaves = np.arange(top - BELOW_TOP, top)
    shares = np.array([_by_octave(seen, name, octaves) for name in names])
    rows_in = 1.5 + ROW_IN * max(len(names), 4)
    figure = Figure(figsize=(8.0, CURVE_IN + rows_in), layout="constrained")
    above, axes = figure.subplots(2, height_ratios=[CURVE_IN, rows_in])
    _draw_curve(above, seen)
    if names:
        axes.imshow(
            shares,
            aspect="auto",
            cmap="Greys",
            extent=(octaves[0], octaves[-1] + 1, len(names) - 0.5, -0.5),
        )
    rows = np.arange(len(names))
    amax = np.log2([ranges.tensors[name].amax for name in names])
    extreme = np.log2([seen.histograms[name].amax for name in names])
    axes.scatter(amax, rows, s=9, marker="|", color="#c03020", label=f"range ({ranges.method})")
    axes.scatter(extreme, rows, s=5, marker="x", color="#2060a0", label="largest value")
    axes.set_yticks(rows, names, fontsize=5)
    axes.set_xlabel("log2 of the magnitude; darker: more of the tensor's values")
    above.set_title(f"{len(names)} tensors, {len(ranges.frames)} frames")
    axes.legend(loc="lower left", fontsize=7)
    # The same ranges give the same file: no date, no random names.
    with replacing(path) as temporary, mpl.rc_context({"svg.hashsalt": ranges.model}):
        figure.savefig(temporary, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else {})


def _draw_curve(axes: Axes, seen: Observation) -> None:
    moves = [(frames, move) for frames, move, _ in curve_of(seen.steps) if move is not None]
    axes.plot(*zip(*moves, strict=True) if moves else ((), ()), marker="o", color="#2060a0")
    axes.axhline(SETTLED, color="#808080", linestyle="--", linewidth=0.8)
    axes.set_ylim(bottom=0.0)
    axes.set_ylabel("largest move", fontsize=7)
    axes.set_xlabel(f"frames; ranges stand still below {SETTLED:g}", fontsize=7)
    axes.tick_params(labelsize=6)


def _by_octave(seen: Observation, name: str, octaves: np.ndarray) -> np.ndarray:
    """Share of the tensor's nonzero magnitudes in each octave, to the power 1/2 to show the few."""
    counts = seen.histograms[name].counts[: EDGES.size - 1].astype(np.float64)
    counts[0] = 0.0
    found: np.ndarray = np.histogram(
        np.log2(np.maximum(EDGES[:-1], 1e-45)), np.append(octaves, octaves[-1] + 1), weights=counts
    )[0]
    shares: np.ndarray = np.sqrt(found / max(counts.sum(), 1.0))
    return shares
