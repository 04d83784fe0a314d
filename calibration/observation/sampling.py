"""Which frames ranges are taken from: by quotas of conditions, until the ranges stand still.

The order is fixed by the frames and the seed alone, so an interrupted or distributed run takes the
same frames. How many are taken follows from what was observed. Never writes and never infers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from calibration.dataset.frames.frame import RoadFrame
from calibration.dataset.splits.calibration_holdout import in_turn
from calibration.observation.histogram import Histogram
from calibration.observation.observation import Observation, Step
from calibration.observation.observe import Observer
from edge.progress import Advance

STEP_FRAMES = 16
"""Frames between two looks at the ranges."""

SETTLED = 0.02
"""A range that moves by less, of itself, stands still: under 3 of 127 INT8 steps at its end."""

QUIET_STEPS = 2
"""So many steps in a row must move no range by SETTLED."""

SMALLEST = 1e-6
"""Ranges below count as 0 here: a tensor that is all but silent does not hold up the rest."""


@dataclass(frozen=True)
class Moved:
    """A range that moved in a step, and the frame of that step with the largest value in it."""

    tensor: str
    by: float
    frame: str


@dataclass(frozen=True)
class Sampling:
    """How the ranges came to rest.

    Attributes:
        offered: frames that might have been taken.
        taken: names of those that were, in the order of quotas.
        quotas: condition -> frames taken of it, and offered.
        curve: (frames so far, largest move of any range, tensors that moved) for each step; the
            first step has nothing to move from.
        moved: for each step after the first, what moved, the most first.
        settled: the ranges stood still before the frames ran out.
    """

    offered: int
    taken: tuple[str, ...]
    quotas: dict[str, tuple[int, int]]
    curve: tuple[tuple[int, float | None, int], ...]
    moved: tuple[tuple[Moved, ...], ...]
    settled: bool

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "offered": self.offered,
            "settled": self.settled,
            "settled_below": SETTLED,
            "quotas": {
                name: {"taken": taken, "offered": offered}
                for name, (taken, offered) in sorted(self.quotas.items())
            },
            "curve": [
                {"frames": frames, "largest_move": move, "tensors_moved": tensors}
                for frames, move, tensors in self.curve
            ],
            "moved": [
                [{"tensor": one.tensor, "by": one.by, "frame": one.frame} for one in step]
                for step in self.moved
            ],
            "frames": list(self.taken),
        }


def stratum(frame: RoadFrame) -> str:
    """What a frame counts for: its conditions, or its group where they are not known. Frames of
    which nothing is known are one stratum, so that many of them do not crowd out the others.
    """
    there = frame.conditions
    words = [word for word in (there.weather, there.light, there.road) if word]
    if words:
        return ", ".join(words)
    return "nothing known" if frame.group == frame.name else f"group {frame.group}"


def in_quotas(frames: Sequence[RoadFrame], *, seed: int) -> list[RoadFrame]:
    """All frames, one of each stratum in turn, and within a stratum one of each group in turn.

    Every beginning of the list holds about as much of each stratum as there is to take.
    """
    random = np.random.default_rng(seed)
    strata: dict[str, dict[str, list[RoadFrame]]] = defaultdict(lambda: defaultdict(list))
    for frame in sorted(frames, key=lambda frame: frame.name):
        strata[stratum(frame)][frame.group].append(frame)
    queues = []
    for name in sorted(strata):
        groups = [
            [group[row] for row in random.permutation(len(group))]
            for _, group in sorted(strata[name].items())
        ]
        queues.append(in_turn(groups))
    return in_turn(queues)


def steps_of(frames: Sequence[RoadFrame]) -> list[Sequence[RoadFrame]]:
    """`frames` in order, STEP_FRAMES at a time."""
    return [frames[row : row + STEP_FRAMES] for row in range(0, len(frames), STEP_FRAMES)]


def sample(
    frames: Sequence[RoadFrame],
    observer: Observer,
    seen: Observation,
    *,
    range_: Callable[[Histogram], float],
    progress: Advance,
    pause: Callable[[], bool],
    save: Callable[[], None],
) -> Sampling:
    """Observes `frames` in their order, a step at a time, until the ranges stand still.

    Args:
        seen: what a former run left, made by this function with the same arguments; or nothing.
        range_: amax of a histogram, by which standing still is told.
        pause: whether it is time to keep what is done.
        save: keeps it: `seen` is whole.
    """
    steps = steps_of(frames)
    while not _settled(seen.steps) and len(seen.steps) < len(steps):
        start, batch = len(seen.steps) * STEP_FRAMES, steps[len(seen.steps)]
        left = [frame for frame in batch if frame.name not in seen.frames]
        offset = start + len(batch) - len(left)

        def told(done: int, offset: int = offset) -> bool:
            progress("observe", offset + done, len(frames))
            return pause()

        ahead = frames[start + STEP_FRAMES : start + 2 * STEP_FRAMES]
        for _ in observer.observe(left, seen, ahead=ahead, pause=told):
            save()
        amax = tuple(range_(histogram) for histogram in seen.histograms.values())
        seen.steps.append(Step(tuple(frame.name for frame in batch), amax))
    taken = frames[: sum(len(step.names) for step in seen.steps)]
    return Sampling(
        offered=len(frames),
        taken=tuple(frame.name for frame in taken),
        quotas=_quotas(taken, frames),
        curve=tuple(curve_of(seen.steps)),
        moved=tuple(_moved(seen)),
        settled=_settled(seen.steps),
    )


def without_curve(taken: Sequence[RoadFrame], offered: Sequence[RoadFrame]) -> Sampling:
    """What is known of frames that were looked at another time: fewer of them than there are to
    take were enough then.
    """
    return Sampling(
        offered=len(offered),
        taken=tuple(frame.name for frame in taken),
        quotas=_quotas(taken, offered),
        curve=(),
        moved=(),
        settled=len(taken) < len(offered),
    )


def continues(former: Observation, frames: Sequence[RoadFrame]) -> bool:
    """Whether `former` is what `sample` of these frames leaves on its way."""
    steps = [tuple(frame.name for frame in step) for step in steps_of(frames)]
    whole = len(former.steps)
    done = {name for step in steps[:whole] for name in step}
    begun = set(steps[whole]) if whole < len(steps) else set()
    return (
        [step.names for step in former.steps] == steps[:whole]
        and done <= former.frames.keys() <= done | begun
        and all(
            former.frames[frame.name] == frame.digest()
            for frame in frames
            if frame.name in former.frames
        )
    )


def _moves(steps: Sequence[Step]) -> list[list[float]]:
    """For each step after the first, how far each range moved, as a share of its new value."""
    return [
        [
            abs(new - old) / max(new, old) if max(new, old) > SMALLEST else 0.0
            for old, new in zip(before.amax, after.amax, strict=True)
        ]
        for before, after in pairwise(steps)
    ]


def _settled(steps: Sequence[Step]) -> bool:
    quiet = [max(moves, default=0.0) < SETTLED for moves in _moves(steps)[-QUIET_STEPS:]]
    return len(quiet) == QUIET_STEPS and all(quiet)


def curve_of(steps: Sequence[Step]) -> list[tuple[int, float | None, int]]:
    """See `Sampling.curve`."""
    frames = list(accumulate(len(step.names) for step in steps))
    rows: list[tuple[int, float | None, int]] = [(count, None, 0) for count in frames[:1]]
    for count, moves in zip(frames[1:], _moves(steps), strict=True):
        rows.append((count, max(moves, default=0.0), sum(one >= SETTLED for one in moves)))
    return rows


def _moved(seen: Observation) -> list[tuple[Moved, ...]]:
    found = []
    for step, moves in zip(seen.steps[1:], _moves(seen.steps), strict=True):
        peaks = np.abs([seen.extremes[name] for name in step.names]).max(axis=2)
        rows = [
            Moved(tensor, round(by, 4), step.names[int(peaks[:, row].argmax())])
            for row, (tensor, by) in enumerate(zip(seen.subject.tensors, moves, strict=True))
            if by >= SETTLED
        ]
        found.append(tuple(sorted(rows, key=lambda one: (-one.by, one.tensor))))
    return found


def _quotas(taken: Sequence[RoadFrame], offered: Sequence[RoadFrame]) -> dict[str, tuple[int, int]]:
    names = [stratum(frame) for frame in taken]
    everything = [stratum(frame) for frame in offered]
    return {name: (names.count(name), everything.count(name)) for name in set(everything)}
