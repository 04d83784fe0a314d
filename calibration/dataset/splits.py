"""Which frames are calibrated on and which are held back: seeded, disjoint, by whole groups.

Pure: the same frames and seed give the same split everywhere. Never reads a picture.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from calibration.dataset.frames import RoadFrame
from firmware_bridge.errors import UsageError


@dataclass(frozen=True)
class Split:
    """Frames whose ranges are taken, and frames that judge the result; no group is in both."""

    calibration: tuple[RoadFrame, ...]
    held_back: tuple[RoadFrame, ...]


def split(frames: Sequence[RoadFrame], *, calibrate: int, hold_back: int, seed: int) -> Split:
    """`calibrate` and `hold_back` frames out of `frames`.

    Groups are shuffled by `seed` and held back in the proportion asked for; where long drives leave
    too little on one side by that, the shortest are held back. Within each side every group gives
    about the same number of frames, so that one long drive does not speak for all.

    Raises:
        UsageError: there are not enough frames, or not enough groups to keep the sides apart.
    """
    groups: dict[str, list[RoadFrame]] = defaultdict(list)
    for frame in sorted(frames, key=lambda frame: frame.name):
        groups[frame.group].append(frame)
    random = np.random.default_rng(seed)
    order = [sorted(groups)[row] for row in random.permutation(len(groups))]
    share = round(len(order) * hold_back / (calibrate + hold_back))
    sides = _sides(order, groups, hold_back=hold_back, least=max(1, share))
    if _frames_in(sides[0], groups) < calibrate:
        shortest_first = sorted(order, key=lambda name: len(groups[name]))
        sides = _sides(shortest_first, groups, hold_back=hold_back, least=1)
    there = [_frames_in(side, groups) for side in sides]
    if there[0] < calibrate or there[1] < hold_back:
        raise UsageError(
            "there are too few road frames",
            expected=f"{calibrate} to calibrate on and {hold_back} others to judge INT8",
            found=f"{len(frames)} frames in {len(order)} groups: {there[0]} and {there[1]}",
            remedy="add frames (or drives), or ask for fewer: --set calibration.frames=N "
            "--set calibration.held_back=N",
        )
    taken = [
        _in_turn(({name: groups[name] for name in side}).values(), count, random)
        for side, count in zip(sides, (calibrate, hold_back), strict=True)
    ]
    return Split(*taken)


def _sides(
    order: Sequence[str],
    groups: Mapping[str, Sequence[RoadFrame]],
    *,
    hold_back: int,
    least: int,
) -> tuple[Sequence[str], Sequence[str]]:
    """Names of the groups to calibrate on, and of those held back: the first that suffice."""
    held = least
    while held < len(order) and _frames_in(order[:held], groups) < hold_back:
        held += 1
    return order[held:], order[:held]


def _frames_in(names: Sequence[str], groups: Mapping[str, Sequence[RoadFrame]]) -> int:
    return sum(len(groups[name]) for name in names)


def _in_turn(
    groups: Iterable[Sequence[RoadFrame]], count: int, random: np.random.Generator
) -> tuple[RoadFrame, ...]:
    """`count` frames, one of each group in turn, each group in a random order; sorted by name."""
    queues = [[group[row] for row in random.permutation(len(group))] for group in groups]
    taken: list[RoadFrame] = []
    while len(taken) < count:
        for queue in queues:
            if queue and len(taken) < count:
                taken.append(queue.pop())
    return tuple(sorted(taken, key=lambda frame: frame.name))


def spread(frames: Sequence[RoadFrame], count: int) -> tuple[RoadFrame, ...]:
    """At most `count` of `frames`, evenly over their order; all of them where there are fewer."""
    if len(frames) <= count:
        return tuple(frames)
    return tuple(frames[row * len(frames) // count] for row in range(count))
