"""Reads the pictures of a folder in natural order of their names, paced as a camera of the
mission's frame rate.

In: a folder. Out: its pictures as frames. Opening the folder checks the header of every picture, so
that a bad one stops the run before it begins; what only decoding shows is a fault of that frame.
Never skips a bad picture silently.
"""

from __future__ import annotations

from pathlib import Path

from edge.perception.opencv import quiet_opencv
from edge.perception.pictures.decode import checked_header, decode_image
from edge.perception.pictures.files import SUFFIXES, files_below
from edge.perception.pictures.header import UnreadablePicture
from edge.perception.pixel_formats import Picture
from edge.perception.values import Frame
from edge.runtime.clock import Clock
from edge.runtime.sources.source import BadFrame, Pace, Pause, Reading, SourceEnd, SourceInfo
from firmware_bridge.errors import Missing


class FolderSource:
    """All pictures of one folder, without those of folders below it.

    Raises:
        Missing: the folder cannot be read or holds no picture, or a picture has a bad header.
    """

    def __init__(self, folder: Path, *, fps: float, clock: Clock) -> None:
        quiet_opencv()
        self._paths = _pictures(folder)
        faults = {p.name: fault for p in self._paths if (fault := _fault(p))}
        if bad := list(faults):
            more = f" and {len(bad) - 5} more" if len(bad) > 5 else ""
            raise Missing(
                f"{len(bad)} of {len(self._paths)} pictures in {folder} cannot be read; the first: "
                f"{faults[bad[0]]}",
                expected="whole picture files",
                found=", ".join(bad[:5]) + more,
                remedy="copy them again or take them out of the folder",
            )
        self.info = SourceInfo(given=str(folder), kind="folder", fps=fps, frames=len(self._paths))
        self._fps = fps
        self._pace = Pace(round(1e9 / fps), clock)
        self._index = 0

    def read(self, pause: Pause) -> Reading:
        """The next picture at its due time, stamped with it."""
        while self._index < len(self._paths) and self._pace.missed(self._time_ns):
            self._index += 1
        if self._index == len(self._paths):
            return SourceEnd(frames=self._index)
        index, path, time_ns = self._index, self._paths[self._index], self._time_ns
        self._index += 1
        try:
            image = decode_image(path.read_bytes())
        except OSError as error:
            return BadFrame(f"{path.name}: {error.strerror or error}", index)
        except UnreadablePicture as error:
            return BadFrame(f"{path.name}: {error}", index)
        return Frame(Picture(image), self._pace.wait(time_ns, pause), "video", index, time_ns, 0)

    def close(self) -> None:
        """Does nothing: no file stays open."""

    @property
    def _time_ns(self) -> int:
        return round(self._index * 1e9 / self._fps)


def _pictures(folder: Path) -> list[Path]:
    try:
        paths = [folder / name for name in files_below(folder, deep=False, pictures_only=True)]
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


def _fault(path: Path) -> str:
    """What is wrong with a picture file by its header; "" where it is good."""
    try:
        checked_header(path.read_bytes())
    except OSError as error:
        return error.strerror or str(error)
    except UnreadablePicture as error:
        return str(error)
    return ""
