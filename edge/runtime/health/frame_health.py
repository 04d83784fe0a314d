"""Judges every frame of a run: its picture by every check, and its kind by the calibration profile.

A picture, the network's outputs and what was perceived go in; the same perception comes out, or
Unknown with the reason. A picture is looked at before its outputs are judged, so that one thread
can look while another runs the network. Counts what it judged, for the run's report.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from edge.perception.decode import NetworkSpec
from edge.perception.pixel_formats import Picture
from edge.perception.values import Floats, Known, Perception, Unknown
from edge.runtime.health.features import features
from edge.runtime.health.picture_checks import PICTURE_CHECKS, Seen
from edge.runtime.health.profile import Profile
from edge.runtime.health.sample import sample

OUT_OF_DISTRIBUTION = "out of distribution"
_OTHER_KIND = "the frame is unlike those that the network was calibrated on"
NO_PROFILE = "the conversion has no profile"
OFF = "off in the mission"


@dataclass(frozen=True)
class CheckCount:
    """What one check did in a run.

    Attributes:
        name: of the check.
        frames, failed: how many it judged, and found faulty.
        not_made: why it was not made at all; None where it was.
    """

    name: str
    frames: int = 0
    failed: int = 0
    not_made: str | None = None


@dataclass(frozen=True)
class Looked:
    """A picture that was looked at. `fault`: the first check that failed, None where none did."""

    seen: Seen
    fault: str | None


class FrameHealth:
    """The checks of one run, and what they keep from frame to frame."""

    def __init__(
        self, network: NetworkSpec, *, profile: Profile | None, off: Collection[str]
    ) -> None:
        self._network = network
        self._profile = None if OUT_OF_DISTRIBUTION in off else profile
        self._checks = tuple(check for check in PICTURE_CHECKS if check.name not in off)
        self._seen: Seen | None = None
        self._frames = self._scored = 0
        self._failed = dict.fromkeys((*(c.name for c in PICTURE_CHECKS), OUT_OF_DISTRIBUTION), 0)
        self._not_made = {check.name: OFF for check in PICTURE_CHECKS if check not in self._checks}
        if self._profile is None:
            why = OFF if OUT_OF_DISTRIBUTION in off else NO_PROFILE
            self._not_made[OUT_OF_DISTRIBUTION] = why

    def look(self, picture: Picture) -> Looked:
        """What the checks find in a picture. Needs no output of the network.

        Every picture must be given, in order, also one that the network fails on: some checks
        compare it with the one before.
        """
        seen = self._next(picture)
        self._frames += 1
        failed = [check for check in self._checks if check.measure(seen) >= check.limit]
        for check in failed:
            self._failed[check.name] += 1
        return Looked(seen, f"{failed[0].name}: {failed[0].says}" if failed else None)

    def judge(
        self, looked: Looked, outputs: Sequence[Floats], perception: Perception
    ) -> Perception:
        """`perception`, or Unknown where a check of its picture failed, or its kind is another; the
        first reason stays."""
        if not isinstance(perception, Known):
            return perception
        if looked.fault is not None:
            return Unknown(looked.fault)
        return self._of_kind(looked.seen, outputs, perception)

    def counts(self) -> tuple[CheckCount, ...]:
        """Every check of the table, in its order."""
        return tuple(
            CheckCount(name, not_made=self._not_made[name])
            if name in self._not_made
            else CheckCount(
                name, self._scored if name == OUT_OF_DISTRIBUTION else self._frames, failed
            )
            for name, failed in self._failed.items()
        )

    def _next(self, picture: Picture) -> Seen:
        now, before = sample(picture), self._seen
        first = now.size_px if before is None else before.first_size_px
        if before is not None and before.sample.size_px != now.size_px:
            before = None
        repeats = 0
        if before is not None and np.array_equal(now.luma, before.sample.luma):
            repeats = before.repeats + 1
        # Only one picture before: not the chain of all.
        former = None if before is None else before.without_former()
        self._seen = Seen(now, former, repeats, first)
        return self._seen

    def _of_kind(self, seen: Seen, outputs: Sequence[Floats], known: Known) -> Perception:
        if self._profile is None:
            return known
        self._scored += 1
        score = self._profile.score(features(outputs, self._network, seen.sample))
        if score < self._profile.limit:
            return known
        self._failed[OUT_OF_DISTRIBUTION] += 1
        return Unknown(f"{OUT_OF_DISTRIBUTION}: {_OTHER_KIND}")
