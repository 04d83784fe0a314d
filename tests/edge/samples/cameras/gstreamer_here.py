"""What of GStreamer this machine has: tests that need it skip where it is missing."""

from __future__ import annotations

import ctypes.util
from pathlib import Path

import pytest
from checkout import ROOT

PLUGINS = ("libgsttypefindfunctions.so", "libgstrtsp.so", "libgstjpeg.so")
"""Files of gstreamer1.0-plugins-base and -good."""

RTSP_SERVER = "libgstrtspserver-1.0.so.0"

_here = ctypes.util.find_library("gstapp-1.0") is not None and all(
    any(Path("/usr").glob(f"lib*/**/gstreamer-1.0/{name}")) for name in PLUGINS
)

needs_gstreamer = pytest.mark.skipif(
    not _here,
    reason="GStreamer is not installed: scripts/setup installs it where it runs as root",
)


def rtsp_library() -> str:
    """GStreamer's RTSP server: installed, or where scripts/setup unpacks it. Skips without it."""
    if ctypes.util.find_library("gstrtspserver-1.0") is not None:
        return RTSP_SERVER
    for found in (ROOT / "build" / "rtsp-server").glob(f"usr/lib/**/{RTSP_SERVER}"):
        return str(found)
    pytest.skip("no RTSP server here: scripts/setup brings one where it runs as root")
