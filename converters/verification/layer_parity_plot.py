"""Draws the signal to noise of every layer along the network, as a PNG."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from converters.verification.layer_parity import Layer, worst_first

NAMED = 5
"""How many of the worst layers the picture names."""


def layers_plot(layers: Sequence[Layer], *, title: str) -> bytes:
    """Signal to noise over the place in the network; layers equal in every bit are left out."""
    drawn = [
        layer
        for layer in layers
        if layer.difference.snr_db is not None and math.isfinite(layer.difference.snr_db)
    ]
    figure = Figure(figsize=(9.0, 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot(
        [layer.place for layer in drawn],
        [layer.difference.snr_db or 0.0 for layer in drawn],
        ".-",
        linewidth=0.8,
        markersize=4,
    )
    for layer in worst_first(drawn)[:NAMED]:
        axes.annotate(
            layer.tensor,
            (layer.place, layer.difference.snr_db or 0.0),
            fontsize=7,
            xytext=(0, -9),
            textcoords="offset points",
            ha="center",
        )
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_xlabel("layer, in the order of the network")
    axes.set_ylabel("signal to noise, dB")
    axes.grid(visible=True, alpha=0.3)
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=110, metadata={"Software": None})
    return out.getvalue()
