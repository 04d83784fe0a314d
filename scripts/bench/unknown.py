"""Measures how well pictures of another kind are told from those of the calibrated kind.

Fits a calibration profile for RoadNet and YOLOX-nano, and scores frames that were held back beside
noise, blocked, inverted, other-domain and night pictures. Prints the area under the ROC curve
beside those of maximum softmax and energy, and the share of frames that would be Unknown. Exit code
1 where a figure falls short.

usage: scripts/bench/unknown.py --roadnet FILE [--data FOLDER] [--json FILE]

FILE is float.onnx or cpu.onnx of a conversion of examples/roadnet.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from figures import exit_code, parser_of, write_figures
from rich.console import Console
from rich.table import Table
from sklearn.metrics import roc_auc_score

from calibration.dataset.frames.images import image_frames
from edge.backends.onnxruntime_backend import OnnxruntimeSession
from edge.backends.options import SessionOptions
from edge.contract.mission.loading import load_mission
from edge.perception.conditions import Conditions
from edge.perception.decode import DecodeSpec, boxes_and_scores
from edge.perception.pixel_formats import Picture
from edge.perception.preprocess import preprocess
from edge.perception.values import BgrImage, Floats
from edge.runtime.health.features import features
from edge.runtime.health.profile import Profile, fit
from edge.runtime.health.sample import sample
from edge.scenes.still import DATA_SET, seed_of, still

ROOT = Path(__file__).parents[2]
FIT, HELD_BACK, OTHERS = 160, 120, 60
AUROC_MIN, NIGHT_MIN, FALSE_MAX = 0.95, 0.85, 0.01
MASKED_SHARE = 0.5


@dataclass(frozen=True)
class Scored:
    """One picture by three detectors of the unusual; larger is more unusual.

    Attributes:
        features: for a profile.
        softmax: less the largest score of any label.
        energy: less the largest joint energy of a cell (Wang et al. 2021, arXiv:2111.12797).
    """

    features: Floats
    softmax: float
    energy: float


@dataclass(frozen=True)
class Row:
    """One line of the table: `unknown` is the share of these frames above the profile's limit."""

    network: str
    calibrated_on: str
    pictures: str
    frames: int
    auroc: float | None
    softmax: float | None
    energy: float | None
    unknown: float
    short: tuple[str, ...]


class Detector:
    """A network of an example's mission on this machine."""

    def __init__(self, name: str, path: Path) -> None:
        mission = load_mission(ROOT / "examples" / name / "mission.toml")
        self.name = name
        self._model = mission.model
        self._session = OnnxruntimeSession(path, options=SessionOptions(threads=2))

    def score(self, image: BgrImage) -> Scored:
        """One picture by this network."""
        spec, input_spec = self._model.network_spec, self._model.preprocess_spec
        assert isinstance(spec.main, DecodeSpec)
        outputs = self._session.infer(preprocess(image, input_spec)[0])
        size = (input_spec.width_px, input_spec.height_px)
        _, scores = boxes_and_scores(outputs[0], spec.main, *size)
        shares = np.clip(scores, 1e-7, 1.0 - 1e-7)
        # log(1 + exp(logit)) of a share is -log(1 - share)
        energy = -np.log1p(-shares.astype(np.float64)).sum(axis=1)
        found = features(outputs, spec, sample(Picture(image)))
        return Scored(np.array(found), -float(scores.max()), -float(energy.max()))


def main() -> int:
    parser = parser_of(__doc__)
    parser.add_argument("--roadnet", type=Path, required=True, help="float.onnx or cpu.onnx")
    arguments = parser.parse_args()
    drives = [
        frame.read()
        for frame in image_frames(arguments.data / "road_scenes", table="labels.csv", group="drive")
    ]
    day = _scenes(0, FIT + HELD_BACK, "day")
    night = _scenes(1, OTHERS, "night")
    fog = [
        frame.read()
        for frame in image_frames(arguments.data / "fog_traffic" / "images", table=None, group=None)
    ]
    rows: list[Row] = []
    for network in (
        Detector("roadnet", arguments.roadnet),
        Detector("yolox_nano", arguments.data / "detectors" / "yolox_nano.onnx"),
    ):
        other = {"other domain: real roads": drives[::4], "night": night}
        rows += _judge(network, "scenes by day", day[:FIT], day[FIT:], other)
    fitted = [one for row, one in enumerate(drives) if row % 4 != 3]
    held = drives[3::4]
    other = {"other domain: scenes": day[:OTHERS], "other domain: fog of another camera": fog}
    rows += _judge(network, "real drives", fitted, held, other)
    _show(rows)
    figures = [asdict(row) for row in rows]
    write_figures(figures, arguments.json)
    return exit_code(figures, named="pictures")


