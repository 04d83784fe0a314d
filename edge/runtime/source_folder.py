"""A folder of pictures, in order of name, paced as a camera of the mission's frame rate.

Every picture is looked at when the folder is opened, so that a bad one stops the run before it
begins. Never skips one silently.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edge.contract.perception import Frame
from edge.runtime.clock import Clock
from edge.runtime.sources import BadFrame, Pace, Pause, Reading, SourceEnd, SourceInfo, quiet_opencv
from firmware_bridge.errors import Missing

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")

# A decoder fills the rest of a picture that was cut short with grey and calls it read; these
# formats end in a mark, so that a missing end is seen. Cameras append a little after JPEG's.
_END_MARKS = {".jpg": b"\xff\xd9", ".jpeg": b"\xff\xd9", ".png": b"IEND\xaeB`\x82"}
_TAIL_BYTES = 4096


class FolderSource:
    """All pictures of one folder, not of those below it."""

    def __init__(self, folder: Path, *, fps: float, clock: Clock) -> None:
        self._cv2 = quiet_opencv()
        self._paths = _pictures(folder)
        bad = [p.name for p in self._paths if not _looks_whole(self._cv2, p)]
        if bad:
            more = f" and {len(bad) - 5} more" if len(bad) > 5 else ""
            raise Missing(
                f"{len(bad)} of {len(self._paths)} pictures in {folder} cannot be read",
                expected="whole picture files",
                found=", ".join(bad[:5]) + more,
                remedy="copy them again or take them out of the folder",
            )
        self.info = SourceInfo(given=str(folder), kind="folder", fps=fps, frames=len(self._paths))
        self._pace = Pace(fps, clock)
        self._index = 0

    def read(self, pause: Pause) -> Reading:
        """The next picture at its due time, stamped with it."""
        while self._index < len(self._paths) and self._pace.missed(self._index):
            self._index += 1
        if self._index == len(self._paths):
            return SourceEnd()
        index, path = self._index, self._paths[self._index]
        self._index += 1
        image = self._cv2.imread(str(path), self._cv2.IMREAD_COLOR)
        if image is None:
            return BadFrame(f"{path.name} cannot be read")
        self._pace.wait(index, pause)
        return Frame(np.asarray(image, np.uint8), self._pace.due_ns(index), "video", index)

    def close(self) -> None:
        """Nothing is held open."""


def _pictures(folder: Path) -> list[Path]:
    try:
        paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)
    except OSError as error:
        raise Missing(
            f"cannot read the folder {folder}",
            expected="a folder of pictures",
            found=error.strerror or str(error),
            remedy="correct its permissions, or correct --source",
        ) from error
    if not paths:
        raise Missing(
            f"no picture in {folder}",
            expected=f"at least one file of {' '.join(SUFFIXES)}",
            found="none",
            remedy="correct --source: pictures lie in the folder itself, not in folders below it",
        )
    return paths


def _looks_whole(cv2: Any, path: Path) -> bool:
    """True when a decoder knows the file by its start and, where it has one, its end is there."""
    try:
        with path.open("rb") as stream:
            stream.seek(-min(_TAIL_BYTES, path.stat().st_size), 2)
            tail = stream.read()
    except OSError:
        return False  # the caller names it among those that cannot be read
    return _END_MARKS.get(path.suffix.lower(), b"") in tail and bool(cv2.haveImageReader(str(path)))
