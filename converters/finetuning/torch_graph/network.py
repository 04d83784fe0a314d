"""A float ONNX graph as a torch module with trainable weights and optional simulated INT8 rounding.

Takes a float graph, pictures (B, 3, H, W) and a `FakeQuantization`; returns the graph's outputs.
With rounding, values are those of `int8.onnx`: the same Q/DQ pairs at the same inputs, the same
scales. The gradient passes rounding unchanged and stops at clipping (straight-through estimator,
arXiv:1308.3432, section 4). A new network is compared with onnxruntime. Placement and ranges are
given, not chosen here.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from onnx import ModelProto, NodeProto, numpy_helper
from torch import Tensor, nn

from calibration.inference.sessions import ModelSession
from calibration.ranges.ranges import Range
from converters.finetuning.torch_graph.operator_call import Call, UnsupportedForm
from converters.finetuning.torch_graph.operators import OPERATORS
from converters.graph.index import Array, Graph, attributes, with_nodes
from converters.graph.passes.canonical_names import PICTURE
from converters.quantization.placement import QdqPlacement
from converters.quantization.qdq import shared_ranges
from converters.quantization.rules import BIAS, DATA, SMALLEST_SCALE, WEIGHT, WEIGHTED, r1_scale
from edge.engine.calibration_cache import INT8_LEVELS
from edge.perception.values import Floats
from firmware_bridge.errors import UsageError

NUMBERS_MAX = 64
"""Largest number of values of an initializer that holds sizes, axes or bounds."""

ALIKE = 1e-3
"""Largest difference from onnxruntime, relative to an output's largest magnitude: float32 sums in
another order, over up to a hundred layers."""


@dataclass(frozen=True)
class FakeQuantization:
    """Placement and scales of simulated INT8 rounding.

    Attributes:
        scales: scale of every quantized activation.
        reads: (node, slot) of inputs that read a quantized activation.
        weights: weight -> axis of its scales; the nodes in `rounded` read it rounded.
        rounded: names of the operators with rounded weights.
    """

    scales: Mapping[str, Tensor]
    reads: Collection[tuple[str, int]]
    weights: Mapping[str, int]
    rounded: Collection[str]

    @staticmethod
    def of(placement: QdqPlacement, ranges: Mapping[str, Range]) -> FakeQuantization:
        """The rounding that `quantize_int8` writes into a graph."""
        return FakeQuantization(
            {
                name: torch.from_numpy(r1_scale(one.amax))
                for name, one in shared_ranges(placement, ranges).items()
            },
            {(read.node, read.slot) for read in placement.reads},
            placement.weights,
            {read.node for read in placement.reads if read.slot == DATA},
        )


class GraphNetwork(nn.Module):
    """A float graph with static shapes and folded constants, for pictures (B, 3, H, W).

    Weights and biases of weighted operators are parameters; every other initializer stays as it is.
    Operators with copies of one weight, which folding makes of a shared one, share it again.

    Raises:
        UsageError: an operator is not in OPERATORS, or has an unsupported form.
    """

    def __init__(self, model: ModelProto) -> None:
        super().__init__()
        graph = Graph(model)
        self.one_by_one = False
        """Whether the graph takes one picture only, because of a fixed shape in it."""
        self._nodes = graph.nodes
        self._outputs = graph.outputs
        _require_known(self._nodes)
        values = {
            name: np.array(numpy_helper.to_array(tensor))
            for name, tensor in graph.initializers.items()
        }
        self._calls = [_call(graph, node, values) for node in self._nodes]
        shared = _shared(graph, values)
        self._row = {name: row for row, names in enumerate(shared) for name in names}
        self.fitted = nn.ParameterList(
            nn.Parameter(torch.from_numpy(values[names[0]])) for names in shared
        )
        self._constants = {
            name: torch.from_numpy(value) for name, value in values.items() if name not in self._row
        }
        last: dict[str, int] = {}
        for row, node in enumerate(self._nodes):
            last.update(dict.fromkeys(node.input, row))
        self._done_after: list[list[str]] = [[] for _ in self._nodes]
        for name, row in last.items():
            self._done_after[row].append(name)

    def forward(
        self, images: Tensor, int8: FakeQuantization | None = None, keep: Collection[str] = ()
    ) -> dict[str, Tensor]:
        """The graph's outputs, in order, and the tensors of `keep`, by name.

        Values are those of float, or with `int8` those of INT8.
        """
        if not self.one_by_one or len(images) == 1:
            return self._run(images, int8, keep)
        each = [self._run(image[None], int8, keep) for image in images]
        return {name: torch.cat([found[name] for found in each]) for name in each[0]}

    def _run(
        self, images: Tensor, int8: FakeQuantization | None, keep: Collection[str]
    ) -> dict[str, Tensor]:
        known: dict[str, Tensor] = dict(self._constants)
        known.update((name, self.fitted[row]) for name, row in self._row.items())
        known[PICTURE] = images
        tensors = _Tensors(known, int8)
        kept = {PICTURE: images} if PICTURE in keep else {}
        for row, (node, call) in enumerate(zip(self._nodes, self._calls, strict=True)):
            inputs = [tensors.read(node, slot) for slot in range(len(node.input))]
            try:
                made = OPERATORS[node.op_type](call, inputs)
            except UnsupportedForm as error:
                raise _refused(f"{node.op_type} ({node.name}) with {error}") from error
            several = [made] if isinstance(made, Tensor) else made
            for name, tensor in zip(node.output, several, strict=True):
                known[name] = tensor
                if name in keep or name in self._outputs:
                    kept[name] = tensor
            tensors.drop(self._done_after[row])
        return {
            **{name: kept[name] for name in self._outputs},
            **{name: tensor for name, tensor in kept.items() if name not in self._outputs},
        }

    def write_into(self, model: ModelProto) -> ModelProto:
        """A copy of `model`, this network's graph, with the present weights."""
        values = {
            name: self.fitted[row].detach().contiguous().numpy() for name, row in self._row.items()
        }
        other = with_nodes(model, nodes=model.graph.node, initializers=values)
        other.graph.value_info.extend(model.graph.value_info)
        return other


