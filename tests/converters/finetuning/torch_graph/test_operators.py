"""Every operator that `finetune` supports computes the same in torch as in onnxruntime, for one
picture and for two at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike
from tiny_graphs import node, picture, ready, weights

from converters.finetuning.torch_graph.network import network_of
from converters.finetuning.torch_graph.operators import OPERATORS
from converters.graph.passes.canonical_names import PICTURE
from firmware_bridge.errors import UsageError

PICTURES = [picture(1), picture(2)]

Case = tuple[list[str], Mapping[str, ArrayLike], Mapping[str, Any]]
"""Constant inputs behind the picture by name, their values, attributes."""

NONE: Case = ([], {}, {})


def constant(*values: ArrayLike, **attributes: Any) -> Case:
    names = [f"c{row}" for row in range(len(values))]
    return names, dict(zip(names, values, strict=True)), attributes


SCALES = np.float32([1, 1, 2, 2])
SIZES = np.array([1, 3, 16, 12])

CASES: dict[str, list[Case]] = {
    "Abs": [NONE],
    "Add": [constant(weights(1, 3, 1, 1))],
    "AveragePool": [
        constant(kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2]),
        constant(kernel_shape=[3, 3], pads=[0, 1, 1, 0], count_include_pad=1),
    ],
    "Clip": [constant(np.float32(-0.5), np.float32(0.5)), constant(np.float32(0.1))],
    "Conv": [
        constant(weights(4, 3, 3, 3), weights(4), pads=[1, 1, 1, 1], strides=[2, 2]),
        constant(weights(6, 1, 3, 3), group=3, dilations=[2, 2], pads=[0, 1, 2, 1]),
    ],
    "ConvTranspose": [
        constant(weights(3, 2, 2, 2), weights(2), strides=[2, 2], output_padding=[1, 1]),
        constant(weights(3, 2, 3, 3), group=3, pads=[1, 1, 1, 1]),
    ],
    "Div": [constant(np.float32([[[2.0]], [[3.0]], [[4.0]]]))],
    "Elu": [constant(alpha=0.7)],
    "Erf": [NONE],
    "Exp": [NONE],
    "Expand": [constant(np.array([1, 3, 8, 8]))],
    "Flatten": [NONE],
    "Gather": [constant(np.array([2, 0, -1]), axis=1), constant(np.array(1), axis=2)],
    "GlobalAveragePool": [NONE],
    "HardSigmoid": [constant(alpha=0.3, beta=0.4)],
    "HardSwish": [NONE],
    "Identity": [NONE],
    "LayerNormalization": [constant(weights(8), weights(8, seed=1), epsilon=1e-3)],
    "LeakyRelu": [constant(alpha=0.2)],
    "MatMul": [constant(weights(8, 5))],
    "Max": [constant(weights(1, 3, 1, 1))],
    "MaxPool": [
        constant(kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2]),
        constant(kernel_shape=[2, 2], pads=[0, 0, 1, 1], ceil_mode=1),
    ],
    "Min": [constant(weights(1, 3, 1, 1))],
    "Mish": [NONE],
    "Mul": [constant(weights(1, 3, 1, 1))],
    "Neg": [NONE],
    "PRelu": [constant(weights(3, 1, 1))],
    "Pad": [constant(np.array([0, 0, 1, 2, 0, 0, 3, 0]), np.float32(0.5))],
    "Pow": [constant(np.float32(2.0))],
    "ReduceMax": [constant(np.array([2, 3]), keepdims=0)],
    "ReduceMean": [constant(np.array([2, 3])), constant(np.array([1]), keepdims=0)],
    "ReduceSum": [constant(np.array([-1]))],
    "Relu": [NONE],
    "Reshape": [
        constant(np.array([1, 3, -1])),
        constant(np.array([0, 3, 16, 4])),
        constant(np.array([-1, 192])),
    ],
    "Resize": [
        (
            ["", "c0"],
            {"c0": SCALES},
            {"mode": "nearest", "nearest_mode": "floor"}
            | {"coordinate_transformation_mode": "asymmetric"},
        ),
        (["", "", "c0"], {"c0": SIZES}, {"mode": "linear"}),
        (
            ["", "", "c0"],
            {"c0": SIZES},
            {"mode": "linear"} | {"coordinate_transformation_mode": "align_corners"},
        ),
    ],
    "Sigmoid": [NONE],
    "Slice": [
        constant(np.array([1]), np.array([2**31]), np.array([2])),
        constant(np.array([-1, 6]), np.array([-(2**31), 1]), np.array([3, 2]), np.array([-2, -1])),
        constant(np.array([0]), np.array([-1]), np.array([-1]), np.array([2])),
    ],
    "Softmax": [constant(axis=1)],
    "Softplus": [NONE],
    "Sub": [constant(weights(1, 3, 1, 1))],
    "Tanh": [NONE],
    "Transpose": [constant(perm=[0, 2, 3, 1])],
    "Unsqueeze": [constant(np.array([1, -1]))],
}
"""Operator -> ways to use it on a picture (1, 3, 8, 8)."""

WITH_OTHERS = {
    "Concat": lambda: [node("Concat", [PICTURE, PICTURE], ["y"], axis=3)],
    "DepthToSpace": lambda: [
        node("Concat", [PICTURE, PICTURE, PICTURE, PICTURE], ["a"], axis=1),
        node("DepthToSpace", ["a"], ["y"], blocksize=2, mode="CRD"),
    ],
    "Gelu": lambda: [node("Gelu", [PICTURE], ["y"], approximate="tanh")],
    "Gemm": lambda: [
        node("Flatten", [PICTURE], ["a"]),
        node("Gemm", ["a", "w", "b"], ["y"], alpha=0.5, beta=2.0, transB=1),
    ],
    "Log": lambda: [node("Exp", [PICTURE], ["a"]), node("Log", ["a"], ["y"])],
    "Split": lambda: [
        node("Split", [PICTURE], ["a", "b1"], axis=2, num_outputs=2),
        node("Split", ["a", "three"], ["c", "y"], axis=3),
    ],
    "Sqrt": lambda: [node("Abs", [PICTURE], ["a"]), node("Sqrt", ["a"], ["y"])],
    "Squeeze": lambda: [
        node("GlobalAveragePool", [PICTURE], ["a"]),
        node("Squeeze", ["a", "axes"], ["y"]),
    ],
}
"""Operators that take more than the picture and constants, and all that is needed for one."""

CONSTANTS = {
    "w": weights(5, 192),
    "b": weights(5, seed=1),
    "three": np.array([3, 5]),
    "axes": np.array([2, 3]),
}


def test_every_operator_has_a_case() -> None:
    assert {*CASES, *WITH_OTHERS} == set(OPERATORS)


@pytest.mark.parametrize("name", CASES)
def test_it_computes_what_onnxruntime_does(name: str) -> None:
    for inputs, values, attributes in CASES[name]:
        model = ready(
            [node(name, [PICTURE, *inputs], ["y"], **attributes)],
            values,
            inputs={PICTURE: (1, 3, 8, 8)},
        )
        assert not network_of(model, PICTURES, threads=1).one_by_one


@pytest.mark.parametrize("name", WITH_OTHERS)
def test_so_does_one_behind_another(name: str) -> None:
    made = WITH_OTHERS[name]()
    used = {one for each in made for one in each.input}
    model = ready(
        made,
        {key: value for key, value in CONSTANTS.items() if key in used},
        inputs={PICTURE: (1, 3, 8, 8)},
        opset=20,
    )
    assert not network_of(model, PICTURES, threads=1).one_by_one


@pytest.mark.parametrize(
    ("name", "attributes"),
    [
        ("MaxPool", {"kernel_shape": [2, 2], "auto_pad": "SAME_UPPER"}),
        ("DepthToSpace", {"blocksize": 1}),
        ("Flatten", {"axis": 2}),
    ],
)
def test_a_way_that_it_does_not_have_is_refused(name: str, attributes: dict[str, Any]) -> None:
    model = ready([node(name, [PICTURE], ["y"], **attributes)], {}, inputs={PICTURE: (1, 3, 8, 8)})
    with pytest.raises(UsageError, match=name):
        network_of(model, PICTURES, threads=1)
