"""The pipelines of known cameras, as data, and what of a pipeline may be shown.

In: which camera, and the mission's [camera]. Out: `Recipe`s. A recipe whose elements are not all
installed is passed over for the next of its kind, so that a Jetson decodes by its own hardware.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from edge.contract.mission.sections.device import Camera
from edge.contract.urls import text_without_secrets
from edge.runtime.sources.camera import declared_rate
from edge.runtime.sources.gstreamer.library import SINK

TO_BGR = (
    " ! videoconvert ! video/x-raw,format=BGR ! "
    f"appsink name={SINK} sync=false drop=true max-buffers=1 enable-last-sample=false"
)
"""The end of every pipeline: the newest picture in the byte order of the loop, none kept."""


@dataclass(frozen=True)
class Recipe:
    """A pipeline up to raw pictures in ordinary memory.

    Attributes:
        text: in the syntax of gst-launch-1.0, with the places {device}, {number}, {width},
            {height}, {rate} and {location}.
        needs: elements that are not installed everywhere.
    """

    text: str
    needs: tuple[str, ...] = ()


PIPELINES: Mapping[str, tuple[Recipe, ...]] = {
    # A camera at a Jetson's CSI connector, through its image signal processor.
    "csi": (
        Recipe(
            "nvarguscamerasrc sensor-id={number} ! video/x-raw(memory:NVMM),format=NV12,"
            "width={width},height={height},framerate={rate} ! "
            "nvvidconv ! video/x-raw,format=BGRx",
            ("nvarguscamerasrc", "nvvidconv"),
        ),
    ),
    # A USB camera that compresses, decoded by a Jetson's JPEG engine.
    "nvjpeg": (
        Recipe(
            "v4l2src device={device} io-mode=2 ! "
            "image/jpeg,width={width},height={height},framerate={rate} ! "
            "nvjpegdec ! video/x-raw",
            ("v4l2src", "nvjpegdec"),
        ),
    ),
    # A network camera. Over TCP, since a lost datagram damages every picture up to the next
    # key frame; 100 ms for what comes out of order, of which nothing is spent on what does not.
    "rtsp": (
        Recipe(
            "rtspsrc location={location} protocols=tcp latency=100 ! "
            "parsebin ! nvv4l2decoder ! nvvidconv ! video/x-raw,format=BGRx",
            ("rtspsrc", "parsebin", "nvv4l2decoder", "nvvidconv"),
        ),
        Recipe(
            "rtspsrc location={location} protocols=tcp latency=100 ! decodebin",
            ("rtspsrc", "decodebin"),
        ),
    ),
}
"""Kind of source -> its recipes, the best first. docs/cameras.md shows them."""


def fill(recipes: Iterable[Recipe], camera: Camera, **places: str | int) -> tuple[Recipe, ...]:
    """The recipes with their places filled and the end that every pipeline has."""
    rate = declared_rate(camera.fps)
    values = {name: quoted(str(value)) for name, value in places.items()}
    values |= {"width": str(camera.width_px), "height": str(camera.height_px)}
    values["rate"] = f"{rate.numerator}/{rate.denominator}"
    return tuple(Recipe(one.text.format(**values) + TO_BGR, one.needs) for one in recipes)


def quoted(value: str) -> str:
    """A value as gst-launch-1.0 reads it, whatever characters it has."""
    if re.fullmatch(r"[\w./:-]+", value, re.ASCII):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


SHOWN = frozenset(
    (
        *("bitrate", "device", "do-timestamp", "flip-method", "format", "framerate", "height"),
        *("io-mode", "is-live", "latency", "location", "max-buffers", "mjpeg", "name"),
        *("num-buffers", "pattern", "port", "protocols", "rate", "sensor-id", "sensor-mode"),
        *("uri", "wbmode", "width"),
    )
)
"""Properties and caps whose values may be shown, those of URLs without secrets. Which others hold
passwords cannot be listed."""

_VALUE = re.compile(r"""([\w-]+)\s*=\s*("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[^\s!,;]+)""")


def shown(text: str) -> str:
    """A pipeline as it may be printed: the values of unknown properties are left out."""
    return text_without_secrets(_VALUE.sub(_shown_value, text))


def hidden_values(text: str) -> tuple[str, ...]:
    """The values that `shown` leaves out, to be removed from GStreamer's messages too."""
    found = (match for match in _VALUE.finditer(text) if match[1].lower() not in SHOWN)
    return tuple(_bare(match[2]) for match in found)


def _shown_value(found: re.Match[str]) -> str:
    return found[0] if found[1].lower() in SHOWN else f"{found[1]}=..."


def _bare(value: str) -> str:
    if value[0] in "\"'" and value[-1] == value[0]:
        return re.sub(r"\\(.)", r"\1", value[1:-1])
    return value
