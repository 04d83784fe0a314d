"""Values and parts of representative frames: names, classes, empty frames, label maps.

Values and small constructors; frame_classes.py decides which frames there are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edge.perception.values import Classification, LabelMap
from edge.proof.frames.zone_points import GRID
from edge.runtime.policy.facts import FrameFacts
from edge.runtime.tracking.track import Track

Verdict = bool | None
"""What a rule makes of a frame: it matches, it does not, or the frame does not tell."""

SIZE_PX = 1000
CLEAR, MATCH, UNCLEAR = "clear", "match", "unclear"


@dataclass(frozen=True)
class FrameName:
    """Names a class of frames, also in files: it survives a change of the mission.

    Attributes:
        kind: CLEAR, MATCH, UNCLEAR, or the condition of a rule that it just misses.
        rule: the rule that it was made for; "" of a clear road.
        number: of several least frames of one rule.
    """

    kind: str
    rule: str = ""
    number: int = 0

    def text(self) -> str:
        """In words."""
        words = {CLEAR: "clear road", MATCH: f"'{self.rule}' matches"}
        words[UNCLEAR] = f"'{self.rule}' cannot be told"
        return words.get(self.kind, f"'{self.rule}' matches but for {self.kind}")


@dataclass(frozen=True)
class FrameClass:
    """One perceived frame without its time.

    Attributes:
        names: what it shows; several, where it shows them together.
        frame: its facts; `at` sets the time.
        verdicts: of every rule, in the mission's order.
    """

    names: tuple[FrameName, ...]
    frame: FrameFacts
    verdicts: tuple[Verdict, ...]

    def at(self, captured_ns: int) -> FrameFacts:
        """The facts of such a frame, captured then."""
        return replace(self.frame, captured_ns=captured_ns)


@dataclass(frozen=True)
class RuleFrames:
    """The frames made for one rule.

    Attributes:
        least: match, each as little as possible; several where zones overlap differently.
        less: would match but for a millionth of one condition each.
        unclear: does not tell what the rule asks.
    """

    least: tuple[FrameClass, ...]
    less: tuple[FrameClass, ...]
    unclear: FrameClass


def frame_of(
    *,
    tracks: tuple[Track, ...] = (),
    scene: tuple[Classification, ...] = (),
    areas: LabelMap | None = None,
    left_out: int = 0,
) -> FrameFacts:
    return FrameFacts(0, True, tracks, (SIZE_PX, SIZE_PX), scene, areas, left_out)


def label_map(labels: NDArray[np.uint8], shares: NDArray[np.float64]) -> LabelMap:
    middles = (np.arange(GRID, dtype=np.float32) + 0.5) * (SIZE_PX / GRID)
    return LabelMap(labels, shares.astype(np.float32), middles, middles, (SIZE_PX, SIZE_PX))


def covered(
    ground: LabelMap | None, label: int, cells: NDArray[np.int64], share: float
) -> LabelMap:
    """The ground with some cells of a label."""
    labels = np.zeros((GRID, GRID), np.uint8) if ground is None else ground.labels.copy()
    shares = np.ones((GRID, GRID)) if ground is None else ground.shares.astype(np.float64)
    labels[cells[:, 0], cells[:, 1]] = label
    shares[cells[:, 0], cells[:, 1]] = share
    return label_map(labels, shares)
