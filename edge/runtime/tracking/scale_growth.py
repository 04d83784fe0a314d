"""Measures how fast an object grows in the picture from its pixels.

In: the frames that show the object, with its boxes. Out: its closing rate in 1/s with variance, or
None. Registers every frame's patch with a reference some frames older and adds up the logarithms
of scale over successive references. Where registration fails, measurement starts again. Never
bridges a gap with a guess, and never takes the object's size from the box, only where to search.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from statistics import fmean

from edge.runtime.tracking.closing_rate import ClosingSettings, History, Rate, Sample
from edge.runtime.tracking.patch_registration import Box, Picture, Pose, Reference, Registration
from edge.runtime.tracking.time_to_contact import drop_old_sizes


@dataclass(frozen=True)
class GrowthSettings:
    """When a registration is accepted and when a reference is replaced. Likeness and share as in
    `Registration`; figures are from docs/decisions/0007.

    Attributes:
        side_min_px: a smaller box is not measured.
        likeness_min, rigid_likeness_min, rigid_share_min: below one of them the patch was not
            found.
        aside, aside_px: the patch may lie off the box's middle by this share of the side, and so
            many pixels more.
        jump, jump_per_s: a log size further than that from the expected one is no motion of a
            vehicle.
        renew_likeness, renew_log_size, renew_s: a reference is replaced once the picture is less
            like it, larger or smaller than it by so much, or it is so old.
        gap_max_s: after a longer gap measurement starts again.
        follow: share of a newly measured velocity that replaces the old one.
    """

    side_min_px: float = 10.0
    likeness_min: float = 0.5
    rigid_likeness_min: float = 0.7
    rigid_share_min: float = 0.3
    aside: float = 0.6
    aside_px: float = 3.0
    jump: float = 0.02
    jump_per_s: float = 0.5
    renew_likeness: float = 0.6
    renew_log_size: float = 0.25
    renew_s: float = 0.7
    gap_max_s: float = 0.3
    follow: float = 0.5


SETTINGS = GrowthSettings()
PATCH_SETTINGS = ClosingSettings(jitter=0.01, span_min_s=0.2, significance=2.5)
"""For sizes by registration: they jitter less than boxes do, so fewer of them suffice."""
DOUBT_PER_S = 0.2
"""Standard deviation of a closing rate by patches that explain nothing of the picture: the patch of
a pedestrian drifts slowly, which the residuals of a line do not show."""


@dataclass(frozen=True)
class _Sighting:
    """The newest registration, with its frame and box: it may become the reference later."""

    picture: Picture
    box: Box
    at_s: float
    pose: Pose


@dataclass(frozen=True)
class _Search:
    """What a reference's search of a picture near an expected pose has found."""

    reference: Reference
    picture: Picture
    expected: Pose
    found: Registration | None


