"""The table of ONNX operators as torch functions.

Each function takes a `Call` and its input tensors and returns its outputs. The table holds
operators of converted networks, with constants and BatchNorm folded and static shapes; others are
refused by name. A network of these functions is compared with onnxruntime before it is fitted.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812 # torch's own name for it
from torch import Tensor

from converters.finetuning.torch_graph.operator_call import Call, Inputs, Operator, one, three
from converters.finetuning.torch_graph.shape_operators import (
    depth_to_space,
    expand,
    flatten,
    gather,
    reshape,
    split,
    squeeze,
    take_slice,
    unsqueeze,
)
from converters.finetuning.torch_graph.window_operators import (
    average_pool,
    conv,
    conv_transpose,
    max_pool,
    pad,
    resize,
)


def _gemm(call: Call, inputs: Inputs) -> Tensor:
    a, b, c = three(inputs)
    a = a.transpose(0, 1) if call.get("transA", 0) else a
    b = b.transpose(0, 1) if call.get("transB", 0) else b
    made: Tensor = float(call.get("alpha", 1.0)) * (a @ b)
    return made if c is None else made + float(call.get("beta", 1.0)) * c


def _global_average(_: Call, inputs: Inputs) -> Tensor:
    x = one(inputs)
    return x.mean(dim=tuple(range(2, x.dim())), keepdim=True)


def _reduce(function: Callable[..., Tensor]) -> Operator:
    def reduce(call: Call, inputs: Inputs) -> Tensor:
        x = one(inputs)
        axes = call.numbers(1, "axes")
        if not axes:
            if call.get("noop_with_empty_axes", 0):
                return x
            axes = list(range(x.dim()))
        return function(x, dim=tuple(axes), keepdim=bool(call.get("keepdims", 1)))

    return reduce


def _clip(call: Call, inputs: Inputs) -> Tensor:
    low, high = call.numbers(1), call.numbers(2)
    return one(inputs).clamp(
        min=low[0] if low else call.get("min", None), max=high[0] if high else call.get("max", None)
    )


def _layer_norm(call: Call, inputs: Inputs) -> Tensor:
    x, scale, bias = three(inputs)
    shape = x.shape[call.get("axis", -1) :]
    return F.layer_norm(x, shape, scale, bias, call.get("epsilon", 1e-5))


def _hard_sigmoid(call: Call, inputs: Inputs) -> Tensor:
    slope, middle = float(call.get("alpha", 0.2)), float(call.get("beta", 0.5))
    return (slope * one(inputs) + middle).clamp(0.0, 1.0)


def _p_relu(_: Call, inputs: Inputs) -> Tensor:
    x, slope, _none = three(inputs)
    return torch.where(x < 0, slope * x, x)


def _plain(function: Callable[[Tensor], Tensor]) -> Operator:
    return lambda _, inputs: function(one(inputs))


def _two(function: Callable[[Tensor, Tensor], Tensor]) -> Operator:
    def of_two(_: Call, inputs: Inputs) -> Tensor:
        a, b, _none = three(inputs)
        return function(a, b)

    return of_two


OPERATORS: dict[str, Operator] = {
    "Abs": _plain(torch.abs),
    "Add": _two(torch.add),
    "AveragePool": average_pool,
    "Clip": _clip,
    "Concat": lambda call, inputs: torch.cat(
        [x for x in inputs if x is not None], dim=call.attributes["axis"]
    ),
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "DepthToSpace": depth_to_space,
    "Div": _two(torch.div),
    "Elu": lambda call, inputs: F.elu(one(inputs), call.get("alpha", 1.0)),
    "Erf": _plain(torch.erf),
    "Exp": _plain(torch.exp),
    "Expand": expand,
    "Flatten": flatten,
    "Gather": gather,
    "Gelu": lambda call, inputs: F.gelu(
        one(inputs), approximate=call.get("approximate", b"none").decode()
    ),
    "Gemm": _gemm,
    "GlobalAveragePool": _global_average,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _plain(F.hardswish),
    "Identity": _plain(lambda x: x),
    "LayerNormalization": _layer_norm,
    "LeakyRelu": lambda call, inputs: F.leaky_relu(one(inputs), call.get("alpha", 0.01)),
    "Log": _plain(torch.log),
    "MatMul": _two(torch.matmul),
    "Max": _two(torch.maximum),
    "MaxPool": max_pool,
    "Min": _two(torch.minimum),
    "Mish": _plain(F.mish),
    "Mul": _two(torch.mul),
    "Neg": _plain(torch.neg),
    "PRelu": _p_relu,
    "Pad": pad,
    "Pow": _two(torch.pow),
    "ReduceMax": _reduce(torch.amax),
    "ReduceMean": _reduce(torch.mean),
    "ReduceSum": _reduce(torch.sum),
    "Relu": _plain(torch.relu),
    "Reshape": reshape,
    "Resize": resize,
    "Sigmoid": _plain(torch.sigmoid),
    "Slice": take_slice,
    "Softmax": lambda call, inputs: torch.softmax(one(inputs), dim=call.get("axis", -1)),
    "Softplus": _plain(F.softplus),
    "Split": split,
    "Sqrt": _plain(torch.sqrt),
    "Squeeze": squeeze,
    "Sub": _two(torch.sub),
    "Tanh": _plain(torch.tanh),
    "Transpose": lambda call, inputs: one(inputs).permute(call.attributes["perm"]),
    "Unsqueeze": unsqueeze,
}
"""ONNX operator -> its torch function."""
