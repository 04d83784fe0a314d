"""What changed since the last conversion of other inputs: settings, inputs and figures.

Takes the records in `runs/` and the new values; returns the differences, for people.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from edge.contract.run_record import RunRecord

UNSTEADY = ("median ms", "peak memory")
"""Beginnings of figures that differ from run to run of the same inputs."""

SMALLEST = 1e-9
"""A figure that moves by less, of itself, is the same."""


@dataclass(frozen=True)
class Changed:
    """One key; None where it was, or is, not there."""

    key: str
    was: Any
    now: Any


@dataclass(frozen=True)
class Since:
    """The conversion before, and what is other now.

    Attributes:
        run: name of its record.
        started: when, UTC.
        passed: whether its gates held.
    """

    run: str
    started: str
    passed: bool | None
    settings: tuple[Changed, ...]
    inputs: tuple[Changed, ...]
    figures: tuple[Changed, ...]


def since_last(
    former: Iterable[RunRecord],
    *,
    parameters: Mapping[str, Any],
    inputs: Mapping[str, str | None],
    metrics: Mapping[str, Any],
) -> Since | None:
    """What is other than in the last of `former`, records of conversions of one mission, whose
    inputs are not those of this one: the same conversion again changes nothing. None where there is
    no such record.
    """
    others = [one for one in former if one.run.inputs.get("all") != inputs["all"]]
    if not others:
        return None
    last = max(others, key=lambda one: (one.run.started, one.name))
    named = {key: value for key, value in inputs.items() if key != "all"}
    was = {key: value for key, value in last.run.inputs.items() if key != "all"}
    return Since(
        run=last.name,
        started=last.run.started,
        passed=last.run.passed,
        settings=_changed(last.run.parameters, parameters),
        inputs=_changed(was, named),
        figures=_changed(_steady(last.run.metrics), _steady(metrics)),
    )


def _steady(metrics: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in metrics.items() if not key.startswith(UNSTEADY)}


def _changed(was: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[Changed, ...]:
    keys = dict.fromkeys((*now, *was))
    rows = [Changed(key, _plain(was.get(key)), _plain(now.get(key))) for key in keys]
    return tuple(row for row in rows if not _same(row.was, row.now))


def _plain(value: Any) -> Any:
    """As JSON gives it back."""
    return list(value) if isinstance(value, tuple) else value


def _same(was: Any, now: Any) -> bool:
    if isinstance(was, float) and isinstance(now, float):
        return math.isclose(was, now, rel_tol=SMALLEST, abs_tol=SMALLEST)
    return bool(was == now)
