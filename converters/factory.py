"""A mission's factory and what it made: found by name, known by its values. Never calls it."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable

from torch import nn

from firmware_bridge.errors import UsageError


def load_factory(name: str) -> Callable[..., nn.Module]:
    """The function that "module:function" names; it takes `Model.head_sizes`.

    Raises:
        UsageError: there is none.
    """
    module, function = name.split(":")
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise UsageError(
            f"no factory {name}",
            expected="module:function that can be imported here, such as converters.zoo:roadnet",
            found=str(error),
            remedy="correct model.factory, or install the package that holds it",
        ) from error
    made: Callable[..., nn.Module] = found
    return made


def values_digest(network: nn.Module) -> str:
    """sha256 of all parameters and statistics in their order, as hex."""
    sha = hashlib.sha256()
    for values in network.state_dict().values():
        sha.update(values.detach().contiguous().numpy().tobytes())
    return sha.hexdigest()
