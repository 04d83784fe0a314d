"""Saves and loads the state of a training between two steps, as one file that is replaced
atomically.

Holds the recipe, the progress, and the state of network, optimiser and random numbers. Loading runs
no code from the file and refuses the checkpoint of another recipe.
"""

from __future__ import annotations

import io
import json
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from converters.training.recipe import Recipe
from edge.contract.artifact import write_atomic
from edge.contract.json_text import parse_json
from firmware_bridge.errors import UsageError

SCHEMA = "brakepoint.checkpoint/1"

State = dict[str, Tensor]


@dataclass
class Progress:
    """How far a training has come.

    Attributes:
        step: steps done.
        seconds: time spent on them, over all resumptions.
        resumed_at: the steps at which it was resumed.
        curve: (steps done, mean loss since the last point, watched score or None).
        best_score, best_step, best: the state with the best watched score.
        stale: judgements since then.
        start_score: watched score before the first step, where it was measured.
    """

    step: int = 0
    seconds: float = 0.0
    resumed_at: list[int] = field(default_factory=list)
    curve: list[tuple[int, float, float | None]] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    best_score: float | None = None
    best_step: int = 0
    best: State | None = None
    stale: int = 0
    start_score: float | None = None


def save(
    path: Path, recipe: Recipe, progress: Progress, *, network: State, optimiser: dict[str, Any]
) -> None:
    """Replaces the checkpoint at `path` by the present state.

    The file is built in memory first, since torch's own writer hides that a disk is full.
    """
    document = {
        "schema": SCHEMA,
        "recipe": json.dumps(recipe.values),
        "progress": progress.__dict__,
        "network": network,
        "optimiser": optimiser,
        "random": torch.get_rng_state(),
    }
    write_atomic(path, to_bytes(document))


def to_bytes(document: object) -> bytes:
    """A document as torch.save writes it."""
    stream = io.BytesIO()
    torch.save(document, stream)
    return stream.getvalue()


def load(
    path: Path, recipe: Recipe, *, again: str = "brakepoint train MISSION --fresh"
) -> tuple[Progress, State, dict[str, Any]] | None:
    """The progress, network state and optimiser state at `path`; None where no step was done.

    Restores the state of torch's random numbers.

    Args:
        again: the command that starts anew, for messages.

    Raises:
        UsageError: the checkpoint is damaged, or of another recipe.
    """
    if not path.exists():
        return None
    try:
        document: Any = torch.load(path, map_location="cpu", weights_only=True)
        if document["schema"] != SCHEMA:
            raise ValueError(f"schema {document['schema']}")
        written = parse_json(document["recipe"])
        progress = Progress(**document["progress"])
        network, optimiser, chance = (document[key] for key in ("network", "optimiser", "random"))
    # Errors of torch.load's unpickler, zip reader and legacy reader.
    except (
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        ValueError,
        KeyError,
        TypeError,
        OSError,
    ) as error:
        raise UsageError(
            f"{path} is not a whole checkpoint",
            expected=f"a file of schema {SCHEMA}",
            found=(str(error).strip() or type(error).__name__).splitlines()[0].split(". ")[0],
            remedy=f"start anew: {again}",
        ) from error
    if not progress.step:
        return None  # no step was done yet, so nothing is lost
    if different := recipe.differences(written):
        raise UsageError(
            f"{path} is the checkpoint of another training",
            expected="the network, data and settings that it was written by",
            found="; ".join(different[:4]) + ("; ..." if len(different) > 4 else ""),
            remedy=f"set them back to go on with it, or start anew: {again}",
        )
    torch.set_rng_state(chance)
    return progress, network, optimiser
