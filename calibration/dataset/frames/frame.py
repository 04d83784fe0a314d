"""The protocol of a road frame: its name, group, conditions and ground truth, and its picture.

A frame reads its picture when asked and does not hold it, so that memory does not grow with the
number of frames.
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
        """Weather, light and road, as far as the data set says."""
        ...

    @property
    def words(self) -> str:
        """The conditions in the data set's own words; "" where it has none."""
        ...

    def truth(self) -> Truth | None:
        """Ground truth in the mission's labels; None where nobody has labelled the frame."""
        ...

    def read(self) -> BgrImage:
        """The picture, (H, W, 3) uint8 BGR. Raises Refusal when it cannot be read."""
        ...

    def digest(self) -> str:
        """sha256 of its content, as hex."""
        ...


def data_digest(frames: Sequence[RoadFrame]) -> str:
    """One sha256, as hex, over names and contents of these frames in this order."""
    return digest_json([[frame.name, frame.digest()] for frame in frames])
