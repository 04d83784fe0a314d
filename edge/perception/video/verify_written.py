"""Reads back a video that OpenCV wrote, since its encoder reports no failure, not even a full disk.

Never writes and never removes a file.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge.perception.opencv import quiet_opencv
from edge.perception.values import BgrImage
from edge.perception.video.container import container_facts
from firmware_bridge.errors import DeviceFault

_BRIGHTNESS_OFF_MOST = 12.0
"""Tolerated mean difference of the last frame's samples, 0..255: coding is lossy."""


def verify_written(written: Path, path: Path, *, total: int, last: BgrImage) -> None:
    """Require `total` frames, the last like `last`, in the file `written` that will become `path`.

    Raises:
        DeviceFault: the file is missing, truncated, or has other frames.
    """
    cv2 = quiet_opencv()
    size = written.stat().st_size if written.exists() else 0
    reader = cv2.VideoCapture(str(written), cv2.CAP_FFMPEG)
    count = int(reader.get(cv2.CAP_PROP_FRAME_COUNT)) if reader.isOpened() else 0
    reader.set(cv2.CAP_PROP_POS_FRAMES, total - 1)
    good, image = reader.read()
    reader.release()
    same = good and abs(float(np.mean(image)) - float(np.mean(last))) < _BRIGHTNESS_OFF_MOST
    if count != total or not same or container_facts(written).cut:
        raise DeviceFault(
            f"the clip {path} was not written whole",
            expected=f"{total} frames that can be read back",
            found=f"{count} frames, {size} bytes",
            remedy="free space in that folder, or choose another one",
        )
