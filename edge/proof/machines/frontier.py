"""Breadth-first exploration on numbered states: a whole frontier takes each letter at once, by
numpy.

In: first states, and a function that lets an array of states take one letter. Out: which states are
reached, in how many steps, and by which letter from which state. Never calls the code that is
explored: that code was tabled before.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int32]

UNREACHED = -1


@dataclass(frozen=True)
class Explored:
    """What an exploration found.

    Attributes:
        depth: (size,) steps from the first states, UNREACHED where there is no way.
        came_from, by: (size,) the state and the letter before, UNREACHED for the first ones.
        edges: number of pairs of a reached state and a letter.
        seconds: of processor time that it took.
    """

    depth: Indices
    came_from: Indices
    by: Indices
    edges: int
    seconds: float

    @property
    def states(self) -> int:
        """Number of reached states."""
        return int(np.count_nonzero(self.depth != UNREACHED))

    @property
    def reached(self) -> Indices:
        """The reached states."""
        return np.flatnonzero(self.depth != UNREACHED).astype(np.int32)

    def way_to(self, state: int) -> list[tuple[int, int]]:
        """A shortest way: (state before, letter) of each step."""
        steps: list[tuple[int, int]] = []
        while self.came_from[state] != UNREACHED:
            before, letter = int(self.came_from[state]), int(self.by[state])
            steps.append((before, letter))
            state = before
        return steps[::-1]


def reach(
    first: Indices,
    take: Callable[[Indices, int], tuple[Indices, Indices]],
    *,
    letters: int,
    size: int,
    advance: Callable[[int], None] | None = None,
) -> Explored:
    """Explores from `first`.

    Args:
        first: the first states.
        take: lets states take one letter: those that can, and where each of them gets to.
        letters: number of letters.
        size: number of states, reached or not.
        advance: called with the number of states reached so far.
    """
    began_s = time.process_time()
    depth = np.full(size, UNREACHED, np.int32)
    came_from, by = depth.copy(), depth.copy()
    depth[first] = 0
    frontier, edges, steps = first, 0, 0
    while len(frontier):
        steps += 1
        for letter in range(letters):
            before, after = take(frontier, letter)
            edges += len(before)
            fresh = np.flatnonzero(depth[after] == UNREACHED)
            if len(fresh):
                found = after[fresh]
                depth[found] = steps
                came_from[found], by[found] = before[fresh], letter
        frontier = np.flatnonzero(depth == steps).astype(np.int32)
        if advance is not None:
            advance(int(np.count_nonzero(depth != UNREACHED)))
    return Explored(depth, came_from, by, edges, time.process_time() - began_s)
