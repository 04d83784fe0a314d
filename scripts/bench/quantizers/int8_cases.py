"""The cases of `int8.py`: networks, folds and limits, one table.

A fold is a mission, with the frames to calibrate and search on, and a source of other frames to
evaluate on. Quantizes nothing itself.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from child_process import ROOT

from calibration.dataset.frames.frame import RoadFrame
from calibration.evaluation.data.evaluation_set import choose_frames
from calibration.evaluation.data.labelled_frames import Picture, Source
from converters.conversion.frame_split import frames_to_split
from edge.contract.mission.loading import load_mission
from edge.scenes.world import SCENE_LABELS

EXAMPLES = ROOT / "examples"

SHORT_TRAINING = ("train.steps=60", "train.scenes=64")

ROAD_USERS = ("car", "person", "bus", "truck")


@dataclass(frozen=True)
class Settings:
    """The folders of data and of results, and whether a few frames are enough."""

    data: Path
    work: Path
    short: bool

    def weights(self, case: str) -> Path:
        """The file of a trained case's weights; a short training has its own."""
        return self.work / case / ("short.pt" if self.short else "weights.pt")


@dataclass(frozen=True)
class Fold:
    """One split of the frames: a mission that quantizes, and the frames to evaluate on."""

    mission: Path
    overrides: tuple[str, ...]
    source: Source


@dataclass(frozen=True)
class Limits:
    """The limits of int8.onnx; None: no limit.

    Attributes:
        loss_max: AP50 (mean of the case's labels) or accuracy below float's, 0..1.
        found_min: share of float's detections, or of frames with float's likeliest label.
        macs_int8_min: share of the multiplications.
        seconds_max, peak_mb_max: of the whole `convert`.
        cpu_faster_min: times that cpu.onnx is faster than float; found_min holds for it too then.
    """

    loss_max: float | None
    found_min: float | None
    macs_int8_min: float
    seconds_max: float | None = None
    peak_mb_max: float | None = None
    cpu_faster_min: float | None = None


@dataclass(frozen=True)
class Case:
    """A row of the table; `labels`: those whose AP50 counts, empty for a classifier."""

    name: str
    labels: tuple[str, ...]
    folds: Callable[[Settings], list[Fold]]
    limits: Limits


def half_of_fog(settings: Settings, half: int) -> Path:
    """A folder with every second picture of `fog_traffic`, beginning with number `half`, 0 or 1."""
    folder = settings.work / f"fog-half{half}"
    folder.mkdir(parents=True, exist_ok=True)
    pictures = sorted((settings.data / "fog_traffic" / "images").iterdir())
    for path in pictures[half::2]:
        if not (folder / path.name).exists():
            shutil.copyfile(path, folder / path.name)
    return folder


def in_fog(settings: Settings, own: tuple[str, ...]) -> list[Fold]:
    """Two folds: calibrate and search on `road_scenes` and one half of `fog_traffic`, evaluate on
    the other half."""
    mission = EXAMPLES / "yolox_nano" / "mission.toml"
    folds = []
    for half in (0, 1):
        also = f'{{name="fog", root="{half_of_fog(settings, half)}", weather="fog"}}'
        overrides = (
            *own,
            f"data.root={settings.data / 'road_scenes'}",
            f"data.also=[{also}]",
            f"calibration.frames={24 if settings.short else 96}",
            f"calibration.held_back={4 if settings.short else 8}",
            *(("precision.search_frames=6",) if settings.short else ()),
        )
        judged_by = load_mission(mission, overrides)
        fog = str(settings.data / "fog_traffic")
        source = choose_frames(
            judged_by, data=fog, split=None, scene_count=0, only=ROAD_USERS
        ).source
        others = sorted(source.examples, key=lambda one: one.name)[1 - half :: 2]
        rows = [source.examples.index(one) for one in others]
        folds.append(Fold(mission, overrides, source.only(rows[:12] if settings.short else rows)))
    return folds[:1] if settings.short else folds


def yolox_nano(settings: Settings) -> list[Fold]:
    """The example's own mission on real fog."""
    return in_fog(settings, (f"model.file={settings.data / 'detectors' / 'yolox_nano.onnx'}",))


