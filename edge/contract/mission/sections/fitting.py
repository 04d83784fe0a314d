"""`[train]` and `[finetune]`: how weights are fitted, in float and to INT8.

The schema only; `converters/training` and `converters/finetuning` fit.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from edge.contract.mission.sections.field_types import (
    Count,
    Factory,
    Flag,
    Number,
    Seed,
    Share,
    Steps,
    Strict,
    Whole,
)

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


Batch = Annotated[Whole, Field(ge=1, le=65_536)]


class Train(Strict):
    """How `brakepoint train` fits the factory's network (see docs/training.md).

    scenes, validation_scenes: for generated scenes only; other data bring their own split.
    augment: strength of augmentation of training pictures; 0 is none.
    corruptions: half of the pictures get one of these, slight to medium (see docs/data.md).
    mirror: mirrors half of the pictures; not where left and right differ in meaning, as on signs.
    class_weights: "balanced" gives rare labels more weight.
    draw: "balanced" shows every label (of a scene, every road condition) equally often.
    patience: stop after so many evaluations without a better one, on training examples held out
        for this; one every `judge_every` steps.
    search: factories that `--search` may choose from, beside the mission's own.
    """

    steps: Steps
    batch: Batch
    learning_rate: Annotated[Number, Field(gt=0.0, le=10.0)]
    scenes: Count | None = None
    validation_scenes: Count | None = None
    seed: Seed = 0
    augment: Share = 0.5
    corruptions: Annotated[tuple[Corruption, ...], Field(max_length=10)] = ()
    mirror: Flag = False
    class_weights: Literal["balanced", "none"] = "balanced"
    draw: Literal["shuffled", "balanced"] = "shuffled"
    checkpoint_every: Steps = 100
    judge_every: Steps = 100
    patience: Count | None = None
    search: Annotated[tuple[Factory, ...], Field(max_length=64)] = ()


class Finetune(Strict):
    """How `finetune` fits the weights to INT8.

    steps, batch: steps of Adam, and frames in each; one cycle of the learning rate.
    learning_rate: about how far a step moves a weight, as a share of its tensor's root mean square;
        shortened where the validation frames show no gain.
    frames: the most frames used, those of the ranges first; none is held back.
    judge_every: steps between evaluations on the validation frames; the best weights are kept.
    """

    steps: Steps = 200
    batch: Batch = 4
    learning_rate: Annotated[Number, Field(gt=0.0, le=0.1)] = 0.001
    seed: Seed = 0
    frames: Annotated[Count, Field(ge=8)] = 512
    judge_every: Steps = 20
    checkpoint_every: Steps = 20
