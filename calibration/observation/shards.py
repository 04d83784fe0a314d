"""Divides calibration by hand: each machine observes a shard, and the parts are merged later.

In: frames and "K/N", or the folders of all shards. Out: observation files (parts), or an observer
that reads them. A shard is every N-th frame of each step of the sampling, so that the merged parts
of a step, and the sampling that follows, have the same bytes as in one process.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from calibration.dataset.frames.frame import RoadFrame
from calibration.observation.observation import (
    Observation,
    Subject,
    read_observation,
    write_observation,
)
from calibration.observation.observe import Observer
from calibration.observation.sampling import STEP_FRAMES, steps_of
from edge.progress import Advance
from firmware_bridge.errors import Missing, NotTrusted, UsageError

PART = "part-{number:04d}.npz"
AGAIN = "take the shard again: brakepoint calibrate MISSION --shard K/N --out DIR"


@dataclass(frozen=True)
class Shard:
    """The `number`-th (from 1) of `of` shards."""

    number: int
    of: int

    def frames(self, step: Sequence[RoadFrame]) -> Sequence[RoadFrame]:
        """The frames of a step that are in this shard."""
        return step[self.number - 1 :: self.of]


def parse_shard(text: str) -> Shard:
    """Parses "2/8".

    Raises:
        UsageError: it is not a shard, or of more shards than a step has frames.
    """
    found = re.fullmatch(r"(\d{1,3})/(\d{1,3})", text)
    number, of = (int(word) for word in found.groups()) if found else (0, 0)
    if not 1 <= number <= of <= STEP_FRAMES:
        raise UsageError(
            f"'{text}' is no shard",
            expected=f"K/N, the K-th of N shards, N up to {STEP_FRAMES}: for example 2/8",
            found=text,
            remedy="correct --shard",
        )
    return Shard(number, of)


def observe_shard(
    shard: Shard,
    frames: Sequence[RoadFrame],
    observer: Observer,
    subject: Subject,
    out: Path,
    *,
    progress: Advance,
) -> int:
    """Writes a part for each step of `frames`, unless it is there already. Returns the number of
    frames in the shard.
    """
    steps = [shard.frames(step) for step in steps_of(frames)]
    total, done = sum(len(step) for step in steps), 0
    for number, step in enumerate(steps):
        path = out / PART.format(number=number)
        if not _there(path, subject, step):
            observation = Observation.empty(subject)

            def pause_after(within: int, done: int = done) -> bool:
                progress("observe", done + within, total)
                return False

            for _ in observer.observe(step, observation, ahead=(), pause=pause_after):
                pass
            write_observation(path, observation)
        done += len(step)
        progress("observe", done, total)
    return total


def _there(path: Path, subject: Subject, frames: Sequence[RoadFrame]) -> bool:
    try:
        former = read_observation(path)
    except (Missing, NotTrusted):
        return False
    return former.subject == subject and former.frames == {
        frame.name: frame.digest() for frame in frames
    }


class ShardObserver:
    """An `Observer` that reads the parts of frames observed by other machines."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._paths = [path for folder in folders for path in _parts(folder)]
        self._of_frame: dict[str, Path] | None = None

    def observe(
        self,
        frames: Sequence[RoadFrame],
        observation: Observation,
        *,
        ahead: Sequence[RoadFrame],
        pause: Callable[[int], bool],
    ) -> Iterator[None]:
        """See `Observer`.

        Raises:
            UsageError: a part is of another model, or a frame is in two parts or in none.
            NotTrusted: a part is damaged, or of a frame with this name and another content.
        """
        if self._of_frame is None:
            self._of_frame = _index(self._paths)
        wanted = {frame.name: frame.digest() for frame in frames}
        if missing := [name for name in wanted if name not in self._of_frame]:
            raise UsageError(
                "these shards are not all of them",
                expected=f"every shard of the mission's frames; parts here: {len(self._paths)}",
                found=f"no part holds {missing[0]}, and {len(missing) - 1} more of this step",
                remedy="name the folders of all shards, or take the one that is missing: "
                "brakepoint calibrate MISSION --shard K/N --out DIR",
            )
        done = 0
        for path in dict.fromkeys(self._of_frame[name] for name in wanted):
            part = read_observation(path)
            strange = [name for name in part.frames if part.frames[name] != wanted.get(name)]
            if strange:
                raise NotTrusted(
                    f"{path} is not of this mission's frames",
                    expected=f"frames of one step, as they are here; {strange[0]}: "
                    f"{wanted.get(strange[0], 'in another step')}",
                    found=f"sha256 {part.frames[strange[0]]}",
                    remedy="use the same mission and data for every shard; " + AGAIN,
                )
            observation.merge(part)
            done += len(part.frames)
            pause(done)
        yield


def _index(paths: Sequence[Path]) -> dict[str, Path]:
    """Name of a frame -> the part that holds it."""
    found: dict[str, Path] = {}
    for path in paths:
        for name in read_observation(path).frames:
            if name in found:
                raise UsageError(
                    f"{name} was looked at twice",
                    expected="each shard once",
                    found=f"{found[name]} and {path}",
                    remedy="leave one of the two out",
                )
            found[name] = path
    return found


def _parts(folder: Path) -> list[Path]:
    found = sorted(folder.glob(PART.format(number=0).replace("0000", "*")))
    if not found:
        raise Missing(
            f"no shard in {folder}",
            expected="a folder that `calibrate --shard K/N` wrote",
            found="no such folder" if not folder.is_dir() else "no part",
            remedy=AGAIN,
        )
    return found
