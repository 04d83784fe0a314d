"""One road frame that can be read when it is its turn, and the table of kinds of sources.

Frames are named first and read late, so that memory does not grow with their number. Never holds
pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from calibration.dataset.records.ground_truth import Truth
from edge.contract.artifact import digest_json
from edge.perception.conditions import Conditions
from edge.perception.values import BgrImage


class RoadFrame(Protocol):
    """A frame of a data set."""

    @property
    def name(self) -> str:
        """Unique within its data set, the same on every machine."""
        ...

    @property
    def group(self) -> str:
        """Frames of one group (a drive) are never split; equal to the name where there is none."""
        ...

    @property
    def conditions(self) -> Conditions:
        """What it was taken in, as far as the data set tells."""
        ...

    @property
    def words(self) -> str:
        """The conditions in the data set's own words; "" where it has none."""
        ...

    def truth(self) -> Truth | None:
        """What is really in it, labels by the mission's; None where nobody has said."""
        ...

    def read(self) -> BgrImage:
        """The picture, (H, W, 3) uint8 BGR. Raises Refusal when it cannot be read."""
        ...

    def digest(self) -> str:
        """sha256 of what is read, as hex."""
        ...


def data_digest(frames: Sequence[RoadFrame]) -> str:
    """One digest for these frames in this order: names and contents."""
    return digest_json([[frame.name, frame.digest()] for frame in frames])
