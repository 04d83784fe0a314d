"""Finds a mission's factory by name and calls it.

Takes "module:function" and the sizes of the heads; returns a torch module. Its weights have a
digest, which identifies a network without a file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from torch import nn

from converters.sources.pytorch.mission_modules import import_from
from firmware_bridge.errors import Refusal, UsageError


def load_factory(name: str, *, beside: Path | None) -> Callable[..., nn.Module]:
    """The function that "module:function" names; it is called with `Model.head_sizes`.

    The module lies in the folder `beside` (that of the mission's file) or is installed. Importing
    it runs its code.

    Raises:
        UsageError: there is none, or its code fails.
    """
    module, function = name.split(":")
    try:
        found = getattr(import_from(module, beside), function)
    except Refusal:
        raise
    # Importing runs the user's code: its errors are shown to the user as they are.
    except Exception as error:
        missing = isinstance(error, ImportError | AttributeError)
        raise UsageError(
            f"no factory {name}" if missing else f"the module of the factory {name} failed",
            expected="module:function of a module that is installed, such as "
            f"converters.zoo:roadnet, or lies in {beside or 'the folder of the mission'}",
            found=str(error) if missing else f"{type(error).__name__}: {error}",
            remedy="correct model.factory, or put the module beside the mission's file, or install "
            "the package that holds it",
        ) from error
    made: Callable[..., nn.Module] = found
    return made


def make_network(factory: str, sizes: tuple[int, ...], *, beside: Path | None) -> nn.Module:
    """The network that the factory makes.

    Args:
        sizes: number of labels, and of conditions where there is a second head.
        beside: the folder of the mission's file; None without one.

    Raises:
        Refusal: as the factory raises it.
        UsageError: there is no such factory, it failed, or it returned something else.
    """
    make = load_factory(factory, beside=beside)
    try:
        network = make(*sizes)
    except Refusal:
        raise  # the factory says best what is missing
    # A factory is the user's code: its errors are shown to the user as they are.
    except Exception as error:
        raise UsageError(
            f"the factory {factory} failed",
            expected=f"a torch.nn.Module for {head_sizes_text(sizes)}",
            found=f"{type(error).__name__}: {error}",
            remedy="correct the factory, or model.labels and model.condition in the mission",
        ) from error
    if not isinstance(network, nn.Module):
        raise UsageError(
            f"the factory {factory} makes no network",
            expected="a torch.nn.Module",
            found=type(network).__name__,
            remedy="return the module",
        )
    return network


def head_sizes_text(sizes: tuple[int, ...]) -> str:
    """The sizes of the heads for a sentence: "3 labels and 4 conditions"."""
    return f"{sizes[0]} labels" + (f" and {sizes[1]} conditions" if len(sizes) > 1 else "")


def values_digest(network: nn.Module) -> str:
    """sha256 of all parameters and buffers in state dict order, as hex."""
    sha = hashlib.sha256()
    for values in network.state_dict().values():
        sha.update(values.detach().contiguous().numpy().tobytes())
    return sha.hexdigest()
