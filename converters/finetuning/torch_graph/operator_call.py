"""Arguments of an operator's torch function: one node's attributes and constants, and its input
tensors.

`Call` holds what the node says and computes nothing; the functions here read inputs by count.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Call:
    """One operator of the graph.

    Attributes:
        attributes: its attributes by name, as Python values.
        constants: slot -> values of an input that is an initializer (axes, sizes, bounds); the
            target of a Reshape is the whole shape, without 0 and -1.
        outputs: number of output tensors.
    """

    attributes: Mapping[str, Any]
    constants: Mapping[int, list[Any]]
    outputs: int = 1

    def get(self, name: str, default: Any) -> Any:
        """An attribute by name, or the default."""
        return self.attributes.get(name, default)

    def numbers(self, slot: int, name: str = "") -> list[Any] | None:
        """Values of a constant input, or of the attribute that earlier opsets have instead."""
        found = self.constants.get(slot)
        return found if found is not None else self.attributes.get(name)


Inputs = Sequence[Tensor | None]
Operator = Callable[[Call, Inputs], Tensor | Sequence[Tensor]]


class UnsupportedForm(Exception):
    """An operator has a form that its function here does not support; the text says which."""


def one(inputs: Inputs) -> Tensor:
    """The first input."""
    assert inputs[0] is not None  # onnx.checker requires a first input
    return inputs[0]


def three(inputs: Inputs) -> tuple[Tensor, Tensor, Tensor | None]:
    """Two inputs, and the third where there is one."""
    first, second, *rest = inputs
    assert first is not None
    assert second is not None
    return first, second, rest[0] if rest else None
