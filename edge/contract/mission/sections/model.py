"""`[model]`: where the network comes from, its input, and how its outputs are read.

The schema, and its form as specs for the device: `edge/perception/preprocess.py` prepares the
input; `decode.py`, `classification.py` and `segmentation.py` there read the outputs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr

from edge.contract.mission.sections.field_types import (
    MOST_LABELS,
    Factory,
    File,
    Name,
    Number,
    Share,
    Strict,
    Whole,
)
from edge.perception.classification import HeadSpec
from edge.perception.decode import DecodeSpec, NetworkSpec
from edge.perception.preprocess import PreprocessSpec
from edge.perception.segmentation import MaskSpec
from edge.perception.work_limits import MOST_DETECTIONS

Stride = Annotated[Whole, Field(ge=1, le=1024)]
Side = Annotated[Whole, Field(ge=1, le=8192)]
Batch = Annotated[Whole, Field(ge=1, le=1024)]
Mean = Annotated[Number, Field(ge=-65_536.0, le=65_536.0)]
Deviation = Annotated[Number, Field(ge=1e-3, le=65_536.0)]


class Input(Strict):
    """Size of the network input.

    batch: the least, usual and largest number of pictures in one inference; one without this key.
        Calibration and gates use single pictures (docs/sources.md).
    """

    width_px: Side
    height_px: Side
    batch: tuple[Batch, Batch, Batch] | None = None


class Preprocess(Strict):
    """How a camera picture becomes the network input (see `edge.perception.preprocess`)."""

    fit: Literal["letterbox", "stretch"]
    anchor: Literal["top_left", "center"] = "center"
    pad_value: Annotated[Whole, Field(ge=0, le=255)] = 114
    color: Literal["bgr", "rgb"]
    mean: tuple[Mean, Mean, Mean] = (0.0, 0.0, 0.0)
    std: tuple[Deviation, Deviation, Deviation] = (1.0, 1.0, 1.0)


class Decode(Strict):
    """How the main output is read (see `edge.perception.decode`).

    "yolox", "roadnet" and "fastestdet" are detectors and need strides (the last exactly one) and
    iou_threshold; "classify" reads logits, takes neither, and a highest softmax share below
    score_threshold is Unknown. "segment" reads logits of each pixel at one stride (1 where the
    output is as large as the input); a frame in which no pixel reaches score_threshold is Unknown.

    output: of a segmentation network with several outputs, the one that is meant: its name in an
        ONNX file, its key or its place (from 0) in what a PyTorch network returns.
    """

    kind: Literal["yolox", "roadnet", "fastestdet", "classify", "segment"]
    output: Name | None = None
    strides: Annotated[tuple[Stride, ...], Field(max_length=16)] = ()
    score_threshold: Share
    iou_threshold: Share | None = None
    max_detections: Annotated[Whole, Field(ge=1, le=MOST_DETECTIONS)] = 100


class Condition(Strict):
    """The second head: logits over conditions of the whole frame, such as a wet road.

    A highest softmax share below score_threshold leaves the condition not known.
    """

    labels: Annotated[tuple[Name, ...], Field(min_length=2, max_length=MOST_LABELS)]
    score_threshold: Share


class Model(Strict):
    """Where the network comes from and what its inputs and outputs mean.

    Either `file` (ONNX, TorchScript or a torch.export program) or `factory` ("module:function" of
    what is installed or lies beside the mission's file,
    called with the number of labels, and with the number of conditions where there is a second
    head) with `weights`, or without where it brings its own. `labels` is a list, or the name of a
    text file with one label a line.
    """

    file: File | None = None
    factory: Factory | None = None
    weights: File | None = None
    labels: Annotated[tuple[Name, ...], Field(min_length=1, max_length=MOST_LABELS)]
    input: Input
    preprocess: Preprocess
    decode: Decode
    condition: Condition | None = None
    _folder: Path | None = PrivateAttr(default=None)

    def model_post_init(self, context: Any, /) -> None:
        """Store the folder of the mission's file, which `load_mission` passes as context."""
        self._folder = None if context is None else context.get("folder")

    @property
    def folder(self) -> Path | None:
        """The folder of the mission's file, where a factory's module may lie; None where the
        mission was not read from a file."""
        return self._folder

    @property
    def head_sizes(self) -> tuple[int, ...]:
        """How many labels each output tells apart: what a factory is called with."""
        second = () if self.condition is None else (len(self.condition.labels),)
        return (len(self.labels), *second)

    @property
    def preprocess_spec(self) -> PreprocessSpec:
        """The preprocess as plain numbers."""
        given = self.preprocess
        return PreprocessSpec(
            width_px=self.input.width_px,
            height_px=self.input.height_px,
            fit=given.fit,
            anchor=given.anchor,
            pad_value=given.pad_value,
            color=given.color,
            mean=given.mean,
            std=given.std,
        )

    @property
    def network_spec(self) -> NetworkSpec:
        """The outputs and how they are read, as plain numbers."""
        second = self.condition
        condition = None if second is None else HeadSpec(second.labels, second.score_threshold)
        return NetworkSpec(self._main_spec(), condition)

    def _main_spec(self) -> DecodeSpec | HeadSpec | MaskSpec:
        given = self.decode
        if given.kind == "classify":
            return HeadSpec(self.labels, given.score_threshold)
        if given.kind == "segment":
            (stride,) = given.strides  # the mission's checks require exactly one
            return MaskSpec(self.labels, stride, given.score_threshold, given.output)
        assert given.iou_threshold is not None  # the mission's own checks refuse a detector without
        return DecodeSpec(
            kind=given.kind,
            strides=given.strides,
            classes=len(self.labels),
            score_threshold=given.score_threshold,
            iou_threshold=given.iou_threshold,
            max_detections=given.max_detections,
        )
