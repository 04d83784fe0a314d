"""The protocol of an inference session, which every backend implements."""

from __future__ import annotations

from typing import Protocol

from edge.perception.values import Floats


class InferenceFailed(Exception):
    """One inference failed; the session can be used again. The frame is Unknown."""


class Session(Protocol):
    """A loaded network. One thread opens, uses and closes it."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(1, 3, height, width)."""
        ...

    @property
    def output_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shape of every output in the network's order; 0 is a size known only after a run."""
        ...

    def infer(self, x: Floats) -> tuple[Floats, ...]:
        """Every output in the same order, float32, for an input (1, 3, H, W) float32.

        Raises:
            InferenceFailed: the backend refused or failed.
        """
        ...

    def close(self) -> None:
        """Frees what the session holds; it cannot be used again. Calling it twice is allowed."""
        ...