def fastestdet(settings: Settings) -> list[Fold]:
    """Another detector under the same mission: 352 x 352, one level, stretched, pixels / 255."""
    return in_fog(
        settings,
        (
            f"model.file={settings.data / 'detectors' / 'FastestDet.onnx'}",
            "model.input={width_px=352, height_px=352}",
            'model.preprocess={fit="stretch", color="bgr", std=[255.0, 255.0, 255.0]}',
            "model.decode.kind=fastestdet",
            "model.decode.strides=[16]",
        ),
    )


def roadnet(settings: Settings) -> list[Fold]:
    """The detector that this project trains (here, where there are no weights yet), on generated
    scenes that neither training nor calibration draws."""
    mission = EXAMPLES / "roadnet" / "mission.toml"
    weights = settings.weights("roadnet")
    overrides = (f"model.weights={weights}", *SHORT_TRAINING[: 2 if settings.short else 0])
    train(mission, overrides, weights)
    judged_by = load_mission(mission, overrides)
    count = 24 if settings.short else 300
    source = choose_frames(judged_by, data=None, split=None, scene_count=count).source
    return [Fold(mission, overrides, source)]


@dataclass(frozen=True)
class Unlabelled:
    """Road frames without ground truth: only agreement with float can be measured."""

    examples: tuple[RoadFrame, ...]

    def only(self, rows: Sequence[int]) -> Unlabelled:
        """See `Source`."""
        return Unlabelled(tuple(self.examples[row] for row in rows))

    def pictures(self) -> Iterator[Picture]:
        """See `Source`."""
        for frame in self.examples:
            yield Picture(
                name=frame.name,
                group=frame.group,
                image=frame.read(),
                conditions=(),
                sha256=frame.digest(),
                truth=None,
                label=None,
                road=None,
            )


def efficientnet_lite0(settings: Settings) -> list[Fold]:
    """ImageNet's weights on road frames, evaluated on those of other drives."""
    mission = EXAMPLES / "efficientnet_lite0" / "mission.toml"
    overrides = (
        f"data.root={settings.data / 'road_scenes'}",
        *(("calibration.frames=16", "precision.search_frames=4") if settings.short else ()),
        *(("calibration.held_back=12",) if settings.short else ()),
    )
    held_back = frames_to_split(load_mission(mission, overrides)).held_back
    return [Fold(mission, overrides, Unlabelled(tuple(held_back)))]


def signs(settings: Settings) -> list[Fold]:
    """EfficientNet-Lite0 fine-tuned on traffic signs (here, where there are no weights yet),
    evaluated on other tracks."""
    mission = EXAMPLES / "signs" / "mission.toml"
    weights = settings.weights("signs")
    overrides = (
        f"data.root={settings.data / 'signs'}",
        f"model.weights={weights}",
        *(("train.steps=20", "precision.search_frames=4") if settings.short else ()),
    )
    train(mission, overrides, weights)
    source = choose_frames(
        load_mission(mission, overrides), data=None, split="val", scene_count=0
    ).source
    return [Fold(mission, overrides, source.only(range(0, 1000, 20)) if settings.short else source)]


def train(mission: Path, overrides: tuple[str, ...], weights: Path) -> None:
    """Trains the mission's network in a process of its own, unless its weights are there."""
    weights.parent.mkdir(parents=True, exist_ok=True)
    if not weights.exists():
        command = [sys.executable, "-m", "edge.cli", "train", str(mission)]
        sets = [part for one in overrides for part in ("--set", one)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        subprocess.run([*command, *sets], check=True, env=environment, stdout=sys.stderr)


CASES: dict[str, Case] = {
    case.name: case
    for case in (
        Case(
            "yolox_nano",
            ROAD_USERS,
            yolox_nano,
            Limits(0.010, 0.95, 0.85, seconds_max=360.0, peak_mb_max=1500.0),
        ),
        Case("fastestdet", ROAD_USERS, fastestdet, Limits(0.010, None, 0.85)),
        Case("roadnet", SCENE_LABELS, roadnet, Limits(0.010, None, 0.85)),
        Case(
            "efficientnet_lite0",
            (),
            efficientnet_lite0,
            Limits(None, 0.92, 0.90, cpu_faster_min=1.5),
        ),
        Case("signs", (), signs, Limits(0.003, None, 0.95)),
    )
}
