"""Compares two forms of one network layer by layer: every tensor that both have by the same name.

Takes the forms and pictures; returns a `Layer` for each tensor in the order of the graph. A layer's
difference includes that of all layers before it. One picture is in memory at a time, with as many
tensors as fit; the others follow in further runs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from onnx import ModelProto

from calibration.inference.sessions import ModelSession
from calibration.observation.observe import with_outputs
from converters.graph.index import Graph
from converters.graph.passes.canonical_names import PICTURE
from converters.verification.equivalence.graph_diff import HALF
from converters.verification.parity import Difference, Sums
from edge.perception.values import Floats
from edge.progress import Advance

ROOM_VALUES = 16 << 20
"""Float32 values of one form in memory at once, 64 MiB."""


@dataclass(frozen=True)
class Layer:
    """Difference of one tensor in two forms.

    Attributes:
        tensor: its name.
        operator: type of the node that makes it.
        place: its position among all compared tensors, in the order of the graph.
        difference: over all pictures.
    """

    tensor: str
    operator: str
    place: int
    difference: Difference


class Form(Protocol):
    """A network whose inner tensors can be read by their names in its ONNX file."""

    @property
    def tensors(self) -> Mapping[str, str]:
        """Name -> operator, in order."""
        ...

    def values(self, picture: Floats, names: Sequence[str]) -> list[Floats]:
        """Those tensors for one picture."""
        ...

    def sizes(self, names: Sequence[str]) -> list[int]:
        """How many values each has; 0 where that is not known."""
        ...


class OnnxForm:
    """An ONNX file as it is written. A tensor that exists only as FP16 has the name of its twin."""

    def __init__(self, model: ModelProto, *, threads: int) -> None:
        self._model, self._threads = model, threads
        self._graph = Graph(model)
        self._own = {
            name.removesuffix(HALF): name
            for node in self._graph.nodes
            for name in node.output
            if self._graph.is_float(name) and self._graph.shape(name) is not None
        }
        self._opened: tuple[tuple[str, ...], ModelSession] | None = None

    @property
    def tensors(self) -> Mapping[str, str]:
        """See `Form`."""
        return {name: self._graph.producer[own].op_type for name, own in self._own.items()}

    def values(self, picture: Floats, names: Sequence[str]) -> list[Floats]:
        """See `Form`."""
        own = tuple(self._own[name] for name in names)
        if self._opened is None or self._opened[0] != own:
            model = with_outputs(self._model, own)
            self._opened = (own, ModelSession(model, threads=self._threads))
        found: list[Floats] = self._opened[1].run({PICTURE: picture}, own)
        return found

    def sizes(self, names: Sequence[str]) -> list[int]:
        """See `Form`."""
        return [math.prod(self._graph.shape(self._own[name]) or (0,)) for name in names]


def compare_layers(
    reference: Form,
    candidate: Form,
    pictures: Sequence[Floats],
    *,
    progress: Advance,
    room_values: int = ROOM_VALUES,
) -> list[Layer]:
    """Every tensor of both, in `reference`'s order, over `pictures` (1, 3, H, W)."""
    operators, there = reference.tensors, candidate.tensors
    names = [name for name in operators if name in there]
    sizes = [max(pair) for pair in zip(reference.sizes(names), candidate.sizes(names), strict=True)]
    found: list[Layer] = []
    for part in _parts(names, sizes, room_values):
        sums = {name: Sums() for name in part}
        for picture in pictures:
            pairs = zip(
                part, reference.values(picture, part), candidate.values(picture, part), strict=True
            )
            for name, wanted, got in pairs:
                if np.shape(wanted) == np.shape(got):
                    sums[name].add(wanted, got)
                else:
                    del sums[name]  # one name for two things: not comparable
        for name, one in sums.items():
            found.append(Layer(name, operators[name], len(found), one.result()))
        progress("compare layers", len(found), len(names))
    return found


def worst_first(layers: Sequence[Layer]) -> list[Layer]:
    """Least signal to noise first, what is not a number before all; equal ones in their order."""

    def ratio(layer: Layer) -> float:
        snr = layer.difference.snr_db
        if snr is None:
            return math.inf
        return -math.inf if math.isnan(snr) else snr

    return sorted(layers, key=lambda layer: (ratio(layer), layer.place))


def _parts(names: Sequence[str], sizes: Sequence[int], room: int) -> Iterator[list[str]]:
    part: list[str] = []
    held = 0
    for name, size in zip(names, sizes, strict=True):
        if part and held + size > room:
            yield part
            part, held = [], 0
        part.append(name)
        held += size
    if part:
        yield part
