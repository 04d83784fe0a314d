"""An activation exported as several operators is recognised as one, so that rule R5 puts no Q/DQ
pair inside it.
"""

from __future__ import annotations

import numpy as np
import pytest
from onnx import ModelProto, NodeProto, helper
from tiny_graphs import node, ready, weights

from converters.graph.fused_activations import fused_tensors
from converters.graph.index import Graph
from converters.graph.passes.canonical_names import PICTURE
from converters.quantization.placement import place

CONSTANTS = {
    "zero": 0.0, "half": 0.5, "one": 1.0, "three": 3.0, "six": 6.0, "sixth": 1.0 / 6.0,
    "root": 2.0**0.5, "cube": 0.044715, "tanh": 0.7978845608,
}  # fmt: skip

WRITTEN: dict[str, list[NodeProto]] = {
    "HardSwish": [
        node("Add", ["c", "three"], ["a1"]),
        node("Clip", ["a1", "zero", "six"], ["a2"]),
        node("Mul", ["c", "a2"], ["a3"]),
        node("Div", ["a3", "six"], ["r"]),
    ],
    "HardSwish, the factor first": [
        node("Add", ["c", "three"], ["a1"]),
        node("Clip", ["a1", "zero", "six"], ["a2"]),
        node("Mul", ["a2", "sixth"], ["a3"]),
        node("Mul", ["a3", "c"], ["r"]),
    ],
    "Mish": [
        node("Softplus", ["c"], ["a1"]),
        node("Tanh", ["a1"], ["a2"]),
        node("Mul", ["c", "a2"], ["r"]),
    ],
    "Mish, all written out": [
        node("Exp", ["c"], ["a1"]),
        node("Add", ["a1", "one"], ["a2"]),
        node("Log", ["a2"], ["a3"]),
        node("Tanh", ["a3"], ["a4"]),
        node("Mul", ["c", "a4"], ["r"]),
    ],
    "GELU": [
        node("Div", ["c", "root"], ["a1"]),
        node("Erf", ["a1"], ["a2"]),
        node("Add", ["a2", "one"], ["a3"]),
        node("Mul", ["c", "a3"], ["a4"]),
        node("Mul", ["a4", "half"], ["r"]),
    ],
    "GELU by Tanh": [
        node("Pow", ["c", "three"], ["a1"]),
        node("Mul", ["a1", "cube"], ["a2"]),
        node("Add", ["c", "a2"], ["a3"]),
        node("Mul", ["a3", "tanh"], ["a4"]),
        node("Tanh", ["a4"], ["a5"]),
        node("Add", ["a5", "one"], ["a6"]),
        node("Mul", ["c", "a6"], ["a7"]),
        node("Mul", ["a7", "half"], ["r"]),
    ],
    "SiLU": [node("Sigmoid", ["c"], ["a1"]), node("Mul", ["c", "a1"], ["r"])],
}

OTHERS: dict[str, list[NodeProto]] = {
    "someone reads inside": [
        *WRITTEN["Mish"][:2],
        node("Mul", ["c", "a2"], ["m"]),
        node("Add", ["m", "a1"], ["m2"]),
        node("Conv", ["a2", "w1"], ["other"]),
        node("Add", ["m2", "other"], ["r"]),
    ],
    "another tensor takes part": [
        node("Sigmoid", ["c"], ["a1"]),
        node("Mul", ["a1", "x2"], ["a2"]),
        node("Mul", ["c", "a2"], ["r"]),
    ],
    "a factor for each channel": [
        node("Mul", ["c", "by_channel"], ["a1"]),
        node("Tanh", ["a1"], ["a2"]),
        node("Mul", ["c", "a2"], ["r"]),
    ],
}


def between(nodes: list[NodeProto]) -> ModelProto:
    """Two convolutions, and these operators from "c" to "r" between them."""
    constants = {name: np.float32(value) for name, value in CONSTANTS.items()}
    constants["by_channel"] = weights(16, 1, 1)
    constants |= {"w": weights(16, 3, 1, 1), "w1": weights(16, 16, 1, 1, seed=1)}
    return ready(
        [
            node("Conv", [PICTURE, "w"], ["c"]),
            node("Conv", [PICTURE, "w"], ["x2"]),
            *nodes,
            node("Conv", ["r", "w1"], ["y"]),
        ],
        constants,
        inputs={PICTURE: (1, 3, 8, 8)},
    )


@pytest.mark.parametrize("what", WRITTEN)
def test_it_is_one_activation(what: str) -> None:
    model = between(WRITTEN[what])
    graph = Graph(model)
    found = fused_tensors(graph, graph.producer["c"])
    assert found[0] == "c"
    assert found[-1] == "r"
    assert len(found) == 1 + len(WRITTEN[what])
    assert {"c", "r"} & set(place(model).pairs) == {"r"}


@pytest.mark.parametrize("what", OTHERS)
def test_what_is_none_is_left_as_it_is(what: str) -> None:
    graph = Graph(between(OTHERS[what]))
    assert fused_tensors(graph, graph.producer["c"]) == ["c"]


def test_a_result_that_is_put_out_ends_it() -> None:
    model = between(WRITTEN["Mish"])
    model.graph.output.append(helper.make_tensor_value_info("a2", 1, None))
    graph = Graph(model)
    assert fused_tensors(graph, graph.producer["c"]) == ["c"]


def test_a_result_that_several_read_is_where_it_ends() -> None:
    model = between(WRITTEN["GELU"])
    model.graph.node.append(node("Conv", ["a4", "w1"], ["z"], name="beside"))
    graph = Graph(model)
    assert fused_tensors(graph, graph.producer["c"])[-1] == "a4"