def _shared(graph: Graph, values: Mapping[str, Array]) -> list[list[str]]:
    """Trainable initializers in graph order; copies of one weight are grouped."""
    together: dict[tuple[object, ...], list[str]] = {}
    for node in graph.nodes:
        if node.op_type not in WEIGHTED:
            continue
        of_weight: tuple[object, ...] = (node.input[WEIGHT],)
        for slot in (WEIGHT, BIAS):
            name = node.input[slot] if slot < len(node.input) else ""
            if name not in values or not graph.is_float(name):
                continue
            key: tuple[object, ...] = (values[name].shape, values[name].tobytes())
            if slot == BIAS:
                key = (of_weight, *key)  # two biases of zeros are equal without being shared
            else:
                of_weight = key
            names = together.setdefault(key, [])
            if name not in names:
                names.append(name)
    return list(together.values())


class _Tensors:
    """The tensors of one run that are still needed; each rounded tensor is computed once."""

    def __init__(self, known: dict[str, Tensor], int8: FakeQuantization | None) -> None:
        self._known = known
        self._int8 = int8
        self._rounded: dict[str, Tensor] = {}

    def read(self, node: NodeProto, slot: int) -> Tensor | None:
        """The tensor that a node reads in a slot, rounded where `int8` says so."""
        name, int8 = node.input[slot], self._int8
        if not name:
            return None
        if int8 is None:
            return self._known[name]
        weight = slot == WEIGHT and node.op_type in WEIGHTED and node.name in int8.rounded
        if not weight and (node.name, slot) not in int8.reads:
            return self._known[name]
        if name not in self._rounded:
            given = self._known[name]
            self._rounded[name] = (
                round_weight(given, int8.weights[name])
                if weight
                else _round(given, int8.scales[name])
            )
        return self._rounded[name]

    def drop(self, names: Sequence[str]) -> None:
        """Drops tensors that no later node reads."""
        for name in names:
            self._known.pop(name, None)
            self._rounded.pop(name, None)