class ScaleTracker:
    """Follows one object's patch through the frames that show it."""

    def __init__(self, settings: GrowthSettings = SETTINGS) -> None:
        self._settings = settings
        self._reference: Reference | None = None
        self._reference_s = 0.0
        """When the reference was set."""
        self._base = 0.0
        """Log size of the reference."""
        self._last: _Sighting | None = None
        self._velocity = (0.0, 0.0, 0.0)
        self._ahead: _Search | None = None
        self._sizes: deque[Sample] = deque()
        self._history = History(self._sizes, PATCH_SETTINGS)
        self._likeness: deque[float] = deque()

    @property
    def history(self) -> History:
        """Times and sizes, relative to the first of the run, since the patch was last lost."""
        return self._history

    @property
    def has_patch(self) -> bool:
        """Whether there is a patch to follow."""
        return self._last is not None

    def with_doubt(self, rate: Rate) -> Rate:
        """The closing rate by the history, its variance raised by what the pixels leave open."""
        doubt = DOUBT_PER_S * (1.0 - fmean(self._likeness))
        return Rate(rate.value, rate.variance + doubt * doubt)

    def follow(self, picture: Picture, at_ns: int) -> None:
        """Searches the next frame for the patch where it is expected, which needs no box.

        `add` with the same frame then takes what was found instead of searching: the same to the
        last bit, but sooner. May run beside anything that does not use this object.
        """
        last, reference = self._last, self._reference
        self._ahead = None
        if last is None or reference is None:
            return
        elapsed_s = at_ns / 1e9 - last.at_s
        if PATCH_SETTINGS.step_min_s <= elapsed_s <= self._settings.gap_max_s:
            expected = self._predict(elapsed_s)
            found = reference.find(picture, expected)
            self._ahead = _Search(reference, picture, expected, found)

    def add(self, picture: Picture, box: Box, at_ns: int) -> None:
        """Adds a frame, and the box in which it shows the object."""
        settings, at_s = self._settings, at_ns / 1e9
        last = self._last
        if min(box[2] - box[0], box[3] - box[1]) < settings.side_min_px:
            self._reference = self._last = None
            self._clear()
            return
        if last is None or not last.at_s <= at_s <= last.at_s + settings.gap_max_s:
            self._restart(picture, box, at_s)
            return
        if at_s - last.at_s < PATCH_SETTINGS.step_min_s:
            return
        found = self._search(picture, box, at_s, last)
        if found is None:
            self._restart(picture, box, at_s)
            return
        self._accept(picture, box, at_s, found)

    def _clear(self) -> None:
        self._sizes.clear()
        self._likeness.clear()

    def _append(self, at_s: float, size: float, *, likeness: float) -> None:
        self._sizes.append((at_s, size))
        self._likeness.append(likeness)
        drop_old_sizes(self._sizes, at_s, PATCH_SETTINGS)
        while len(self._likeness) > len(self._sizes):
            self._likeness.popleft()

    def _restart(self, picture: Picture, box: Box, at_s: float) -> None:
        """Begins a new run of sizes with this frame."""
        self._clear()
        self._velocity = (0.0, 0.0, 0.0)
        self._base = 0.0
        self._set_reference(picture, box, at_s)
        if self._last is not None:
            self._append(at_s, 1.0, likeness=1.0)

    def _set_reference(self, picture: Picture, box: Box, at_s: float) -> None:
        """Makes this frame's patch the reference."""
        reference = Reference(picture, box)
        self._reference_s = at_s
        self._reference = reference if reference.textured else None
        self._last = _Sighting(picture, box, at_s, reference.pose) if reference.textured else None

    def _search(
        self, picture: Picture, box: Box, at_s: float, last: _Sighting
    ) -> Registration | None:
        """The patch at its predicted pose, else by a newer reference, else in the middle of the
        box."""
        elapsed_s = at_s - last.at_s
        found = self._register(picture, box, self._predict(elapsed_s), elapsed_s)
        if found is None and last.at_s > self._reference_s:
            self._base += last.pose.log_size
            self._set_reference(last.picture, last.box, last.at_s)
            found = self._register(picture, box, self._predict(elapsed_s), elapsed_s)
        if found is None and self._last is not None:
            middle = Pose(
                (box[0] + box[2]) / 2.0, (box[1] + box[3]) / 2.0, self._last.pose.log_size
            )
            found = self._register(picture, box, middle, elapsed_s)
        return found

    def _predict(self, elapsed_s: float) -> Pose:
        """The pose of the patch at constant velocity."""
        pose = Pose(0.0, 0.0, 0.0) if self._last is None else self._last.pose
        x, y, log_size = self._velocity
        return Pose(
            pose.x + x * elapsed_s, pose.y + y * elapsed_s, pose.log_size + log_size * elapsed_s
        )

    def _register(
        self, picture: Picture, box: Box, expected: Pose, elapsed_s: float
    ) -> Registration | None:
        """The registration near the expected pose; None where it is not to be believed."""
        if self._reference is None:
            return None
        found, settings = self._find(self._reference, picture, expected), self._settings
        if found is None:
            return None
        aside_x = abs(found.pose.x - (box[0] + box[2]) / 2.0)
        aside_y = abs(found.pose.y - (box[1] + box[3]) / 2.0)
        jump = abs(found.pose.log_size - self._predict(elapsed_s).log_size)
        good = (
            found.likeness >= settings.likeness_min
            and found.rigid_likeness >= settings.rigid_likeness_min
            and found.rigid_share >= settings.rigid_share_min
            and aside_x <= settings.aside * (box[2] - box[0]) + settings.aside_px
            and aside_y <= settings.aside * (box[3] - box[1]) + settings.aside_px
            and jump <= settings.jump + settings.jump_per_s * elapsed_s
        )
        return found if good else None

    def _find(self, reference: Reference, picture: Picture, expected: Pose) -> Registration | None:
        ahead = self._ahead
        if (
            ahead is not None
            and ahead.picture is picture
            and ahead.reference is reference
            and ahead.expected == expected
        ):
            return ahead.found
        return reference.find(picture, expected)

    def _accept(self, picture: Picture, box: Box, at_s: float, found: Registration) -> None:
        """Updates velocity and sizes, and replaces the reference where it is due."""
        last, pose, settings = self._last, found.pose, self._settings
        assert last is not None  # nothing is found without a reference
        elapsed_s = at_s - last.at_s
        new = (
            (pose.x - last.pose.x) / elapsed_s,
            (pose.y - last.pose.y) / elapsed_s,
            (pose.log_size - last.pose.log_size) / elapsed_s,
        )
        old, share = self._velocity, settings.follow
        self._velocity = (
            old[0] + share * (new[0] - old[0]),
            old[1] + share * (new[1] - old[1]),
            old[2] + share * (new[2] - old[2]),
        )
        self._last = _Sighting(picture, box, at_s, pose)
        self._append(at_s, math.exp(self._base + pose.log_size), likeness=found.likeness)
        if (
            found.likeness < settings.renew_likeness
            or abs(pose.log_size) > settings.renew_log_size
            or at_s - self._reference_s > settings.renew_s
        ):
            self._base += pose.log_size
            self._set_reference(picture, box, at_s)
