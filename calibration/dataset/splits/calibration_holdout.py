"""Divides frames into those to calibrate on and those held back to judge, by whole groups.

In: frames, counts and a seed. Out: a `Split`. The same frames and seed give the same split
everywhere, and the held-back frames do not depend on how many are calibrated on. Reads no picture.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from calibration.dataset.frames.frame import RoadFrame
from firmware_bridge.errors import UsageError

MOST_GROUPS = 8
"""At most so many groups are held back, unless they have too few frames: with so many drives, none
of them decides the result."""


@dataclass(frozen=True)
class Split:
    """Frames to calibrate on, and frames held back to judge the result; no group is in both."""

    calibration: tuple[RoadFrame, ...]
    held_back: tuple[RoadFrame, ...]


def split(frames: Sequence[RoadFrame], *, calibrate: int, hold_back: int, seed: int) -> Split:
    """`calibrate` and `hold_back` frames out of `frames`.

    Held-back frames are chosen first, by digests of their groups' and their own names: they do not
    depend on `calibrate` or on the order of the frames, and added frames change few of them. Within
    each side every group gives about the same number of frames, so that one long drive does not
    dominate.

    Raises:
        UsageError: there are not enough frames, or not enough groups to keep the sides apart.
    """
    groups: dict[str, list[RoadFrame]] = defaultdict(list)
    for frame in frames:
        groups[frame.group].append(frame)
    sizes = {name: len(found) for name, found in groups.items()}
    held = held_back_groups(sizes, hold_back=hold_back, seed=seed)
    rest = [name for name in groups if name not in held]
    there = [sum(sizes[name] for name in side) for side in (rest, held)]
    if there[0] < calibrate or there[1] < hold_back:
        raise UsageError(
            "there are too few road frames",
            expected=f"{calibrate} to calibrate on and {hold_back} others to judge INT8",
            found=f"{len(frames)} frames in {len(groups)} groups, of which {len(held)} with "
            f"{there[1]} judge: {there[0]} are left",
            remedy="add frames (or drives), or ask for fewer: --set calibration.frames=N "
            "--set calibration.held_back=N",
        )
    sides = (rest, calibrate), (held, hold_back)
    return Split(
        *(_of_each_group([groups[n] for n in names], count, seed) for names, count in sides)
    )


def held_back_groups(sizes: Mapping[str, int], *, hold_back: int, seed: int) -> list[str]:
    """Names of the groups to hold back.

    They are the first by digest that hold enough frames and are a quarter of all groups
    (MOST_GROUPS at most). A group is skipped where holding it back would leave less than half of
    the frames. Where too few groups remain, they are the shortest.
    """
    order = sorted(sizes, key=lambda name: _digest(name, seed))
    several = min(hold_back, MOST_GROUPS, -(-len(order) // 4))
    half, held, count = sum(sizes.values()) / 2, list[str](), 0
    for name in order:
        if count >= hold_back and len(held) >= several:
            break
        if count + sizes[name] <= half:
            held.append(name)
            count += sizes[name]
    if count >= hold_back:
        return held
    held, count = [], 0
    for name in sorted(order, key=lambda name: sizes[name]):
        if count >= hold_back:
            break
        held.append(name)
        count += sizes[name]
    return held


def _digest(name: str, seed: int) -> bytes:
    # A file name may hold bytes that are not UTF-8.
    return sha256(f"{seed} {name}".encode("utf-8", "surrogateescape")).digest()


def _of_each_group(
    groups: Sequence[Sequence[RoadFrame]], count: int, seed: int
) -> tuple[RoadFrame, ...]:
    """`count` frames, one of each group in turn by their digests; the result is sorted by name."""
    queues = [sorted(group, key=lambda frame: _digest(frame.name, seed)) for group in groups]
    queues.sort(key=lambda queue: _digest(queue[0].group, seed))
    return tuple(sorted(in_turn(queues)[:count], key=lambda frame: frame.name))


def in_turn(queues: Sequence[Sequence[RoadFrame]]) -> list[RoadFrame]:
    """The first frame of every queue in order, then the second of each that has one, and so on."""
    longest = max((len(queue) for queue in queues), default=0)
    return [queue[row] for row in range(longest) for queue in queues if row < len(queue)]


def spread(frames: Sequence[RoadFrame], count: int) -> tuple[RoadFrame, ...]:
    """At most `count` of `frames`, evenly spaced in their order."""
    if len(frames) <= count:
        return tuple(frames)
    return tuple(frames[row * len(frames) // count] for row in range(count))
