"""`[calibration]`, `[precision]` and `[gates]`: how a network becomes INT8, and what that may cost.

The schema only; `converters/verification/gates/` measures and judges.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from edge.contract.mission.sections.device import Milliseconds
from edge.contract.mission.sections.field_types import (
    MOST_LABELS,
    Count,
    File,
    Name,
    Number,
    Share,
    Strict,
    Whole,
)


class Calibration(Strict):
    """How ranges are calibrated: the most frames, frames held back to judge INT8, the method.

    `method` "max" uses the largest magnitude; "percentile" the smallest that covers `percentile`
    percent of the values; "entropy" loses the least information; "mse" has the least mean square
    error; "auto" uses for each tensor the one of these that measures best.
    """

    frames: Annotated[Count, Field(ge=8)] = 64
    held_back: Annotated[Count, Field(ge=4)] = 32
    method: Literal["max", "percentile", "entropy", "mse", "auto"] = "percentile"
    percentile: Annotated[Number, Field(gt=90.0, le=100.0)] = 99.99


class Precision(Strict):
    """What the converter writes.

    opset: 18 unless the target is TensorRT 8.6 (17).
    search: "mixed" leaves the layers with the largest task loss in float, as few multiplications
        as necessary; "none" quantizes all layers that the rules allow.
    task_loss_max: where given, the search aims at this mean task loss on the search frames too,
        0..2; where no gate limits agreement with float, at 0.04 (docs/conversion.md).
    macs_int8_min: least share of the multiplications that can be INT8 which the search leaves in
        INT8.
    search_frames: calibration frames that the search uses.
    """

    opset: Annotated[Whole, Field(ge=17, le=21)] = 18
    search: Literal["mixed", "none"] = "mixed"
    task_loss_max: Annotated[Number, Field(gt=0.0, le=2.0)] | None = None
    macs_int8_min: Share = 0.85
    search_frames: Annotated[Count, Field(ge=4)] = 32


class Int8Shares(Strict):
    """Least shares of the multiplications in INT8, by file; a file that is not given is not
    gated."""

    int8: Share | None = None
    cpu: Share | None = None


class Gates(Strict):
    """Limits that fail a conversion. A gate that is not given is reported as not gated.

    parity_max_abs: largest difference between the source model and float.onnx, over all outputs.
    found_min: least share of float's detections with score >= 0.3 that int8.onnx and cpu.onnx,
        each on its own, find at IoU 0.5 with the same label on held-back frames; for a classifier
        the least share of those frames in which its likeliest label is float's; for a segmentation
        network the least mean IoU of its labels of pixels with float's.
    condition_agree_min: the same share for the likeliest label of the condition head.
    size_max_mb: largest int8.onnx, in 10^6 bytes.
    macs_int8_min: least share of the multiplications in INT8: of int8.onnx where TensorRT's rules
        put it, of cpu.onnx what onnxruntime computes in integers. One number for both, or
        { int8 = 0.85, cpu = 0.5 }.
    infer_p99_max_ms: longest inference of cpu.onnx, 99th percentile on the machine that converts;
        "budget" for budget.infer_ms.

    The others ask for labels, of int8.onnx and cpu.onnx each; without any they fail. A detector's
    score is AP50, a classifier's accuracy, that of one class recall, a segmentation network's mean
    IoU, that of one class IoU.

    accuracy_min: least score of all.
    accuracy_drop_max: so much may float.onnx be better.
    worst_condition_min: least score in any condition that the data set tells.
    class_accuracy_min: least score by label.
    condition_accuracy_min: the same by condition, such as "fog".
    labelled: a labelled data set, or its lock, to judge on; without it the mission's own held-back
        frames.
    """

    parity_max_abs: Annotated[Number, Field(gt=0.0, le=1000.0)] = 1e-3
    found_min: Share | None = None
    condition_agree_min: Share | None = None
    size_max_mb: Annotated[Number, Field(gt=0.0, le=100_000.0)] | None = None
    macs_int8_min: Share | Int8Shares | None = None
    infer_p99_max_ms: Milliseconds | Literal["budget"] | None = None
    accuracy_min: Share | None = None
    accuracy_drop_max: Share | None = None
    worst_condition_min: Share | None = None
    class_accuracy_min: dict[Name, Share] = Field(default_factory=dict, max_length=MOST_LABELS)
    condition_accuracy_min: dict[Name, Share] = Field(default_factory=dict, max_length=MOST_LABELS)
    labelled: File | None = None
