"""`[data]`: the road frames on which a mission calibrates and is judged.

The schema only; `calibration/dataset` reads the frames.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from edge.contract.mission.sections.field_types import File, Name, Seed, Slug, Strict, Url, Whole


class FurtherFrames(Strict):
    """One more folder of pictures, beside `data.root`.

    `name` stands before the names of its frames and groups, so that folders may hold the same ones.
    `weather`, `light` and `road` are of every frame that its table says nothing else of; the rest
    is as in `Data`.
    """

    name: Slug
    root: File
    table: Name | None = None
    group: Name | None = None
    lock: File | None = None
    weather: Literal["clear", "cloudy", "rain", "fog", "snow"] | None = None
    light: Literal["day", "dusk", "night", "tunnel", "glare"] | None = None
    road: Literal["city", "rural", "highway"] | None = None


class Clip(Strict):
    """A clip in which the truth of each frame is known: on it the report counts stops.

    Either `video`, a file, and `truth`, the file that tells what is in its frames
    (`brakepoint.scene_truth/1`); or `story`, one of those that `brakepoint scenes` draws, with the
    rest as that verb has it.
    """

    video: File | None = None
    truth: File | None = None
    story: Slug | None = None
    seed: Annotated[Whole, Field(ge=0, le=999)] = 0
    weather: Literal["clear", "cloudy", "rain", "fog", "snow"] | None = None
    light: Literal["day", "dusk", "night", "tunnel", "glare"] | None = None
    road: Literal["city", "rural", "highway"] | None = None


class Data(Strict):
    """Road frames for calibration and for the held-back judgement.

    kind "images": the pictures under `root`; with `table` (a CSV in `root` that names them in a
    column `file`, or in the first) and `group` (another of its columns, for example drive) whole
    groups are held back.
    Instead of `root`, `url` names pictures that fsspec reads: a bucket, an archive (docs/data.md).
    kind "scenes": generated ones. kind "arrays": the labelled pictures of `train.npz` and `val.npz`
    in `root` (see docs/training.md). `lock` is the dataset.lock.json that `root` must agree with,
    `split` the dataset.split.json that says which of its records may be fitted on and which judge.
    `also` are further folders of "images": a network that is to work in fog must see fog.
    `clips` are for the report alone: would the vehicle have stopped, and how often for nothing.
    """

    kind: Literal["images", "scenes", "arrays"]
    root: File | None = None
    url: Url | None = None
    table: Name | None = None
    group: Name | None = None
    lock: File | None = None
    split: File | None = None
    also: Annotated[tuple[FurtherFrames, ...], Field(max_length=256)] = ()
    clips: Annotated[tuple[Clip, ...], Field(max_length=64)] = ()
    seed: Seed = 0

    @property
    def location(self) -> str:
        """Where the pictures lie: the path of `root`, or `url`."""
        assert self.root is not None or self.url is not None  # the mission's own checks demand one
        return str(self.root) if self.url is None else self.url
