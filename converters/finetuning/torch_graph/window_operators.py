"""ONNX convolution, pooling, resizing and padding as torch functions.

Each takes a `Call` and its input tensors and returns its output. A form that torch lacks raises
`UnsupportedForm`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F  # noqa: N812 # torch's own name for it
from torch import Tensor

from converters.finetuning.torch_graph.operator_call import (
    Call,
    Inputs,
    UnsupportedForm,
    one,
    three,
)


def _pads(call: Call, axes: int) -> list[int]:
    if call.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        raise UnsupportedForm("auto_pad")
    return list(call.get("pads", [0] * (2 * axes)))


def _padded(x: Tensor, pads: Sequence[int], value: float = 0.0) -> tuple[Tensor, list[int]]:
    """`x` padded where pads of both sides differ, and the pads left for the operator itself."""
    half = len(pads) // 2
    first, last = list(pads[:half]), list(pads[half:])
    if first == last:
        return x, first
    sides = [side for axis in reversed(range(half)) for side in (first[axis], last[axis])]
    return F.pad(x, sides, value=value), [0] * half


def conv(call: Call, inputs: Inputs) -> Tensor:
    """Conv along one, two or three axes."""
    x, weight, bias = three(inputs)
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


def conv_transpose(call: Call, inputs: Inputs) -> Tensor:
    """ConvTranspose along one, two or three axes, with the same pads on both sides."""
    x, weight, bias = three(inputs)
    axes = weight.dim() - 2
    pads = _pads(call, axes)
    if pads[:axes] != pads[axes:] or "output_shape" in call.attributes:
        raise UnsupportedForm("pads that differ, or output_shape")
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


def max_pool(call: Call, inputs: Inputs) -> Tensor:
    """MaxPool of pictures, without indices."""
    kernel = call.attributes["kernel_shape"]
    if len(kernel) != 2 or call.outputs != 1:
        raise UnsupportedForm("other than two axes, or with indices")
    x, padding = _padded(one(inputs), _pads(call, 2), float("-inf"))
    return F.max_pool2d(
        x,
        kernel,
        stride=call.get("strides", [1, 1]),
        padding=padding,
        dilation=call.get("dilations", [1, 1]),
        ceil_mode=bool(call.get("ceil_mode", 0)),
    )


def average_pool(call: Call, inputs: Inputs) -> Tensor:
    """AveragePool of pictures; pads may differ only where they count in the average."""
    kernel, pads = call.attributes["kernel_shape"], _pads(call, 2)
    counts = bool(call.get("count_include_pad", 0))
    if len(kernel) != 2 or (pads[:2] != pads[2:] and not counts):
        raise UnsupportedForm("other than two axes, or pads that differ")
    x, padding = _padded(one(inputs), pads)
    return F.avg_pool2d(
        x,
        kernel,
        stride=call.get("strides", [1, 1]),
        padding=padding,
        ceil_mode=bool(call.get("ceil_mode", 0)),
        count_include_pad=counts,
    )


def resize(call: Call, inputs: Inputs) -> Tensor:
    """Resize of pictures: nearest by whole factors, or linear."""
    x = one(inputs)
    sizes, scales = call.numbers(3), call.numbers(2)
    if x.dim() != 4 or call.get("axes", None):
        raise UnsupportedForm("other than four axes, or `axes`")
    if sizes:
        wanted = [int(size) for size in sizes[2:]]
    elif scales:
        wanted = [int(side * scale) for side, scale in zip(x.shape[2:], scales[2:], strict=True)]
    else:
        raise UnsupportedForm("neither sizes nor scales")
    mode, where = (
        call.get("mode", b"nearest"),
        call.get("coordinate_transformation_mode", b"half_pixel"),
    )
    if mode == b"nearest":
        # By whole factors every rounding rule gives the same result: each value repeated.
        if any(new % old for new, old in zip(wanted, x.shape[2:], strict=True)) and (
            where != b"asymmetric" or call.get("nearest_mode", b"") != b"floor"
        ):
            raise UnsupportedForm("nearest by a factor that is not whole")
        return F.interpolate(x, size=wanted, mode="nearest")
    if mode != b"linear" or where not in (b"half_pixel", b"pytorch_half_pixel", b"align_corners"):
        raise UnsupportedForm(f"{mode!r} with {where!r}")
    return F.interpolate(x, size=wanted, mode="bilinear", align_corners=where == b"align_corners")


def pad(call: Call, inputs: Inputs) -> Tensor:
    """Pad with one constant, on all axes."""
    x, pads = one(inputs), call.numbers(1, "pads")
    if pads is None or call.numbers(3) is not None or call.get("mode", b"constant") != b"constant":
        raise UnsupportedForm("computed pads, axes, or another mode than constant")
    value = call.numbers(2)
    half = len(pads) // 2
    sides = [side for axis in reversed(range(half)) for side in (pads[axis], pads[half + axis])]
    return F.pad(x, sides, value=float(value[0]) if value else 0.0)
