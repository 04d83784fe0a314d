"""Verbs `camera calibrate` and `camera pitch`: a camera's intrinsics from pictures of a chessboard,
and how far it looks down from pictures of a straight road."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from edge.commands.options import JsonOption
from edge.contract.artifact import write_atomic
from edge.contract.mission.loading import small_text
from edge.perception.opencv import quiet_opencv
from edge.perception.pictures.decode import decode_image
from edge.perception.pictures.files import files_below
from edge.perception.pictures.header import UnreadablePicture
from edge.perception.values import BgrImage
from edge.qualification.lens.chessboards import Board, Boards, find_boards
from edge.qualification.lens.intrinsics import Intrinsics, intrinsics_of
from edge.qualification.lens.residual_picture import residual_picture
from edge.qualification.lens.vanishing_point import pitch_of
from edge.terminal import echo
from firmware_bridge.errors import Missing, NotTrusted, UsageError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SCHEMA = "brakepoint.camera/1"
PITCH_SCHEMA = "brakepoint.camera-pitch/1"
_SIDES = range(3, 41)


def calibrate(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="pictures of the chessboard")],
    *,
    board: Annotated[
        str, typer.Option("--board", metavar="9x6", help="its inner corners, across x down")
    ],
    square_mm: Annotated[
        float, typer.Option("--square-mm", min=1.0, max=1000.0, help="side of one square")
    ] = 25.0,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="write the section there")
    ] = None,
    picture: Annotated[
        Path | None, typer.Option("--picture", metavar="FILE", help="draw the residuals (.png)")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compute a camera's intrinsics from pictures of a chessboard, as a section to paste."""
    quiet_opencv()
    boards = find_boards(folder, _board(board, square_mm))
    found = intrinsics_of(boards)
    section = section_of(found)
    if picture is not None:
        write_atomic(picture, residual_picture(boards, found))
        echo(f"wrote {picture}", error=True)
    if out is not None:
        write_atomic(out, section.encode())
        echo(f"wrote {out}", error=True)
    for name, why in boards.left_out:
        echo(f"left out {name}: {why}", error=True)
    if as_json:
        echo(json.dumps(_payload(boards, found), indent=1))
    elif out is None:
        echo(section)


def _board(text: str, square_mm: float) -> Board:
    match = re.fullmatch(r"(\d{1,2})x(\d{1,2})", text)
    across, down = (int(side) for side in match.groups()) if match else (0, 0)
    if across not in _SIDES or down not in _SIDES:
        raise UsageError(
            f"--board {text} is no chessboard",
            expected="inner corners across and down, 3 to 40, as 9x6",
            found=text,
            remedy="count where four squares meet: a board of 10 x 7 squares is 9x6",
        )
    return Board(across, down, square_mm)


def section_of(found: Intrinsics) -> str:
    """`[camera.geometry]` with what was measured; how it is mounted is left to a person."""
    lens = ", ".join(f"{value:.6g}" for value in found.distortion)
    fx, fy, cx, cy = found.deviations_px
    return "\n".join(
        [
            "[camera.geometry]",
            f"width_px = {found.size_px[0]}",
            f"height_px = {found.size_px[1]}",
            f"fx_px = {found.fx_px:.3f}  # +- {fx:.3f}",
            f"fy_px = {found.fy_px:.3f}  # +- {fy:.3f}",
            f"cx_px = {found.cx_px:.3f}  # +- {cx:.3f}",
            f"cy_px = {found.cy_px:.3f}  # +- {cy:.3f}",
            f"distortion = [{lens}]  # reprojection error {found.rms_px:.3f} px",
            "# Measure these on the vehicle: docs/distance.md",
            "# height_m = 1.3",
            "# pitch_deg = 0.0",
            "# to_bumper_m = 1.5",
            "# height_error_m = 0.02",
            "# pitch_error_deg = 0.5",
            "# foot_error_px = 1.5",
            "# foot_error_share = 0.03",
            "",
        ]
    )


def _payload(boards: Boards, found: Intrinsics) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "width_px": found.size_px[0],
        "height_px": found.size_px[1],
        "fx_px": found.fx_px,
        "fy_px": found.fy_px,
        "cx_px": found.cx_px,
        "cy_px": found.cy_px,
        "distortion": list(found.distortion),
        "deviations_px": dict(zip(("fx", "fy", "cx", "cy"), found.deviations_px, strict=True)),
        "rms_px": found.rms_px,
        "tilt_deg": round(found.tilt_deg, 2),
        "coverage": round(found.coverage, 3),
        "pictures": [
            {"name": name, "rms_px": float(np.sqrt((off**2).sum(axis=1).mean()))}
            for name, off in zip(boards.names, found.residuals, strict=True)
        ],
        "left_out": [{"name": name, "why": why} for name, why in boards.left_out],
    }


def pitch(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="pictures of a straight road")],
    *,
    camera: Annotated[
        Path, typer.Option("--camera", metavar="FILE", help="the section of `camera calibrate`")
    ],
    as_json: JsonOption = False,
) -> None:
    """Compute a camera's pitch from pictures of a straight, level road."""
    quiet_opencv()
    size_px, matrix, lens = _read_camera(camera)
    names = list(files_below(folder, deep=False, pictures_only=True)) if folder.is_dir() else []
    if not names:
        raise Missing(
            f"{folder} has no pictures",
            expected="a folder with pictures of a straight, level road",
            found="nothing",
            remedy="take them with the camera as it is mounted, while driving",
        )
    pictures = (_of_size(folder / name, size_px) for name in names)
    found = pitch_of(pictures, matrix=matrix, distortion=lens)
    if as_json:
        echo(json.dumps({"schema": PITCH_SCHEMA, **found.__dict__}, indent=1))
        return
    echo(f"pitch_deg = {found.pitch_deg:.2f}  # {found.used} of {found.of} pictures")
    echo(f"# they differ by {found.deviation_deg:.2f} degrees: pitch_error_deg is no less")


def _of_size(path: Path, size_px: tuple[int, int]) -> BgrImage:
    try:
        picture = decode_image(path.read_bytes())
    except UnreadablePicture as error:
        raise NotTrusted(
            f"{path} cannot be read", expected="a picture", found=str(error), remedy="remove it"
        ) from error
    size = picture.shape[1], picture.shape[0]
    if size != size_px:
        raise UsageError(
            f"{path} is of another camera than the intrinsics",
            expected=f"{size_px[0]} x {size_px[1]} pixels",
            found=f"{size[0]} x {size[1]}",
            remedy="calibrate this camera in this mode: brakepoint camera calibrate",
        )
    return picture


def _read_camera(path: Path) -> tuple[tuple[int, int], NDArray[np.float64], tuple[float, ...]]:
    """Size, matrix and distortion of the section that `camera calibrate` writes."""
    try:
        given = tomllib.loads(small_text(path))["camera"]["geometry"]
        size = int(given["width_px"]), int(given["height_px"])
        fx, fy, cx, cy = (float(given[f"{key}_px"]) for key in ("fx", "fy", "cx", "cy"))
        lens = tuple(float(value) for value in given["distortion"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(
            f"{path} has no intrinsics",
            expected="[camera.geometry], as `brakepoint camera calibrate --out FILE` writes it",
            found=f"{type(error).__name__}: {error}",
            remedy="brakepoint camera calibrate FOLDER --board 9x6 --out camera.toml",
        ) from error
    return size, np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]]), lens
