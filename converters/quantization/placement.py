"""Places Q/DQ in a float graph by the rules: which tensors get a pair, which nodes read it, which
pairs share a scale, which operators stay in float and why.

Takes a float graph; returns a `QdqPlacement`. It needs no ranges and changes no graph.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from onnx import ModelProto, NodeProto

from converters.graph.index import Graph, Read
from converters.graph.multiplications import multiplications
from converters.quantization.rules import (
    DATA,
    RULES,
    WEIGHT,
    WEIGHTED,
    r2_weight_axis,
    r3_weight_is_constant,
    r5_reads,
    r6_skip_reads,
    r7_concat,
    r8_shared,
    r9_never,
)

MEASURED = "measured"
"""In place of a rule's id, for operators that stay in float because measurement says so."""


@dataclass(frozen=True)
class QuantizedRead:
    """An input of a node that reads a dequantized tensor, and the rule that asks for it."""

    node: str
    slot: int
    tensor: str
    rule: str


@dataclass(frozen=True)
class FloatOperator:
    """A weighted operator that stays in float, and why: by a rule, or MEASURED."""

    node: str
    rule: str
    why: str


@dataclass(frozen=True)
class QdqPlacement:
    """Where INT8 goes in one graph.

    Attributes:
        pairs: activation tensors with one Q/DQ pair each, in graph order.
        reads: the inputs that read them dequantized.
        weights: weight tensor -> axis of its scales; every node in `reads` reads it quantized.
        shared: groups of pairs with one scale; a pair with its own scale is in no group.
        left_float: weighted operators that are not quantized.
        macs_of: multiply-accumulates a picture of every quantized operator, in graph order.
        macs: multiply-accumulates of all operators that multiply.
        no_int8: those of operators that multiply and have no INT8 form here (LSTM, Einsum, what is
            inside an If), in graph order.
    """

    pairs: tuple[str, ...]
    reads: tuple[QuantizedRead, ...]
    weights: dict[str, int]
    shared: tuple[tuple[str, ...], ...]
    left_float: tuple[FloatOperator, ...]
    quantized_ops: dict[str, int]
    macs_of: dict[str, int]
    macs: int
    no_int8: dict[str, int]

    @property
    def macs_int8(self) -> int:
        """Multiply-accumulates a picture that are quantized."""
        return sum(self.macs_of.values())

    @property
    def macs_int8_share(self) -> float | None:
        """Their share of all, 0..1; None where nothing is multiplied."""
        return self.macs_int8 / self.macs if self.macs else None

    @property
    def reads_by_rule(self) -> dict[str, int]:
        """How many reads each rule placed."""
        return dict(sorted(Counter(read.rule for read in self.reads).items()))

    def to_json(self) -> dict[str, Any]:
        """The placement's part of the section `quantized` of report.json."""
        return {
            "operators": self.quantized_ops,
            "activation_pairs": len(self.pairs),
            "weight_pairs": len(self.weights),
            "reads_by_rule": self.reads_by_rule,
            "rules": dict(RULES),
            "shared_scales": [list(group) for group in self.shared],
            "left_float": [asdict(left) for left in self.left_float],
            "macs": self.macs,
            "macs_int8": self.macs_int8,
            "macs_int8_share": self.macs_int8_share,
            "macs_without_int8": self.no_int8,
        }


def place(model: ModelProto, *, kept_float: Mapping[str, str] | None = None) -> QdqPlacement:
    """The placement for a float graph whose shapes are static and whose constants are folded.

    Args:
        kept_float: operators that stay in float although the rules would quantize them -> why.
    """
    kept = kept_float or {}
    graph = Graph(model)
    left: list[FloatOperator] = []
    reads: dict[tuple[str, int], QuantizedRead] = {}
    quantized: list[NodeProto] = []
    weights: dict[str, int] = {}
    wanted = {read.node.name for read in r5_reads(graph)}
    for node in graph.nodes:
        if node.op_type not in WEIGHTED:
            continue
        never = r9_never(graph, node.input[DATA])
        if not r3_weight_is_constant(graph, node):
            left.append(
                FloatOperator(node.name, "R3", "its weight is no constant matrix or kernel")
            )
        elif never is not None:
            left.append(FloatOperator(node.name, "R9", f"its input is {never}"))
        elif node.name not in wanted:
            left.append(FloatOperator(node.name, "R5", "its input is inside a fused activation"))
        elif node.name in kept:
            left.append(FloatOperator(node.name, MEASURED, kept[node.name]))
        elif weights.setdefault(node.input[WEIGHT], r2_weight_axis(node)) != r2_weight_axis(node):
            left.append(
                FloatOperator(node.name, "R2", "its weight is quantized along another axis")
            )
        else:
            quantized.append(node)
            _take(reads, Read(node, DATA), "R5")
    integer = {node.name for node in quantized}
    for read in r6_skip_reads(graph, integer):
        if r9_never(graph, read.node.input[read.slot]) is None:
            _take(reads, read, "R6")
    pairs = {read.tensor for read in reads.values()}
    links: list[tuple[str, str]] = []
    for rule, joined in (("R7", r7_concat(graph, pairs)), ("R8", r8_shared(graph, pairs))):
        for later, read in joined:
            links.append((later, read.node.input[read.slot]))
            _take(reads, read, rule)
    order = {name: row for row, name in enumerate((*graph.inputs, *graph.producer))}
    counted = [(node, multiplications(graph, node)) for node in graph.nodes]
    return QdqPlacement(
        pairs=tuple(sorted(pairs, key=lambda name: order[name])),
        reads=tuple(reads.values()),
        weights=weights,
        shared=groups(links),
        left_float=tuple(left),
        quantized_ops=dict(sorted(Counter(node.op_type for node in quantized).items())),
        macs_of={node.name: multiplications(graph, node) for node in quantized},
        macs=sum(count for _, count in counted),
        no_int8={
            node.name: count for node, count in counted if count and node.op_type not in WEIGHTED
        },
    )


def _take(reads: dict[tuple[str, int], QuantizedRead], read: Read, rule: str) -> None:
    name, tensor = read.node.name, read.node.input[read.slot]
    reads.setdefault((name, read.slot), QuantizedRead(name, read.slot, tensor, rule))


def groups(links: list[tuple[str, str]]) -> tuple[tuple[str, ...], ...]:
    """Tensors that are linked, directly or through others, as sorted groups."""
    group: dict[str, set[str]] = {}
    for one, other in links:
        joined = group.get(one, {one}) | group.get(other, {other})
        for name in joined:
            group[name] = joined
    return tuple(sorted({tuple(sorted(members)) for members in group.values()}))