def _scenes(seed: int, count: int, light: str) -> list[BgrImage]:
    conditions = Conditions("clear", light, None)
    return [
        still(seed_of(DATA_SET, seed * 100_000 + row), conditions=conditions).image
        for row in range(count)
    ]


RANDOM = np.random.default_rng(0)


def _noise(image: BgrImage) -> BgrImage:
    return RANDOM.integers(0, 256, image.shape, dtype=np.uint8)


def _blocked(image: BgrImage) -> BgrImage:
    """Half of the width covered by something dark that is out of focus."""
    width = image.shape[1]
    left = int(RANDOM.uniform(0.0, 1.0 - MASKED_SHARE) * width)
    cover: Floats = np.zeros(image.shape[:2], np.float32)
    cover[:, left : left + int(MASKED_SHARE * width)] = 1.0
    cover = np.asarray(cv2.GaussianBlur(cover, (0, 0), width / 60.0), np.float32)[:, :, None]
    grey = RANDOM.integers(5, 60)
    return np.asarray(image * (1.0 - cover) + grey * cover, np.uint8)


def _inverted(image: BgrImage) -> BgrImage:
    return 255 - image


SPOILED: dict[str, Callable[[BgrImage], BgrImage]] = {
    "noise": _noise,
    "blocked": _blocked,
    "inverted": _inverted,
}


def _judge(
    network: Detector,
    calibrated_on: str,
    fitted: Sequence[BgrImage],
    held_back: Sequence[BgrImage],
    others: Mapping[str, Sequence[BgrImage]],
) -> list[Row]:
    """The rows of one profile: held-back frames first."""
    profile = fit(np.stack([[network.score(image).features] for image in fitted]))
    usual = [network.score(image) for image in held_back]
    unknown = _share_unknown(profile, usual)
    short = (f"{unknown:.3f} of held-back frames Unknown",) if unknown >= FALSE_MAX else ()
    given: dict[str, Sequence[BgrImage]] = {
        name: [spoil(image) for image in held_back[:OTHERS]] for name, spoil in SPOILED.items()
    }
    named = (network.name, calibrated_on)
    rows = [Row(*named, "held back", len(usual), None, None, None, unknown, short)]
    for pictures, images in {**given, **others}.items():
        odd = [network.score(image) for image in images]
        auroc, softmax, energy = (
            _area([value(one) for one in usual], [value(one) for one in odd])
            for value in (partial(_unlike, profile), _softmax, _energy)
        )
        least = NIGHT_MIN if pictures == "night" else AUROC_MIN
        short = (f"AUROC {auroc:.3f}, wanted {least}",) if auroc < least else ()
        share = _share_unknown(profile, odd)
        rows.append(Row(*named, pictures, len(odd), auroc, softmax, energy, share, short))
    return rows


def _unlike(profile: Profile, one: Scored) -> float:
    return profile.score(one.features)


def _softmax(one: Scored) -> float:
    return one.softmax


def _energy(one: Scored) -> float:
    return one.energy


def _share_unknown(profile: Profile, frames: Sequence[Scored]) -> float:
    return float(np.mean([profile.score(one.features) >= profile.limit for one in frames]))


def _area(usual: Sequence[float], odd: Sequence[float]) -> float:
    truth = [0] * len(usual) + [1] * len(odd)
    return float(roc_auc_score(truth, [*usual, *odd]))


def _show(rows: Sequence[Row]) -> None:
    table = Table("network", "calibrated on", "pictures", title="out of distribution, AUROC")
    for column in ("profile", "max. softmax", "energy", "Unknown"):
        table.add_column(column, justify="right")
    for row in rows:
        areas: list[Any] = [row.auroc, row.softmax, row.energy]
        texts = ["" if area is None else f"{area:.3f}" for area in areas]
        table.add_row(row.network, row.calibrated_on, row.pictures, *texts, f"{row.unknown:.1%}")
    Console(width=120).print(table)


if __name__ == "__main__":
    sys.exit(main())
