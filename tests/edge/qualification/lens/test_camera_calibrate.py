"""`camera calibrate` on rendered chessboards of a known camera that distorts."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.cli import main
from edge.contract.mission.sections.geometry import Geometry
from edge.qualification.lens.chessboards import Board, Boards
from edge.qualification.lens.intrinsics import intrinsics_of
from firmware_bridge.errors import UsageError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SIZE = (480, 300)
TRUE = {"fx": 390.0, "fy": 393.0, "cx": 245.0, "cy": 146.0}
LENS = np.array([-0.25, 0.06, 0.001, -0.0007, 0.0])
MATRIX = np.array([[390.0, 0, 245.0], [0, 393.0, 146.0], [0, 0, 1.0]])
ACROSS, DOWN, SQUARE_MM = 9, 6, 25.0
FINE = 2  # rendered so many times finer each way


def _rays() -> NDArray[np.float64]:
    """Direction x, y at depth 1 of every fine pixel."""
    fine = np.meshgrid(np.arange(SIZE[0] * FINE), np.arange(SIZE[1] * FINE))
    places = np.stack([axis.ravel() for axis in fine], axis=1).astype(np.float64)
    points = (places + 0.5) / FINE - 0.5
    seen = (points - MATRIX[:2, 2]) / MATRIX[[0, 1], [0, 1]]
    k1, k2, p1, p2, _ = LENS
    rays: NDArray[np.float64] = seen.copy()
    for _ in range(12):
        x, y = rays[:, 0], rays[:, 1]
        square = x * x + y * y
        shift_x = 2.0 * p1 * x * y + p2 * (square + 2.0 * x * x)
        shift_y = p1 * (square + 2.0 * y * y) + 2.0 * p2 * x * y
        rays = (seen - np.stack([shift_x, shift_y], axis=1)) / (1.0 + square * (k1 + square * k2))[
            :, None
        ]
    return rays


RAYS = _rays()


def rendered(
    turn_deg: tuple[float, float, float], place_mm: tuple[float, float, float]
) -> NDArray[np.uint8]:
    """A picture of the board, its middle at `place_mm`, turned about x, y and z."""
    turn = np.eye(3)
    for axis, angle in enumerate(turn_deg):
        vector = np.zeros(3)
        vector[axis] = math.radians(angle)
        turn = cv2.Rodrigues(vector)[0] @ turn
    place = np.array(place_mm)
    rays = np.concatenate([RAYS, np.ones((len(RAYS), 1))], axis=1)
    depth = (turn[:, 2] @ place) / (rays @ turn[:, 2])
    on_board = (rays * depth[:, None] - place) @ turn[:, :2] / SQUARE_MM
    # Squares in units of their side; their edges run over one fine pixel, without steps.
    side = on_board + np.array([ACROSS + 1, DOWN + 1]) / 2.0
    inside = ((side >= 0.0) & (side <= [ACROSS + 1, DOWN + 1])).all(axis=1)
    edge = depth / (MATRIX[0, 0] * FINE * SQUARE_MM)
    wave = np.where(np.floor(side) % 2 == 0, 1.0, -1.0) * (0.5 - np.abs(side % 1.0 - 0.5))
    wave = np.clip(wave / edge[:, None], -1.0, 1.0)
    light = np.where(inside, 130.0 - 105.0 * wave[:, 0] * wave[:, 1], 235.0)
    light = light.reshape(SIZE[1], FINE, SIZE[0], FINE).mean(axis=(1, 3))
    noise = np.random.default_rng(round(sum(place_mm))).normal(0.0, 2.0, light.shape)
    grey = np.clip(cv2.GaussianBlur(light, (0, 0), 0.6) + noise, 0, 255).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


POSES = [
    ((tilt_x, tilt_y, turn), (x, y, z))
    for tilt_x, tilt_y, turn, x, y, z in (
        (0, 0, 0, 0, 0, 420),
        (28, 0, 5, -40, 20, 400),
        (-28, 0, -8, 60, -20, 420),
        (0, 32, 10, -70, -40, 440),
        (0, -32, -4, 70, 40, 440),
        (22, 22, 15, 100, -60, 520),
        (-22, 22, -12, -110, 60, 520),
        (22, -22, 3, 110, 60, 560),
        (-22, -22, 8, -110, -60, 560),
        (35, 10, -20, 0, 0, 380),
        (-35, -10, 20, 20, 10, 380),
        (10, 35, 0, -130, 30, 600),
    )
]


@pytest.fixture(scope="module")
def boards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("boards")
    for row, (turn, place) in enumerate(POSES):
        cv2.imwrite(str(folder / f"{row:02d}.png"), rendered(turn, place))
    return folder


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["camera", "calibrate", *map(str, arguments)])
    return int(ended.value.code or 0)


@pytest.mark.requirement("R-RUN-156")
def test_the_camera_that_took_the_pictures_is_found(
    boards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    section, picture = tmp_path / "camera.toml", tmp_path / "residuals.png"
    code = run(boards, "--board", "9x6", "--json", "--out", section, "--picture", picture)
    assert code == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["pictures"]) == len(POSES)
    for name, true in TRUE.items():
        bound = 0.005 * true if name in ("fx", "fy") else 1.0
        assert abs(found[f"{name}_px"] - true) < bound
        assert 0.0 < found["deviations_px"][name] < bound
    assert found["rms_px"] < 0.15
    assert max(one["rms_px"] for one in found["pictures"]) < 0.3
    shown = cv2.imread(str(picture))
    assert shown is not None
    assert shown.shape == (SIZE[1], SIZE[0], 3)
    mounted = section.read_text().replace("\n# ", "\n").replace("Measure", "# Measure")
    geometry = Geometry.model_validate(tomllib.loads(mounted)["camera"]["geometry"])
    assert geometry.fx_px == pytest.approx(found["fx_px"], abs=1e-3)
    # The lens as a whole: where it puts a point near the corner.
    far = np.array([[[0.55, 0.3, 1.0]]])
    zero = np.zeros(3)
    matrix = np.array(
        [[found["fx_px"], 0, found["cx_px"]], [0, found["fy_px"], found["cy_px"]], [0, 0, 1.0]]
    )
    true_px = cv2.projectPoints(far, zero, zero, MATRIX, LENS)[0]
    found_px = cv2.projectPoints(far, zero, zero, matrix, np.array(found["distortion"]))[0]
    assert np.abs(true_px - found_px).max() < 1.0


def copied(boards: Path, folder: Path, rows: range) -> Path:
    for row in rows:
        (folder / f"{row:02d}.png").write_bytes((boards / f"{row:02d}.png").read_bytes())
    return folder


@pytest.mark.requirement("R-RUN-157")
def test_boards_that_do_not_fix_a_camera_are_one_message(
    boards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few, alike, sizes, none = (tmp_path / name for name in ("few", "alike", "sizes", "none"))
    for folder in (few, alike, sizes, none):
        folder.mkdir()
    copied(boards, few, range(4))
    copied(boards, sizes, range(2))
    cv2.imwrite(str(sizes / "99.png"), np.zeros((200, 320, 3), np.uint8))
    for row in range(8):
        cv2.imwrite(
            str(alike / f"{row}.png"), rendered((0, 0, row), (2.0 * row, 0, 420.0 + 5.0 * row))
        )
    for arguments, code, words in (
        ((few, "--board", "9x6"), 2, "4 of 4"),
        ((few, "--board", "8x7"), 2, "count the inner corners"),
        ((alike, "--board", "9x6"), 2, "all alike"),
        ((sizes, "--board", "9x6"), 2, "several sizes"),
        ((none, "--board", "9x6"), 3, "no set of chessboard pictures"),
        ((tmp_path / "nowhere", "--board", "9x6"), 3, "no folder"),
        ((few, "--board", "nine"), 2, "is no chessboard"),
    ):
        assert run(*arguments) == code
        said = capsys.readouterr()
        assert words in said.err, said.err
        assert said.out == ""


def computed(noise_px: float, *, depth: float) -> Boards:
    """Corners as computed for the poses, `depth` times as far away, with noise."""
    random = np.random.default_rng(1)
    board = Board(ACROSS, DOWN, SQUARE_MM)
    corners = []
    for turn_deg, place in POSES:
        vector = np.radians(turn_deg)
        shift = np.array([place[0] * depth, place[1] * depth, place[2] * depth], np.float64)
        points = cv2.projectPoints(board.points, vector, shift, MATRIX, LENS)[0].reshape(-1, 2)
        corners.append((points + random.normal(0.0, noise_px, points.shape)).astype(np.float32))
    names = tuple(str(row) for row in range(len(POSES)))
    return Boards(board, SIZE, names, tuple(corners), ())


@pytest.mark.requirement("R-RUN-157")
def test_corners_that_leave_the_camera_open_are_refused() -> None:
    assert intrinsics_of(computed(0.05, depth=1.0)).fx_px == pytest.approx(390.0, rel=0.01)
    with pytest.raises(UsageError, match="do not fit one camera"):
        intrinsics_of(computed(3.0, depth=1.0))
    with pytest.raises(UsageError, match="do not fix the focal length"):
        intrinsics_of(computed(0.6, depth=8.0))
