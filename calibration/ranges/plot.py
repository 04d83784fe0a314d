"""Plots ranges over the histograms that they are from, and how they became stable.

In: ranges and their observation. Out: an SVG or PNG file.
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
"""Octaves shown below the largest value of all tensors; no INT8 step is smaller."""

CURVE_IN = 1.6
"""Height of the curve, inches."""

ROW_IN = 0.14
"""Height of a tensor's row, inches."""


def plot(ranges: Ranges, observation: Observation, path: Path) -> None:
    """Draws the magnitudes of every tensor (log2), its range and its extreme, and above them the
    moves of the ranges by number of frames.

    Raises:
        UsageError: `path` is neither SVG nor PNG, or `ranges` are not from `observation`.
    """
    if path.suffix not in SUFFIXES:
        raise UsageError(
            f"cannot draw {path}",
            expected=f"a name that ends in {' or '.join(SUFFIXES)}",
            found=path.suffix or "no suffix",
            remedy="choose another name",
        )
    if (observation.subject.model, tuple(sorted(observation.frames))) != (
        ranges.model,
        ranges.frames,
    ):
        raise UsageError(
            "these ranges were not taken from this observation",
            expected=f"model {ranges.model}, {len(ranges.frames)} frames",
            found=f"model {observation.subject.model}, {len(observation.frames)} frames",
            remedy="take both again: brakepoint calibrate MISSION --out DIR",
        )
    names = [
        name for name in observation.subject.tensors if observation.histograms[name].amax > 0.0
    ]
    top = int(
        np.ceil(np.log2(max((observation.histograms[name].amax for name in names), default=1.0)))
    )
    octaves = np.arange(top - BELOW_TOP, top)
    shares = np.array([_by_octave(observation, name, octaves) for name in names])
    rows_in = 1.5 + ROW_IN * max(len(names), 4)
    figure = Figure(figsize=(8.0, CURVE_IN + rows_in), layout="constrained")
    above, axes = figure.subplots(2, height_ratios=[CURVE_IN, rows_in])
    _draw_curve(above, observation)
    if names:
        axes.imshow(
            shares,
            aspect="auto",
            cmap="Greys",
            extent=(octaves[0], octaves[-1] + 1, len(names) - 0.5, -0.5),
        )
    rows = np.arange(len(names))
    amax = np.log2([ranges.tensors[name].amax for name in names])
    extreme = np.log2([observation.histograms[name].amax for name in names])
    axes.scatter(amax, rows, s=9, marker="|", color="#c03020", label=f"range ({ranges.method})")
    axes.scatter(extreme, rows, s=5, marker="x", color="#2060a0", label="largest value")
    axes.set_yticks(rows, names, fontsize=5)
    axes.set_xlabel("log2 of the magnitude; darker: more of the tensor's values")
    above.set_title(f"{len(names)} tensors, {len(ranges.frames)} frames")
    axes.legend(loc="lower left", fontsize=7)
    # No date and no random names, so that the same ranges give the same file.
    with replacing(path) as temporary, mpl.rc_context({"svg.hashsalt": ranges.model}):
        figure.savefig(temporary, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else {})


def _draw_curve(axes: Axes, observation: Observation) -> None:
    moves = [(frames, move) for frames, move, _ in curve_of(observation.steps) if move is not None]
    axes.plot(*zip(*moves, strict=True) if moves else ((), ()), marker="o", color="#2060a0")
    axes.axhline(SETTLED, color="#808080", linestyle="--", linewidth=0.8)
    axes.set_ylim(bottom=0.0)
    axes.set_ylabel("largest move", fontsize=7)
    axes.set_xlabel(f"frames; ranges stand still below {SETTLED:g}", fontsize=7)
    axes.tick_params(labelsize=6)


def _by_octave(observation: Observation, name: str, octaves: np.ndarray) -> np.ndarray:
    """The square root, which shows small ones, of each octave's share of the nonzero magnitudes."""
    counts = observation.histograms[name].counts[: EDGES.size - 1].astype(np.float64)
    counts[0] = 0.0
    found: np.ndarray = np.histogram(
        np.log2(np.maximum(EDGES[:-1], 1e-45)), np.append(octaves, octaves[-1] + 1), weights=counts
    )[0]
    shares: np.ndarray = np.sqrt(found / max(counts.sum(), 1.0))
    return shares
