"""What an operator's function is called with: one node of the graph, and the tensors it reads.

Holds what the node says; computes nothing.
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
        constants: by slot, the numbers of inputs that say where and how (axes, sizes, bounds),
            which are initializers; the target of a Reshape is the whole shape, without 0 and -1.
        outputs: how many tensors it makes.
    """

    attributes: Mapping[str, Any]
    constants: Mapping[int, list[Any]]
    outputs: int = 1

    def get(self, name: str, default: Any) -> Any:
        """An attribute."""
        return self.attributes.get(name, default)

    def numbers(self, slot: int, name: str = "") -> list[Any] | None:
        """The numbers of a constant input, or those of the attribute that older opsets had."""
        found = self.constants.get(slot)
        return found if found is not None else self.attributes.get(name)


Inputs = Sequence[Tensor | None]
Operator = Callable[[Call, Inputs], Tensor | Sequence[Tensor]]


class UnsupportedForm(Exception):
    """An operator is used in a way that its function here does not have; the text says which."""


def one(inputs: Inputs) -> Tensor:
    """The first input."""
    assert inputs[0] is not None  # onnx.checker demands a first input
    return inputs[0]


def three(inputs: Inputs) -> tuple[Tensor, Tensor, Tensor | None]:
    """Two inputs, and the third where there is one."""
    first, second, *rest = inputs
    assert first is not None
    assert second is not None
    return first, second, rest[0] if rest else None
