"""Imports OpenCV where it is needed, refusing with a remedy, or with its log off."""

from __future__ import annotations

import os
from typing import Any

from edge.install import pip_install
from firmware_bridge.errors import Missing

_LOG_NOTHING = 0
"""OpenCV's LOG_LEVEL_SILENT, which is not named in every version."""


def import_opencv(what: str) -> Any:
    """The module `cv2`; `what` names in the refusal what needs it.

    Raises:
        Missing: it is not installed.
    """
    try:
        import cv2
    except ImportError as error:
        raise Missing(
            f"{what} need OpenCV",
            expected="the package cv2",
            found=str(error),
            remedy=f"{pip_install('camera')} (on a Jetson: the OpenCV that JetPack brings)",
        ) from error
    return cv2


def quiet_opencv() -> Any:
    """`cv2` with its log off; refusals and faults report failures instead. Raises as above."""
    # FFmpeg inside OpenCV reads only this variable, and only before its first use.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    cv2 = import_opencv("frames")
    # OpenCV 4.8, which JetPack brings, has no such module.
    logging = getattr(cv2.utils, "logging", cv2)
    logging.setLogLevel(_LOG_NOTHING)
    return cv2
