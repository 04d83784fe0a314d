"""Reads what a conversion wrote for the health of a run: its calibration profile.

The folder of a conversion goes in; `HealthFiles` come out, each file checked against the report. A
conversion without one of them gives None in its place, which the run's report says.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge.contract.artifact import read_json
from edge.contract.artifact_names import PROFILE
from edge.contract.conversion_output import file_if_made
from edge.contract.mission.schema import Mission
from edge.runtime.health.profile import SCHEMA, Profile, profile_of


@dataclass(frozen=True)
class HealthFiles:
    """What a conversion wrote for its runs; None where it did not."""

    profile: Profile | None = None


NO_FILES = HealthFiles()
"""Of a model without a conversion."""


def read_health_files(folder: Path, mission: Mission) -> HealthFiles:
    """The files in the folder of a conversion.

    Raises:
        Missing: no report, or a file that the report names is not there.
        NotTrusted: a file is not whole, or not the one of the report.
    """
    path = file_if_made(folder, mission, PROFILE)
    if path is None:
        return HealthFiles()
    return HealthFiles(profile_of(read_json(path, SCHEMA), source=str(path)))
