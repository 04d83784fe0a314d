"""What a run wrote down about its actions, as values: the input of explanation.py.

In: a run's report (brakepoint.run/1). Out: `Journal`. Another form of journal needs another
function here and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge.runtime.recording.timeline import MOMENTS
from firmware_bridge.errors import NotTrusted
from firmware_bridge.protocol.messages import Action, Mode


@dataclass(frozen=True)
class Applied:
    """What the microcontroller applied from a moment on, in seconds of the run."""

    at_s: float
    action: Action
    latched: bool
    ceiling_mps: float
    deceleration_mps2: float
    faults: tuple[str, ...]


@dataclass(frozen=True)
class Asked:
    """What one rule or fault asked for; `moments`: name -> seconds of the run, of those that
    came."""

    name: str
    kind: str
    action: Action
    moments: Mapping[str, float]

    def holds(self, at_s: float) -> bool:
        """It asked for its action then."""
        ended_s = self.moments.get("ended")
        began_s = self.moments.get("confirmed")
        return began_s is not None and began_s <= at_s and (ended_s is None or at_s < ended_s)


@dataclass(frozen=True)
class Journal:
    """One run.

    Attributes:
        mission: its name.
        seconds: how long it took.
        clip_begins_s: second of the run at which the clip's time is 0; None without a clip.
        asked: in order of confirmation.
        applied: in order.
        modes: (seconds of the run, mode), in order.
        faults: (seconds of the run, text), in order.
    """

    mission: str
    seconds: float
    clip_begins_s: float | None
    asked: tuple[Asked, ...]
    applied: tuple[Applied, ...]
    modes: tuple[tuple[float, Mode], ...]
    faults: tuple[tuple[float, str], ...]


def journal_of_report(document: Mapping[str, Any]) -> Journal:
    """The journal that a run's report holds.

    Raises:
        NotTrusted: the report lacks something, or holds something else.
    """
    try:
        return Journal(
            mission=str(document["mission"]),
            seconds=float(document["seconds"]),
            clip_begins_s=_clip_begins(document),
            asked=tuple(_asked(one) for one in document["timeline"]),
            applied=tuple(
                Applied(
                    at_s=one["mono_ms"] / 1e3,
                    action=Action[one["action"]],
                    latched=bool(one["latched"]),
                    ceiling_mps=float(one["ceiling_mps"]),
                    deceleration_mps2=float(one["deceleration_mps2"]),
                    faults=tuple(map(str, one["faults"])),
                )
                for one in document["effective"]
            ),
            modes=tuple((one["mono_ms"] / 1e3, Mode[one["mode"]]) for one in document["modes"]),
            faults=tuple((one["mono_ms"] / 1e3, str(one["text"])) for one in document["faults"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise NotTrusted(
            "the run's report cannot be read",
            expected="what `brakepoint run --json` prints",
            found=f"{type(error).__name__}: {error}",
            remedy="run again with this version of brakepoint: brakepoint run ... --json > FILE",
        ) from error


def _asked(row: Mapping[str, Any]) -> Asked:
    moments = {name: row.get(name) for name in MOMENTS}
    times = {name: at["mono_ms"] / 1e3 for name, at in moments.items() if at is not None}
    return Asked(str(row["name"]), str(row["kind"]), Action[row["action"]], times)


def _clip_begins(document: Mapping[str, Any]) -> float | None:
    """From any moment that has both times: they run at one rate."""
    for one in (*document["modes"], *document["effective"]):
        if one["clip_s"] is not None:
            return float(one["mono_ms"] / 1e3 - one["clip_s"])
    return None
