"""The schema of `mission.toml`: the contract that every stage reads.

Values and their types only; rules that span keys are in `cross_checks.py`, policy in `rules.py`,
reading files, `--set` and messages in `loading.py`. Unknown keys are refused everywhere. Lengths
in metres, speeds in m/s, times in milliseconds, pictures in pixels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from edge.contract.classify import HeadSpec
from edge.contract.cross_checks import cross_mistakes
from edge.contract.decode import DecodeSpec, NetworkSpec
from edge.contract.preprocess import PreprocessSpec
from edge.contract.rules import Policy, Strict

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0.0)]
Factory = Annotated[str, StringConstraints(pattern=r"^[\w.]+:\w+$")]
Triple = tuple[float, float, float]

Corruption = Literal[
    "fog",
    "rain",
    "snow",
    "dark",
    "glare",
    "gaussian_noise",
    "motion_blur",
    "defocus",
    "jpeg",
    "low_contrast",
]

MAX_VALID_FOR_MS = 300
"""The longest time-to-live a command may ask for; the microcontroller clips to the same."""


class Purpose(Strict):
    """The machine-learning canvas: why this model may touch a vehicle."""

    task: Text
    decision: Text
    value: Text
    harm: Text
    feedback: Text


class Input(Strict):
    """Size of the network input.

    batch: the least, usual and largest number of pictures that an engine takes at once; without it
        one. Everything is calibrated and judged on single pictures (docs/sources.md).
    """

    width_px: Positive
    height_px: Positive
    batch: tuple[Positive, Positive, Positive] | None = None


class Preprocess(Strict):
    """How a camera picture becomes that input (see `edge.contract.preprocess`)."""

    fit: Literal["letterbox", "stretch"]
    anchor: Literal["top_left", "center"] = "center"
    pad_value: Annotated[int, Field(ge=0, le=255)] = 114
    color: Literal["bgr", "rgb"]
    mean: Triple = (0.0, 0.0, 0.0)
    std: Triple = (1.0, 1.0, 1.0)


class Decode(Strict):
    """How the main output is read (see `edge.contract.decode`).

    "yolox", "roadnet" and "fastestdet" are detectors and need strides (the last exactly one) and
    iou_threshold; "classify" reads logits, takes neither, and a highest softmax share below
    score_threshold is Unknown.
    """

    kind: Literal["yolox", "roadnet", "fastestdet", "classify"]
    strides: tuple[Positive, ...] = ()
    score_threshold: Share
    iou_threshold: Share | None = None
    max_detections: Positive = 100


class Condition(Strict):
    """The second head: logits over conditions of the whole frame, such as a wet road.

    A highest softmax share below score_threshold leaves the condition not known.
    """

    labels: Annotated[tuple[Text, ...], Field(min_length=2)]
    score_threshold: Share


class Model(Strict):
    """Where the network comes from and what its numbers mean.

    Either `file` (ONNX, TorchScript or a torch.export program) or `factory` ("module:function",
    called with the number of labels, and with the number of conditions where there is a second
    head) with `weights`, or without where it brings its own. `labels` is a list, or the name of a
    text file with one label a line.
    """

    file: Path | None = None
    factory: Factory | None = None
    weights: Path | None = None
    labels: Annotated[tuple[Text, ...], Field(min_length=1)]
    input: Input
    preprocess: Preprocess
    decode: Decode
    condition: Condition | None = None

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

    def _main_spec(self) -> DecodeSpec | HeadSpec:
        given = self.decode
        if given.kind == "classify":
            return HeadSpec(self.labels, given.score_threshold)
        assert given.iou_threshold is not None  # the mission's own checks refuse a detector without
        return DecodeSpec(
            kind=given.kind,
            strides=given.strides,
            classes=len(self.labels),
            score_threshold=given.score_threshold,
            iou_threshold=given.iou_threshold,
            max_detections=given.max_detections,
        )


class FurtherFrames(Strict):
    """One more folder of pictures, beside `data.root`.

    `name` stands before the names of its frames and groups, so that folders may hold the same ones.
    `weather`, `light` and `road` are of every frame that its table says nothing else of; the rest
    is as in `Data`.
    """

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]*$")]
    root: Path
    table: str | None = None
    group: str | None = None
    lock: Path | None = None
    weather: Literal["clear", "cloudy", "rain", "fog", "snow"] | None = None
    light: Literal["day", "dusk", "night", "tunnel", "glare"] | None = None
    road: Literal["city", "rural", "highway"] | None = None


class Data(Strict):
    """Road frames for calibration and for the held-back judgement.

    kind "images": the pictures under `root`; with `table` (a CSV in `root` whose first column is
    the file name) and `group` (one of its columns, for example drive) whole groups are held back.
    kind "scenes": generated ones. kind "arrays": the labelled pictures of `train.npz` and `val.npz`
    in `root` (see docs/training.md). `lock` is the dataset.lock.json that `root` must agree with,
    `split` the dataset.split.json that says which of its records may be fitted on and which judge.
    `also` are further folders of "images": a network that is to work in fog must see fog.
    """

    kind: Literal["images", "scenes", "arrays"]
    root: Path | None = None
    table: str | None = None
    group: str | None = None
    lock: Path | None = None
    split: Path | None = None
    also: tuple[FurtherFrames, ...] = ()
    seed: int = 0


class Calibration(Strict):
    """How ranges are taken: the most frames looked at, frames held back to judge INT8, the method.

    `method` "max" takes the largest magnitude seen; "percentile" the smallest that covers
    `percentile` percent of the values; "entropy" loses the least information; "mse" has the least
    mean square error; "auto" takes for each tensor the one of these that measures best.
    """

    frames: Annotated[int, Field(ge=8)] = 64
    held_back: Annotated[int, Field(ge=4)] = 32
    method: Literal["max", "percentile", "entropy", "mse", "auto"] = "percentile"
    percentile: Annotated[float, Field(gt=90.0, le=100.0)] = 99.99


class Precision(Strict):
    """What the converter writes.

    opset: 18 unless the target is TensorRT 8.6 (17).
    search: "mixed" leaves those layers in float that cost the answer most, as few multiplications
        as it takes; "none" quantizes all that the rules allow.
    damage_max: what the search aims at: mean change of an answer on the search frames, 0..2
        (docs/conversion.md).
    macs_int8_min: least share of the multiplications that the search must leave in INT8.
    search_frames: calibration frames that it looks at.
    """

    opset: Annotated[int, Field(ge=17, le=21)] = 18
    search: Literal["mixed", "none"] = "mixed"
    damage_max: Annotated[float, Field(gt=0.0, le=2.0)] = 0.04
    macs_int8_min: Share = 0.85
    search_frames: Annotated[int, Field(ge=4)] = 32


class Gates(Strict):
    """Limits that fail a conversion. A gate that is not given is reported as not gated.

    parity_max_abs: largest difference between the source model and float.onnx, over all outputs.
    found_min: least share of float's detections with score >= 0.3 that int8.onnx and cpu.onnx,
        each on its own, find at IoU 0.5 with the same label on held-back frames; for a classifier
        the least share of those frames in which its likeliest label is float's.
    condition_agree_min: the same share for the likeliest label of the condition head.
    size_max_mb: largest int8.onnx, in 10^6 bytes.
    macs_int8_min: least share of the multiplications that int8.onnx makes in INT8.
    infer_p99_max_ms: longest inference of cpu.onnx, 99th percentile on the machine that converts;
        "budget" for budget.infer_ms.

    The others ask for labels, of int8.onnx and cpu.onnx each; without any they fail. A detector's
    score is AP50, a classifier's accuracy, that of one class recall.

    accuracy_min: least score of all.
    accuracy_drop_max: so much may float.onnx be better.
    worst_condition_min: least score in any condition that the data set tells.
    class_accuracy_min: least score by label.
    condition_accuracy_min: the same by condition, such as "fog".
    labelled: a labelled data set, or its lock, to judge on; without it the mission's own held-back
        frames.
    """

    parity_max_abs: PositiveFloat = 1e-3
    found_min: Share | None = None
    condition_agree_min: Share | None = None
    size_max_mb: PositiveFloat | None = None
    macs_int8_min: Share | None = None
    infer_p99_max_ms: PositiveFloat | Literal["budget"] | None = None
    accuracy_min: Share | None = None
    accuracy_drop_max: Share | None = None
    worst_condition_min: Share | None = None
    class_accuracy_min: dict[Text, Share] = Field(default_factory=dict)
    condition_accuracy_min: dict[Text, Share] = Field(default_factory=dict)
    labelled: Path | None = None


class Budget(Strict):
    """Milliseconds allowed for each stage and from capture to bytes written."""

    grab_ms: PositiveFloat
    preprocess_ms: PositiveFloat
    infer_ms: PositiveFloat
    decode_ms: PositiveFloat
    track_ms: PositiveFloat
    decide_ms: PositiveFloat
    send_ms: PositiveFloat
    end_to_end_ms: PositiveFloat

    def stage_ms(self, stage: str) -> float:
        """The budget of one of STAGES."""
        value: float = getattr(self, f"{stage}_ms")
        return value


class Camera(Strict):
    """What the camera delivers, and the speed assumed while the true one is unknown."""

    width_px: Positive
    height_px: Positive
    fps: PositiveFloat
    assumed_speed_mps: PositiveFloat


class LinkSettings(Strict):
    """The serial link. `port` is a device path, or "emulated" for the firmware as a process."""

    port: Text = "emulated"
    baud: Positive = 115200
    rate_hz: Annotated[float, Field(ge=20.0, le=200.0)] = 50.0
    valid_for_ms: Annotated[int, Field(ge=50, le=MAX_VALID_FOR_MS)] = 250
    acknowledge_within_ms: Annotated[int, Field(ge=10, le=1000)] = 100


class Target(Strict):
    """Where the model runs.

    dla: the network is cut behind the last operator that a DLA takes, and `engine build --dla`
        builds the body (docs/engine.md).
    """

    dla: bool = False
    backend: Literal["onnxruntime"] = "onnxruntime"
    threads: Positive = 2


class Train(Strict):
    """How `brakepoint train` fits the factory's network (see docs/training.md).

    scenes, validation_scenes: for generated scenes only; other data bring their own split.
    augment: strength of what is done to training pictures, 0: nothing.
    corruptions: half of them meet one of these, slight to medium (see docs/data.md).
    mirror: half of them mirrored; never where left and right differ in meaning, as on signs.
    class_weights: "balanced" gives rare labels more say.
    draw: "balanced" shows every label (of a scene, every road condition) equally often.
    patience: stop after so many judgements without a better one, on training examples that are
        held out for it; judged every `judge_every` steps.
    search: factories that `--search` may choose from, beside the mission's own.
    """

    steps: Positive
    batch: Positive
    learning_rate: PositiveFloat
    scenes: Positive | None = None
    validation_scenes: Positive | None = None
    seed: Annotated[int, Field(ge=0)] = 0
    augment: Share = 0.5
    corruptions: tuple[Corruption, ...] = ()
    mirror: bool = False
    class_weights: Literal["balanced", "none"] = "balanced"
    draw: Literal["shuffled", "balanced"] = "shuffled"
    checkpoint_every: Positive = 100
    judge_every: Positive = 100
    patience: Positive | None = None
    search: tuple[Factory, ...] = ()


class Finetune(Strict):
    """How `finetune` fits the weights to INT8.

    steps, batch: steps of Adam, and frames in each; one cycle of the learning rate.
    learning_rate: about how far a step moves a weight, as a share of its tensor's root mean square;
        shortened where the watched frames show no gain.
    frames: the most frames that are looked at, those of the ranges first; none is held back.
    judge_every: steps between looks at the watched frames; the best weights are kept.
    """

    steps: Positive = 200
    batch: Positive = 4
    learning_rate: Annotated[float, Field(gt=0.0, le=0.1)] = 0.001
    seed: Annotated[int, Field(ge=0)] = 0
    frames: Annotated[int, Field(ge=8)] = 512
    judge_every: Positive = 20
    checkpoint_every: Positive = 20


class Tracking(Strict):
    """Where runs are mirrored, beside their records (see docs/runs.md).

    mlflow: a SQLite file that MLflow reads and this program writes; needs the extra `tracking`.
    """

    mlflow: Path | None = None


class Mission(Strict):
    """One mission file, checked, with paths resolved."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]*$")]
    purpose: Purpose
    model: Model
    data: Data
    calibration: Calibration = Calibration()
    precision: Precision = Precision()
    gates: Gates = Gates()
    budget: Budget
    camera: Camera
    policy: Policy
    link: LinkSettings = LinkSettings()
    target: Target = Target()
    train: Train | None = None
    finetune: Finetune = Finetune()
    tracking: Tracking = Tracking()

    @model_validator(mode="after")
    def _fits_together(self) -> Mission:
        mistakes = cross_mistakes(self.model_dump())
        if mistakes:
            raise ValueError("; ".join(f"{key}: {text}" for key, text in mistakes))
        return self
