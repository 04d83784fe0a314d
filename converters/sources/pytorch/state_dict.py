"""Reads a state dict from a file that a training script saved, and loads it into a factory's
network.

Tensors by name are all that is read (torch's weights-only loading): no code in the file runs.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from converters.sources.pytorch.factory import head_sizes_text
from firmware_bridge.errors import UsageError

NESTED = ("state_dict", "model_state_dict", "model")
"""Where training scripts keep the weights inside a checkpoint."""


def read_weights(path: Path) -> dict[str, Tensor]:
    """The state dict in a file, with its tensors on the CPU.

    Raises:
        UsageError: it holds anything else.
    """
    try:
        with warnings.catch_warnings(action="ignore"):
            loaded: Any = torch.load(path, map_location="cpu", weights_only=True)
    # On garbage, torch's unpickler and zip readers raise nearly anything (KeyError, struct.error,
    # AssertionError): each means that the file holds no weights.
    except Exception as error:
        raise _no_weights(path, _first_sentence(error)) from error
    while isinstance(loaded, Mapping) and (inner := [k for k in NESTED if k in loaded]):
        loaded = loaded[inner[0]]
    if not isinstance(loaded, Mapping) or not loaded:
        raise _no_weights(path, f"a {type(loaded).__name__}")
    if not all(isinstance(key, str) and isinstance(v, Tensor) for key, v in loaded.items()):
        raise _no_weights(path, "a dictionary of other things than tensors")
    return dict(loaded)


def load_weights(
    network: nn.Module,
    state: dict[str, Tensor],
    *,
    factory: str,
    weights: Path,
    sizes: tuple[int, ...],
) -> None:
    """Loads a state dict into the network that `factory` made.

    Raises:
        UsageError: its names or shapes are those of another network.
    """
    own = network.state_dict()
    if not any(key in own for key in state):  # saved from a DataParallel around the network
        state = {key.removeprefix("module."): value for key, value in state.items()}
    other_sizes = [
        f"{key} is {list(state[key].shape)} in the file and {list(own[key].shape)} in the network"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    missing = [key for key in own if key not in state]
    foreign = [key for key in state if key not in own]
    mistakes = [
        *([f"{len(missing)} of {len(own)} tensors missing ({_short(missing)})"] if missing else []),
        *([f"{len(foreign)} unknown tensors ({_short(foreign)})"] if foreign else []),
        *other_sizes[:3],
    ]
    if mistakes:
        only_sizes = other_sizes and not missing and not foreign
        hint = f"; were they trained for other than {head_sizes_text(sizes)}?"
        raise UsageError(
            f"{weights} holds the weights of another network",
            expected=f"every tensor of {factory} for {head_sizes_text(sizes)}",
            found="; ".join(mistakes) + (hint if only_sizes else ""),
            remedy="train again: brakepoint train MISSION; or correct model.factory, model.labels, "
            "model.condition or model.weights",
        )
    network.load_state_dict(state)


def require_finite(tensors: Mapping[str, Tensor], name: str) -> None:
    """Refuses weights that hold NaN or infinity; `name` says where they came from.

    Raises:
        UsageError: naming the tensors.
    """
    found = [
        f"{int((~torch.isfinite(value)).sum())} of {value.numel()} in '{key}'"
        for key, value in tensors.items()
        if value.is_floating_point() and not bool(torch.isfinite(value).all())
    ]
    if found:
        raise UsageError(
            f"{name} has weights that are NaN or infinity",
            expected="finite numbers",
            found="; ".join(found[:3]) + ("; ..." if len(found) > 3 else ""),
            remedy="train or save the network again: a training that diverged leaves such weights",
        )


def _no_weights(path: Path, found: str) -> UsageError:
    return UsageError(
        f"{path} is not a file of weights",
        expected="a state dict as torch.save writes it: names and tensors, nothing else",
        found=found,
        remedy="save it with torch.save(network.state_dict(), PATH), or train again: "
        "brakepoint train MISSION",
    )


def _first_sentence(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].split(". ")[0]


def _short(names: Any) -> str:
    listed = list(names)
    return ", ".join(listed[:4]) + (", ..." if len(listed) > 4 else "")
