"""The schema of `mission.toml`, which every stage reads.

`Mission` and its purpose; the sections are in `sections/`, rules that span keys in
`checks/`, reading files, `--set` and messages in `loading.py`. Unknown keys are refused
everywhere. Lengths in metres, speeds in m/s, times in milliseconds, pictures in pixels.
"""

from __future__ import annotations

from pydantic import model_validator

from edge.contract.mission.checks.cross_checks import cross_mistakes
from edge.contract.mission.sections.conversion import Calibration, Gates, Precision
from edge.contract.mission.sections.data import Data
from edge.contract.mission.sections.device import Budget, Camera, LinkSettings, Target
from edge.contract.mission.sections.field_types import File, Slug, Strict, Text
from edge.contract.mission.sections.fitting import Finetune, Train
from edge.contract.mission.sections.health import Health
from edge.contract.mission.sections.model import Model
from edge.contract.mission.sections.policy import Policy


class Purpose(Strict):
    """The machine-learning canvas: why this model may touch a vehicle."""

    task: Text
    decision: Text
    value: Text
    harm: Text
    feedback: Text


class Tracking(Strict):
    """Where runs are mirrored in addition to their records (see docs/runs.md).

    mlflow: a SQLite file that MLflow reads and this program writes; needs the extra `tracking`.
    """

    mlflow: File | None = None


class Mission(Strict):
    """One mission file, checked, with paths resolved."""

    name: Slug
    purpose: Purpose
    model: Model
    data: Data
    calibration: Calibration = Calibration()
    precision: Precision = Precision()
    gates: Gates = Gates()
    budget: Budget
    camera: Camera
    policy: Policy
    health: Health = Health()
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
