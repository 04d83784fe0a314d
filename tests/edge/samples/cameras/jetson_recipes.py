"""The recipes for a Jetson with this machine's elements in the places of NVIDIA's.

Tests what a recipe itself says (order, caps, sizes, links); not what NVIDIA's elements do.
"""

from __future__ import annotations

from collections.abc import Sequence

from edge.runtime.sources.gstreamer.pipelines import Recipe

STAND_INS = {
    "nvarguscamerasrc sensor-id={number}": "videotestsrc is-live=true",
    "v4l2src device={device} io-mode=2": "videotestsrc is-live=true ! jpegenc",
    "(memory:NVMM)": "",
    "nvvidconv": "videoconvert",
    "nvjpegdec": "jpegdec",
    "nvv4l2decoder": "jpegdec",
}


def on_this_machine(recipes: Sequence[Recipe]) -> tuple[Recipe, ...]:
    """The same recipes with stand-ins."""
    replaced = []
    for recipe in recipes:
        text = recipe.text
        for element, stand_in in STAND_INS.items():
            text = text.replace(element, stand_in)
        replaced.append(Recipe(text))
    return tuple(replaced)