def round_weight(weight: Tensor, axis: int) -> Tensor:
    """A weight rounded as INT8: a scale per channel, from its largest magnitude (rule R2)."""
    others = tuple(row for row in range(weight.dim()) if row != axis)
    amax = weight.detach().abs().amax(dim=others)
    scale = torch.where(amax > 0.0, (amax / INT8_LEVELS).clamp(min=SMALLEST_SCALE), 1.0)
    zero = torch.zeros(len(scale), dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(
        weight, scale, zero, axis, -INT8_LEVELS, INT8_LEVELS
    )


def _round(x: Tensor, scale: Tensor) -> Tensor:
    return torch.fake_quantize_per_tensor_affine(
        x, scale, torch.zeros((), dtype=torch.int32), -INT8_LEVELS - 1, INT8_LEVELS
    )


def network_of(model: ModelProto, pictures: Sequence[Floats], *, threads: int) -> GraphNetwork:
    """The network of a graph, after a comparison with onnxruntime on `pictures`.

    Raises:
        UsageError: an operator is not supported, or results differ by more than ALIKE.
    """
    network = GraphNetwork(model)
    session = ModelSession(model.SerializeToString(), threads=threads)
    wanted = [session.run({PICTURE: picture}) for picture in pictures]
    together = torch.from_numpy(np.concatenate(list(pictures)))
    if _difference(network, together, wanted) > ALIKE:
        network.one_by_one = True
        if (difference := _difference(network, together, wanted)) > ALIKE:
            raise _refused(f"a graph that in torch differs from onnxruntime by {difference:.3g}")
    return network


def _difference(network: GraphNetwork, images: Tensor, wanted: Sequence[Sequence[Floats]]) -> float:
    """The largest difference from the outputs `wanted` for each picture, relative to the output's
    largest magnitude or 1; infinite where the pictures cannot be run."""
    with torch.inference_mode():
        try:
            found = [made.numpy() for made in network(images).values()]
        except (RuntimeError, IndexError, ValueError):
            return math.inf
    worst = 0.0
    for row, outputs in enumerate(wanted):
        for reference, batch in zip(outputs, found, strict=True):
            mine = batch[row : row + 1]
            if mine.shape != reference.shape:
                return math.inf
            difference = float(np.abs(reference - mine).max(initial=0.0))
            share = difference / max(1.0, float(np.abs(reference).max(initial=0.0)))
            worst = max(worst, math.inf if math.isnan(share) else share)
    return worst


def _call(graph: Graph, node: NodeProto, values: Mapping[str, Array]) -> Call:
    numbers = {
        slot: values[name].reshape(-1).tolist()
        for slot, name in enumerate(node.input)
        if name in values and values[name].size <= NUMBERS_MAX
    }
    whole = graph.shape(node.output[0])
    if node.op_type == "Reshape" and 1 in numbers and whole is not None:
        numbers[1] = list(whole)
    return Call(attributes(node), numbers, len(node.output))


def _require_known(nodes: Sequence[NodeProto]) -> None:
    if unknown := sorted({node.op_type for node in nodes} - set(OPERATORS)):
        raise _refused(", ".join(unknown))


def _refused(found: str) -> UsageError:
    return UsageError(
        "the network cannot be fine-tuned",
        expected=f"a graph of these operators, as PyTorch exports them: {', '.join(OPERATORS)}",
        found=found,
        remedy="leave the layers that INT8 ruins in float: precision.search = 'mixed'",
    )
