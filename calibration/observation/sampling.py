"""Samples the frames to calibrate on: by quotas of conditions, until the ranges are stable.

In: frames, an observer and a seed. Out: an observation and a `Sampling`. The order of frames
depends on the frames and the seed alone, so a resumed or distributed run uses the same frames.
Their number follows from the observation.
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
"""Frames between two checks of the ranges."""

SETTLED = 0.02
"""A range is stable if it moves by a smaller share of itself: under 3 of 127 INT8 steps."""

QUIET_STEPS = 2
"""Sampling ends when no range moves by SETTLED in so many steps in a row."""

SMALLEST = 1e-6
"""Smaller ranges count as 0 here, so that a nearly silent tensor does not delay the end."""


@dataclass(frozen=True)
class RangeMove:
    """The move of a range in a step, as a share of its new value, and the frame of that step with
    the largest value."""

    tensor: str
    by: float
    frame: str


@dataclass(frozen=True)
class Sampling:
    """Which frames were used, and how the ranges became stable.

    Attributes:
        offered: number of frames that could have been used.
        frames: names of those that were, in the order of quotas.
        quotas: condition -> numbers of its frames used and offered.
        curve: (frames so far, largest move of any range, tensors that moved) for each step; None
            for the first step.
        moves: for each step after the first, the ranges that moved, the largest move first.
        settled: whether the ranges became stable before the frames ran out.
    """

    offered: int
    frames: tuple[str, ...]
    quotas: dict[str, tuple[int, int]]
    curve: tuple[tuple[int, float | None, int], ...]
    moves: tuple[tuple[RangeMove, ...], ...]
    settled: bool

    def to_json(self) -> dict[str, Any]:
        """The sampling as plain values."""
        return {
            "offered": self.offered,
            "settled": self.settled,
            "settled_below": SETTLED,
            "quotas": {
                name: {"taken": used, "offered": offered}
                for name, (used, offered) in sorted(self.quotas.items())
            },
            "curve": [
                {"frames": frames, "largest_move": move, "tensors_moved": tensors}
                for frames, move, tensors in self.curve
            ],
            "moved": [
                [{"tensor": one.tensor, "by": one.by, "frame": one.frame} for one in step]
                for step in self.moves
            ],
            "frames": list(self.frames),
        }


def stratum(frame: RoadFrame) -> str:
    """The stratum of a frame: its conditions, or its group where they are not known. Frames without
    conditions and group are one stratum, so that many of them do not crowd out the others.
    """
    there = frame.conditions
    words = [word for word in (there.weather, there.light, there.road) if word]
    if words:
        return ", ".join(words)
    return "nothing known" if frame.group == frame.name else f"group {frame.group}"


def in_quotas(frames: Sequence[RoadFrame], *, seed: int) -> list[RoadFrame]:
    """All frames, one of each stratum in turn, and within a stratum one of each group in turn.

    The first N frames have about equally many of each stratum, as far as there are enough.
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
    observation: Observation,
    *,
    range_: Callable[[Histogram], float],
    progress: Advance,
    pause: Callable[[], bool],
    save: Callable[[], None],
) -> Sampling:
    """Observes `frames` in their order, a step at a time, until the ranges are stable.

    Args:
        observation: empty, or from an interrupted call with the same arguments.
        range_: amax of a histogram, whose moves are measured.
        pause: whether it is time to save.
        save: saves `observation`, which is complete when it is called.
    """
    steps = steps_of(frames)
    while not _settled(observation.steps) and len(observation.steps) < len(steps):
        start, batch = len(observation.steps) * STEP_FRAMES, steps[len(observation.steps)]
        left = [frame for frame in batch if frame.name not in observation.frames]
        offset = start + len(batch) - len(left)

        def pause_after(done: int, offset: int = offset) -> bool:
            progress("observe", offset + done, len(frames))
            return pause()

        ahead = frames[start + STEP_FRAMES : start + 2 * STEP_FRAMES]
        for _ in observer.observe(left, observation, ahead=ahead, pause=pause_after):
            save()
        amax = tuple(range_(histogram) for histogram in observation.histograms.values())
        observation.steps.append(Step(tuple(frame.name for frame in batch), amax))
    used = frames[: sum(len(step.names) for step in observation.steps)]
    return Sampling(
        offered=len(frames),
        frames=tuple(frame.name for frame in used),
        quotas=_quotas(used, frames),
        curve=tuple(curve_of(observation.steps)),
        moves=tuple(_moved(observation)),
        settled=_settled(observation.steps),
    )


def without_curve(used: Sequence[RoadFrame], offered: Sequence[RoadFrame]) -> Sampling:
    """The sampling of ranges from a file, whose curve is not known: they are stable if fewer frames
    than offered were enough.
    """
    return Sampling(
        offered=len(offered),
        frames=tuple(frame.name for frame in used),
        quotas=_quotas(used, offered),
        curve=(),
        moves=(),
        settled=len(used) < len(offered),
    )


def continues(former: Observation, frames: Sequence[RoadFrame]) -> bool:
    """Whether an interrupted `sample` of these frames could have left `former`."""
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
    """For each step after the first, the move of each range as a share of its new value."""
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


def _moved(observation: Observation) -> list[tuple[RangeMove, ...]]:
    found = []
    for step, moves in zip(observation.steps[1:], _moves(observation.steps), strict=True):
        peaks = np.abs([observation.extremes[name] for name in step.names]).max(axis=2)
        rows = [
            RangeMove(tensor, round(by, 4), step.names[int(peaks[:, row].argmax())])
            for row, (tensor, by) in enumerate(zip(observation.subject.tensors, moves, strict=True))
            if by >= SETTLED
        ]
        found.append(tuple(sorted(rows, key=lambda one: (-one.by, one.tensor))))
    return found


def _quotas(used: Sequence[RoadFrame], offered: Sequence[RoadFrame]) -> dict[str, tuple[int, int]]:
    names = [stratum(frame) for frame in used]
    everything = [stratum(frame) for frame in offered]
    return {name: (names.count(name), everything.count(name)) for name in set(everything)}
