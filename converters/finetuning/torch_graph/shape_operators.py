"""ONNX operators that move, select or repeat values, as torch functions.

Each takes a `Call` and its input tensors and returns its outputs. A form that torch lacks, or with
computed shapes, raises `UnsupportedForm`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import zip_longest

import torch
import torch.nn.functional as F  # noqa: N812 # torch's own name for it
from torch import Tensor

from converters.finetuning.torch_graph.operator_call import Call, Inputs, UnsupportedForm, one


def reshape(call: Call, inputs: Inputs) -> Tensor:
    """Reshape to a constant shape, also of several pictures."""
    x, shape = one(inputs), call.numbers(1)
    if shape is None:
        raise UnsupportedForm("a computed shape")
    # The graph is for one picture; a batch of them lies along the first axis.
    if math.prod(shape) != x.numel() and shape[0] == 1:
        shape = [-1, *shape[1:]]
    return x.reshape(shape)


def expand(call: Call, inputs: Inputs) -> Tensor:
    """Expand to a constant shape."""
    x, shape = one(inputs), call.numbers(1)
    if shape is None:
        raise UnsupportedForm("a computed shape")
    sizes = list(zip_longest(reversed(x.shape), reversed(shape), fillvalue=1))
    return x.expand([max(pair) for pair in reversed(sizes)])


def take_slice(call: Call, inputs: Inputs) -> Tensor:
    """Slice by constant bounds, also backwards."""
    x = one(inputs)
    starts, ends = call.numbers(1, "starts"), call.numbers(2, "ends")
    if starts is None or ends is None:
        raise UnsupportedForm("computed bounds")
    axes = call.numbers(3, "axes") or list(range(len(starts)))
    steps = call.numbers(4) or [1] * len(starts)
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        size = x.shape[axis]
        # Backwards, an end before the first value includes that value.
        rows = range(size)[start : None if step < 0 and end < -size else end : step]
        if step == 1:
            x = x.narrow(axis, rows.start if rows else 0, len(rows))
        else:
            x = x.index_select(axis, torch.tensor(rows))
    return x


def split(call: Call, inputs: Inputs) -> Sequence[Tensor]:
    """Split into parts of constant sizes, or into even ones."""
    x, axis = one(inputs), call.get("axis", 0)
    sizes = call.numbers(1, "split")
    if sizes is None:
        # The last part is smaller where the axis does not divide evenly.
        size = -(-x.shape[axis] // call.outputs)
        sizes = [size] * (call.outputs - 1) + [x.shape[axis] - size * (call.outputs - 1)]
    return list(torch.split(x, sizes, dim=axis))


def gather(call: Call, inputs: Inputs) -> Tensor:
    """Gather by one index, or by a row of them."""
    x, rows = inputs[0], inputs[1]
    assert x is not None
    axis = call.get("axis", 0)
    if rows is None or rows.dim() > 1:
        raise UnsupportedForm("indices of more than one axis")
    rows = rows.to(torch.int64) % x.shape[axis]
    return x.select(axis, int(rows)) if rows.dim() == 0 else x.index_select(axis, rows)


def squeeze(call: Call, inputs: Inputs) -> Tensor:
    """Squeeze of named axes."""
    x, axes = one(inputs), call.numbers(1, "axes")
    if axes is None:
        raise UnsupportedForm("no axes")
    return x.squeeze(tuple(axes))


def unsqueeze(call: Call, inputs: Inputs) -> Tensor:
    """Unsqueeze at named axes."""
    x, axes = one(inputs), call.numbers(1, "axes")
    if axes is None:
        raise UnsupportedForm("computed axes")
    for axis in sorted(axis % (x.dim() + len(axes)) for axis in axes):
        x = x.unsqueeze(axis)
    return x


def flatten(call: Call, inputs: Inputs) -> Tensor:
    """Flatten behind the first axis."""
    x, axis = one(inputs), call.get("axis", 1)
    if axis % x.dim() != 1:
        raise UnsupportedForm("an axis other than 1")
    return x.flatten(1)


def depth_to_space(call: Call, inputs: Inputs) -> Tensor:
    """DepthToSpace as PixelShuffle exports it."""
    if call.get("mode", b"DCR") != b"CRD":
        raise UnsupportedForm("mode DCR")
    return F.pixel_shuffle(one(inputs), call.attributes["blocksize"])
