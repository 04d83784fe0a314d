"""Finds a chessboard's inner corners in the pictures of a folder.

In: a folder and the board. Out: `Boards`: the corners in each picture that shows the whole board,
and the reason for each that does not count. Never guesses a corner.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.perception.opencv import import_opencv
from edge.perception.pictures.decode import decode_image
from edge.perception.pictures.files import files_below
from edge.perception.pictures.header import UnreadablePicture
from firmware_bridge.errors import Missing, UsageError

LEAST_PICTURES = 8
"""Fewer do not fix focal lengths, principal point and distortion."""

MOST_PICTURES = 500


@dataclass(frozen=True)
class Board:
    """Inner corners across and down (where four squares meet), and the side of a square."""

    across: int
    down: int
    square_mm: float

    @property
    def points(self) -> NDArray[np.float32]:
        """(across * down, 3): the corners on the board, in mm."""
        grid = np.zeros((self.across * self.down, 3), np.float32)
        grid[:, :2] = np.mgrid[: self.across, : self.down].T.reshape(-1, 2) * self.square_mm
        return grid


@dataclass(frozen=True)
class Boards:
    """What a folder shows.

    Attributes:
        size_px: width and height of its pictures.
        names: of the pictures that show the board.
        corners: (across * down, 2) float32 of each, in pixels, centres of pixels being whole.
        left_out: name and reason of each other picture.
    """

    board: Board
    size_px: tuple[int, int]
    names: tuple[str, ...]
    corners: tuple[NDArray[np.float32], ...]
    left_out: tuple[tuple[str, str], ...]


def find_boards(folder: Path, board: Board) -> Boards:
    """Looks for the board in every picture of a folder.

    Raises:
        Missing: no such folder, or no picture in it.
        UsageError: pictures of several sizes, or too few that show the board.
    """
    cv2 = import_opencv("chessboards")
    names = _pictures(folder)
    size_px: tuple[int, int] | None = None
    found: dict[str, NDArray[np.float32]] = {}
    left_out: list[tuple[str, str]] = []
    for name in names:
        try:
            picture = decode_image((folder / name).read_bytes())
        except (UnreadablePicture, OSError) as error:
            left_out.append((name, f"cannot be read: {error}"))
            continue
        size = picture.shape[1], picture.shape[0]
        if size_px is not None and size != size_px:
            raise _several_sizes(folder, size_px, name, size)
        size_px = size
        grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
        corners = _corners(cv2, grey, board)
        if corners is not None:
            found[name] = corners
        else:
            left_out.append((name, "the whole board was not found"))
    if size_px is None or len(found) < LEAST_PICTURES:
        raise _too_few(folder, board, found=len(found), of=len(names))
    return Boards(board, size_px, tuple(found), tuple(found.values()), tuple(left_out))


def _corners(cv2: Any, grey: NDArray[np.uint8], board: Board) -> NDArray[np.float32] | None:
    """The board's corners to a fraction of a pixel; None where the whole board is not found."""
    how = cv2.CALIB_CB_ADAPTIVE_THRESH | cv2.CALIB_CB_NORMALIZE_IMAGE
    shown, corners = cv2.findChessboardCorners(grey, (board.across, board.down), flags=how)
    if not shown:
        return None
    corners = np.asarray(corners, np.float32).reshape(board.down, board.across, 2)
    # The search window must not reach the next corner.
    steps = (
        np.linalg.norm(np.diff(corners, axis=1), axis=2),
        np.linalg.norm(np.diff(corners, axis=0), axis=2),
    )
    reach = int(np.clip(min(step.min() for step in steps) / 3.0, 2, 11))
    ends = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_COUNT, 50, 1e-4)
    fine = cv2.cornerSubPix(grey, corners.reshape(-1, 1, 2), (reach, reach), (-1, -1), ends)
    return np.asarray(fine, np.float32).reshape(-1, 2)


def _pictures(folder: Path) -> list[str]:
    if not folder.is_dir():
        raise Missing(
            f"there is no folder {folder}",
            expected="a folder with pictures of a chessboard",
            found="a file" if folder.exists() else "nothing",
            remedy="take 15 to 30 pictures of the board with this camera into one folder",
        )
    names = list(files_below(folder, deep=False, pictures_only=True))
    if not names or len(names) > MOST_PICTURES:
        raise Missing(
            f"{folder} has no set of chessboard pictures",
            expected=f"{LEAST_PICTURES} to {MOST_PICTURES} pictures",
            found=str(len(names)),
            remedy="take 15 to 30 pictures of the board with this camera into one folder",
        )
    return names


def _several_sizes(
    folder: Path, size_px: tuple[int, int], name: str, other: tuple[int, int]
) -> UsageError:
    return UsageError(
        f"the pictures in {folder} have several sizes",
        expected=f"{size_px[0]} x {size_px[1]} pixels, as the first one",
        found=f"{name} of {other[0]} x {other[1]}",
        remedy="take all pictures with the camera and the mode of the mission",
    )


def _too_few(folder: Path, board: Board, *, found: int, of: int) -> UsageError:
    remedy = "take more pictures: the whole board in each, sharp, near and far, tilted, in corners"
    if not found:
        remedy = "count the inner corners, where four squares meet, and give them with --board"
    return UsageError(
        f"too few pictures in {folder} show the board",
        expected=f"{LEAST_PICTURES} or more with {board.across} x {board.down} inner corners",
        found=f"{found} of {of}",
        remedy=remedy,
    )
