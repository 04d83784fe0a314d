"""GStreamer's errors as refusals: one table from its kind and number to what a person can do.

In: an error's kind and number, its words without secrets, the camera as it may be shown. Out: the
refusal, with these words. An error without a row gets that of its domain, or the general one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edge.runtime.sources.gstreamer.library import LIBRARY
from firmware_bridge.errors import DeviceFault, Missing, Refusal, UsageError

_PARSE, _RESOURCE = "gst_parse_error", "gst-resource-error-quark"
_CORE, _STREAM = "gst-core-error-quark", "gst-stream-error-quark"


@dataclass(frozen=True)
class ErrorKind:
    """One row: which refusal, and its sentences; {camera} stands for the camera."""

    refusal: type[Refusal]
    what: str
    expected: str
    remedy: str


_MISTAKE = ErrorKind(
    UsageError,
    "the pipeline has a mistake: {camera}",
    "a pipeline as gst-launch-1.0 takes it, without a sink, that ends in raw pictures",
    "try it as `gst-launch-1.0 PIPELINE ! fakesink`; gst-inspect-1.0 NAME shows an element's "
    "properties; pictures in NVMM memory need ` ! nvvidconv ! video/x-raw` at the end",
)
_NO_PLUGIN = ErrorKind(
    Missing,
    "GStreamer lacks a plug-in for {camera}",
    "an installed plug-in",
    "install it: apt-get install gstreamer1.0-plugins-good gstreamer1.0-libav (H.264 and H.265); "
    "on a Jetson: apt-get install nvidia-l4t-gstreamer",
)
_UNREACHABLE = ErrorKind(
    DeviceFault,
    "{camera} cannot be opened",
    "a camera that answers",
    "check cable, power and address; of a network camera, that this machine reaches its port",
)
_BUSY = ErrorKind(
    DeviceFault,
    "{camera} is in use",
    "a camera that no other program holds",
    "end the other program; of a CSI camera: sudo systemctl restart nvargus-daemon",
)

ERRORS: Mapping[tuple[str, int], ErrorKind] = {
    (LIBRARY, 0): ErrorKind(
        Missing,
        "{camera} needs GStreamer",
        "the libraries of GStreamer 1.10 or newer and its usual plug-ins",
        "apt-get install gstreamer1.0-plugins-base gstreamer1.0-plugins-good "
        "(H.264 and H.265 also: gstreamer1.0-libav)",
    ),
    (_RESOURCE, 3): ErrorKind(
        DeviceFault,
        "there is nothing at {camera}",
        "a camera at this address",
        "correct --source: the path of a network camera stands in its manual, the number of a "
        "CSI camera counts from 0",
    ),
    (_RESOURCE, 4): _BUSY,
    (_RESOURCE, 15): ErrorKind(
        DeviceFault,
        "{camera} refuses the user or the password",
        "a user and a password that the camera knows",
        "correct --source 'rtsp://USER:PASSWORD@HOST/PATH'; in both write @ as %40, : as %3A, "
        "/ as %2F and % as %25",
    ),
    (_CORE, 12): _NO_PLUGIN,
    (_STREAM, 6): _NO_PLUGIN,
}
"""GStreamer's domain and code -> row."""

OTHER: Mapping[str, ErrorKind] = {_PARSE: _MISTAKE, _RESOURCE: _UNREACHABLE}
"""Domain -> row of its other codes."""

ANY_OTHER = ErrorKind(
    DeviceFault,
    "{camera} gives no pictures",
    "pictures of the mission's size and rate",
    "see that the camera can do [camera]'s size and rate; on a Jetson, if all cameras fail: "
    "sudo systemctl restart nvargus-daemon",
)


def refusal_of(domain: str, code: int, words: str, *, camera: str, own: bool) -> Refusal:
    """The refusal of an error; `own`: the pipeline is one of PIPELINES, whose text is no mistake
    of the user's."""
    row = ERRORS.get((domain, code), OTHER.get(domain, ANY_OTHER))
    if row is _MISTAKE and own:
        row = _NO_PLUGIN
    return row.refusal(
        row.what.format(camera=camera), expected=row.expected, found=words, remedy=row.remedy
    )
