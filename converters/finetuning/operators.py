"""The operators of a float graph as torch functions, one table.

Only what a converted network may hold: constants folded, BatchNorm folded, shapes static. What an
attribute means here is not taken on trust: the network that is built of them is compared with
onnxruntime before anything is fitted. An operator that is not in the table is refused by name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 # torch's own name for it
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


class Unlike(Exception):
    """An operator is used in a way that its function here does not have; the text says which."""


def _pads(call: Call, axes: int) -> list[int]:
    if call.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        raise Unlike("auto_pad")
    return list(call.get("pads", [0] * (2 * axes)))


def _padded(x: Tensor, pads: Sequence[int], value: float = 0.0) -> tuple[Tensor, list[int]]:
    """`x` padded where both sides differ, and what is left for the operator itself to pad."""
    half = len(pads) // 2
    first, last = list(pads[:half]), list(pads[half:])
    if first == last:
        return x, first
    sides = [side for axis in reversed(range(half)) for side in (first[axis], last[axis])]
    return F.pad(x, sides, value=value), [0] * half


def _conv(call: Call, inputs: Inputs) -> Tensor:
    x, weight, bias = _three(inputs)
    axes = weight.dim() - 2
    x, padding = _padded(x, _pads(call, axes))
    convolve = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[axes]
    made: Tensor = convolve(
        x,
        weight,
        bias,
        stride=call.get("strides", [1] * axes),
        padding=padding,
        dilation=call.get("dilations", [1] * axes),
        groups=call.get("group", 1),
    )
    return made


def _conv_transpose(call: Call, inputs: Inputs) -> Tensor:
    x, weight, bias = _three(inputs)
    axes = weight.dim() - 2
    pads = _pads(call, axes)
    if pads[:axes] != pads[axes:] or "output_shape" in call.attributes:
        raise Unlike("pads that differ, or output_shape")
    convolve = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}[axes]
    return convolve(
        x,
        weight,
        bias,
        stride=call.get("strides", [1] * axes),
        padding=pads[:axes],
        output_padding=call.get("output_padding", [0] * axes),
        groups=call.get("group", 1),
        dilation=call.get("dilations", [1] * axes),
    )


def _gemm(call: Call, inputs: Inputs) -> Tensor:
    a, b, c = _three(inputs)
    a = a.transpose(0, 1) if call.get("transA", 0) else a
    b = b.transpose(0, 1) if call.get("transB", 0) else b
    made: Tensor = float(call.get("alpha", 1.0)) * (a @ b)
    return made if c is None else made + float(call.get("beta", 1.0)) * c


def _max_pool(call: Call, inputs: Inputs) -> Tensor:
    kernel = call.attributes["kernel_shape"]
    if len(kernel) != 2 or call.outputs != 1:
        raise Unlike("other than two axes, or with indices")
    x, padding = _padded(_one(inputs), _pads(call, 2), float("-inf"))
    return F.max_pool2d(
        x,
        kernel,
        stride=call.get("strides", [1, 1]),
        padding=padding,
        dilation=call.get("dilations", [1, 1]),
        ceil_mode=bool(call.get("ceil_mode", 0)),
    )


def _average_pool(call: Call, inputs: Inputs) -> Tensor:
    kernel, pads = call.attributes["kernel_shape"], _pads(call, 2)
    counts = bool(call.get("count_include_pad", 0))
    if len(kernel) != 2 or (pads[:2] != pads[2:] and not counts):
        raise Unlike("other than two axes, or pads that differ")
    x, padding = _padded(_one(inputs), pads)
    return F.avg_pool2d(
        x,
        kernel,
        stride=call.get("strides", [1, 1]),
        padding=padding,
        ceil_mode=bool(call.get("ceil_mode", 0)),
        count_include_pad=counts,
    )


def _global_average(_: Call, inputs: Inputs) -> Tensor:
    x = _one(inputs)
    return x.mean(dim=tuple(range(2, x.dim())), keepdim=True)


def _reduce(function: Callable[..., Tensor]) -> Operator:
    def reduce(call: Call, inputs: Inputs) -> Tensor:
        x = _one(inputs)
        axes = call.numbers(1, "axes")
        if not axes:
            if call.get("noop_with_empty_axes", 0):
                return x
            axes = list(range(x.dim()))
        return function(x, dim=tuple(axes), keepdim=bool(call.get("keepdims", 1)))

    return reduce


def _resize(call: Call, inputs: Inputs) -> Tensor:
    x = _one(inputs)
    sizes, scales = call.numbers(3), call.numbers(2)
    if x.dim() != 4 or call.get("axes", None):
        raise Unlike("other than four axes, or `axes`")
    if sizes:
        wanted = [int(size) for size in sizes[2:]]
    elif scales:
        wanted = [int(side * scale) for side, scale in zip(x.shape[2:], scales[2:], strict=True)]
    else:
        raise Unlike("neither sizes nor scales")
    mode, where = (
        call.get("mode", b"nearest"),
        call.get("coordinate_transformation_mode", b"half_pixel"),
    )
    if mode == b"nearest":
        # Of whole factors every rule of rounding gives the same: each value so many times.
        if any(new % old for new, old in zip(wanted, x.shape[2:], strict=True)) and (
            where != b"asymmetric" or call.get("nearest_mode", b"") != b"floor"
        ):
            raise Unlike("nearest by a factor that is not whole")
        return F.interpolate(x, size=wanted, mode="nearest")
    if mode != b"linear" or where not in (b"half_pixel", b"pytorch_half_pixel", b"align_corners"):
        raise Unlike(f"{mode!r} with {where!r}")
    return F.interpolate(x, size=wanted, mode="bilinear", align_corners=where == b"align_corners")


def _reshape(call: Call, inputs: Inputs) -> Tensor:
    x, shape = _one(inputs), call.numbers(1)
    if shape is None:
        raise Unlike("a computed shape")
    # The graph is written for one picture; a batch of them goes along the first axis.
    if math.prod(shape) != x.numel() and shape[0] == 1:
        shape = [-1, *shape[1:]]
    return x.reshape(shape)


def _expand(call: Call, inputs: Inputs) -> Tensor:
    x, shape = _one(inputs), call.numbers(1)
    if shape is None:
        raise Unlike("a computed shape")
    sizes = list(zip_longest(reversed(x.shape), reversed(shape), fillvalue=1))
    return x.expand([max(pair) for pair in reversed(sizes)])


def _slice(call: Call, inputs: Inputs) -> Tensor:
    x = _one(inputs)
    starts, ends = call.numbers(1, "starts"), call.numbers(2, "ends")
    if starts is None or ends is None:
        raise Unlike("computed bounds")
    axes = call.numbers(3, "axes") or list(range(len(starts)))
    steps = call.numbers(4) or [1] * len(starts)
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        size = x.shape[axis]
        # Backwards, an end before the first value takes that value too.
        rows = range(size)[start : None if step < 0 and end < -size else end : step]
        if step == 1:
            x = x.narrow(axis, rows.start if rows else 0, len(rows))
        else:
            x = x.index_select(axis, torch.tensor(rows))
    return x


def _split(call: Call, inputs: Inputs) -> Sequence[Tensor]:
    x, axis = _one(inputs), call.get("axis", 0)
    sizes = call.numbers(1, "split")
    if sizes is None:
        # The last part is the smaller one where the axis does not part evenly.
        size = -(-x.shape[axis] // call.outputs)
        sizes = [size] * (call.outputs - 1) + [x.shape[axis] - size * (call.outputs - 1)]
    return list(torch.split(x, sizes, dim=axis))


def _gather(call: Call, inputs: Inputs) -> Tensor:
    x, rows = inputs[0], inputs[1]
    assert x is not None
    axis = call.get("axis", 0)
    if rows is None or rows.dim() > 1:
        raise Unlike("indices of more than one axis")
    rows = rows.to(torch.int64) % x.shape[axis]
    return x.select(axis, int(rows)) if rows.dim() == 0 else x.index_select(axis, rows)


def _squeeze(call: Call, inputs: Inputs) -> Tensor:
    x, axes = _one(inputs), call.numbers(1, "axes")
    if axes is None:
        raise Unlike("no axes")
    return x.squeeze(tuple(axes))


def _unsqueeze(call: Call, inputs: Inputs) -> Tensor:
    x, axes = _one(inputs), call.numbers(1, "axes")
    if axes is None:
        raise Unlike("computed axes")
    for axis in sorted(axis % (x.dim() + len(axes)) for axis in axes):
        x = x.unsqueeze(axis)
    return x


def _flatten(call: Call, inputs: Inputs) -> Tensor:
    x, axis = _one(inputs), call.get("axis", 1)
    if axis % x.dim() != 1:
        raise Unlike("an axis other than 1")
    return x.flatten(1)


def _pad(call: Call, inputs: Inputs) -> Tensor:
    x, pads = _one(inputs), call.numbers(1, "pads")
    if pads is None or call.numbers(3) is not None or call.get("mode", b"constant") != b"constant":
        raise Unlike("computed pads, axes, or another mode than constant")
    value = call.numbers(2)
    half = len(pads) // 2
    sides = [side for axis in reversed(range(half)) for side in (pads[axis], pads[half + axis])]
    return F.pad(x, sides, value=float(value[0]) if value else 0.0)


def _clip(call: Call, inputs: Inputs) -> Tensor:
    low, high = call.numbers(1), call.numbers(2)
    return _one(inputs).clamp(
        min=low[0] if low else call.get("min", None), max=high[0] if high else call.get("max", None)
    )


def _depth_to_space(call: Call, inputs: Inputs) -> Tensor:
    if call.get("mode", b"DCR") != b"CRD":
        raise Unlike("mode DCR")
    return F.pixel_shuffle(_one(inputs), call.attributes["blocksize"])


def _layer_norm(call: Call, inputs: Inputs) -> Tensor:
    x, scale, bias = _three(inputs)
    shape = x.shape[call.get("axis", -1) :]
    return F.layer_norm(x, shape, scale, bias, call.get("epsilon", 1e-5))


def _hard_sigmoid(call: Call, inputs: Inputs) -> Tensor:
    slope, middle = float(call.get("alpha", 0.2)), float(call.get("beta", 0.5))
    return (slope * _one(inputs) + middle).clamp(0.0, 1.0)


def _p_relu(_: Call, inputs: Inputs) -> Tensor:
    x, slope, _none = _three(inputs)
    return torch.where(x < 0, slope * x, x)


def _plain(function: Callable[[Tensor], Tensor]) -> Operator:
    return lambda _, inputs: function(_one(inputs))


def _two(function: Callable[[Tensor, Tensor], Tensor]) -> Operator:
    def of_two(_: Call, inputs: Inputs) -> Tensor:
        a, b, _none = _three(inputs)
        return function(a, b)

    return of_two


def _one(inputs: Inputs) -> Tensor:
    assert inputs[0] is not None  # onnx.checker demands a first input
    return inputs[0]


def _three(inputs: Inputs) -> tuple[Tensor, Tensor, Tensor | None]:
    first, second, *rest = inputs
    assert first is not None
    assert second is not None
    return first, second, rest[0] if rest else None


OPERATORS: dict[str, Operator] = {
    "Abs": _plain(torch.abs),
    "Add": _two(torch.add),
    "AveragePool": _average_pool,
    "Clip": _clip,
    "Concat": lambda call, inputs: torch.cat(
        [x for x in inputs if x is not None], dim=call.attributes["axis"]
    ),
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "DepthToSpace": _depth_to_space,
    "Div": _two(torch.div),
    "Elu": lambda call, inputs: F.elu(_one(inputs), call.get("alpha", 1.0)),
    "Erf": _plain(torch.erf),
    "Exp": _plain(torch.exp),
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "Gelu": lambda call, inputs: F.gelu(
        _one(inputs), approximate=call.get("approximate", b"none").decode()
    ),
    "Gemm": _gemm,
    "GlobalAveragePool": _global_average,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _plain(F.hardswish),
    "Identity": _plain(lambda x: x),
    "LayerNormalization": _layer_norm,
    "LeakyRelu": lambda call, inputs: F.leaky_relu(_one(inputs), call.get("alpha", 0.01)),
    "Log": _plain(torch.log),
    "MatMul": _two(torch.matmul),
    "Max": _two(torch.maximum),
    "MaxPool": _max_pool,
    "Min": _two(torch.minimum),
    "Mish": _plain(F.mish),
    "Mul": _two(torch.mul),
    "Neg": _plain(torch.neg),
    "PRelu": _p_relu,
    "Pad": _pad,
    "Pow": _two(torch.pow),
    "ReduceMax": _reduce(torch.amax),
    "ReduceMean": _reduce(torch.mean),
    "ReduceSum": _reduce(torch.sum),
    "Relu": _plain(torch.relu),
    "Reshape": _reshape,
    "Resize": _resize,
    "Sigmoid": _plain(torch.sigmoid),
    "Slice": _slice,
    "Softmax": lambda call, inputs: torch.softmax(_one(inputs), dim=call.get("axis", -1)),
    "Softplus": _plain(F.softplus),
    "Split": _split,
    "Sqrt": _plain(torch.sqrt),
    "Squeeze": _squeeze,
    "Sub": _two(torch.sub),
    "Tanh": _plain(torch.tanh),
    "Transpose": lambda call, inputs: _one(inputs).permute(call.attributes["perm"]),
    "Unsqueeze": _unsqueeze,
}
"""Operator -> its function."""
