"""Opens any two ONNX files as networks of a picture, and checks that they can be compared.

Takes paths; returns `AnyNetwork` and the ways to feed a picture (`Feed`). It needs no mission.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from google.protobuf.message import DecodeError  # type: ignore[import-untyped] # ships none
from numpy.typing import NDArray
from onnx import ModelProto, numpy_helper

from calibration.inference.onnx_bounds import may_run_on
from calibration.inference.sessions import PICTURE_TYPES, CannotRun, ModelSession, Value
from converters.sources.confinement.onnx_trial import try_once
from converters.sources.onnx_file import read_any
from edge.perception.values import BgrImage
from firmware_bridge.errors import Missing, UsageError

BYTES = {"tensor(uint8)": np.uint8}
FLOATS = {name: kind for name, kind in PICTURE_TYPES.items() if name not in BYTES}

CHANNELS = (1, 3)

OPEN_SIZE = (320, 320)
"""Width and height of a picture for a trial, where neither file nor user gives them."""

SCALINGS = (
    (0.0, 255.0),
    (0.0, 1.0),
    ((0.485 + 0.456 + 0.406) / 3 * 255.0, (0.229 + 0.224 + 0.225) / 3 * 255.0),
)
"""Mean and standard deviation: pixels as 0..1, as they are, and by ImageNet's normalisation. The
range of a Q/DQ pair at the input decides between them: up to 1, beyond 16, between."""


@dataclass(frozen=True)
class AnyNetwork:
    """An ONNX file that runs.

    Attributes:
        sha256: of the file, as hex.
        model: the file's bytes, weights inside.
        picture: its one input.
        made: its outputs, in order.
        covered: low and high end of the range of a Q/DQ pair at the input; None where there is
            none.
    """

    path: Path
    sha256: str
    model: bytes
    session: ModelSession
    picture: Value
    made: tuple[Value, ...]
    covered: tuple[float, float] | None


@dataclass(frozen=True)
class Feed:
    """How a picture becomes the input of a network: stretched to its size, (pixel - mean) / std.

    Attributes:
        channels_last: (1, H, W, C) in place of (1, C, H, W).
        words: the same in words.
    """

    width_px: int
    height_px: int
    channels: int
    channels_last: bool
    color: str
    mean: float
    std: float
    words: str

    def tensor(self, image: BgrImage, of: Value) -> NDArray[Any]:
        """A picture (H, W, 3) uint8 BGR as the input `of`."""
        size = (self.width_px, self.height_px)
        pixels = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
        if self.channels == 1:
            pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)[:, :, None]
        elif self.color == "rgb":
            pixels = pixels[:, :, ::-1]
        laid = pixels if self.channels_last else pixels.transpose(2, 0, 1)
        if of.type in BYTES:
            return np.ascontiguousarray(laid[None])
        values = (laid[None].astype(np.float32) - np.float32(self.mean)) / np.float32(self.std)
        return np.ascontiguousarray(values.astype(FLOATS[of.type]))


def open_network(path: Path, *, threads: int, size: tuple[int, int] | None = None) -> AnyNetwork:
    """The network in a file, within the bounds of every file that is converted (docs/sources.md).

    Args:
        size: width and height of the picture, where the file leaves them open.

    Raises:
        Missing: no such file.
        UsageError: not an ONNX file, or none that takes one picture and can run here.
    """
    if not path.is_file():
        raise Missing(
            f"no model at {path}",
            expected="an ONNX file",
            found="no such file" if not path.exists() else "a folder",
            remedy="correct the path",
        )
    try:
        model, bounds, digest = read_any(path)
        covered = _covered(model)
        # Before a session is made: onnxruntime runs what has constant inputs as it loads.
        on = may_run_on(model, bounds)
        if on and (told := try_once(model, path, _trial_shape(model, size))) is not None:
            raise _no_network(path, told)
        data = model.SerializeToString()
    except (DecodeError, ValueError) as error:
        raise _no_network(path, str(error).strip() or "bytes that are no ONNX model") from error
    try:
        session = ModelSession(data, threads=threads)
    except CannotRun as error:
        raise _no_network(path, str(error)) from error
    pictures = session.input_values
    if len(pictures) != 1 or pictures[0].type not in PICTURE_TYPES or len(pictures[0].shape) != 4:
        raise UsageError(
            f"{path} does not take one picture",
            expected="one input (1, 3, height, width) or (1, height, width, 3), floats or bytes",
            found=_listed(pictures) or "no input",
            remedy="give the form of the network that takes a single picture",
        )
    return AnyNetwork(
        path, digest, data, session, pictures[0], tuple(session.output_values), covered
    )


def _trial_shape(model: ModelProto, size: tuple[int, int] | None) -> list[int]:
    """Shape of the picture for a trial; sizes that the file leaves open are the usual ones."""
    constants = {one.name for one in model.graph.initializer}
    fed = [one for one in model.graph.input if one.name not in constants]
    sizes = [one.dim_value for one in fed[0].type.tensor_type.shape.dim] if fed else []
    wide, high = size or OPEN_SIZE
    usual = (1, high, wide, 3) if sizes[3:] in ([1], [3]) else (1, 3, high, wide)
    return [own or other for own, other in zip(sizes, usual, strict=False)]


def require_same(a: AnyNetwork, b: AnyNetwork) -> None:
    """Refuses (UsageError) two networks whose inputs or outputs differ in number, type or size.
    Outputs are matched by name, or in order where names differ."""
    same_kind = (a.picture.type in FLOATS) == (b.picture.type in FLOATS)
    if not same_kind or not _fits(a.picture, b.picture):
        raise _different("inputs", a, b, [a.picture], [b.picture])
    pairs = outputs_of_both(a, b)
    if len(a.made) != len(b.made) or not all(_fits(one, other) for one, other in pairs):
        raise _different("outputs", a, b, a.made, b.made)


def outputs_of_both(a: AnyNetwork, b: AnyNetwork) -> list[tuple[Value, Value]]:
    """Each output of `a` with its counterpart."""
    by_name = {one.name: one for one in b.made}
    if by_name.keys() == {one.name for one in a.made}:
        return [(one, by_name[one.name]) for one in a.made]
    return list(zip(a.made, b.made, strict=False))


def feeds_of(
    a: AnyNetwork,
    b: AnyNetwork,
    *,
    size: tuple[int, int] | None,
    color: str,
    mean: float | None,
    std: float | None,
) -> tuple[Feed, ...]:
    """How both may be fed without a mission: one way where mean and std are given or follow from a
    Q/DQ pair at the input, else every usual way (see SCALINGS), the most usual first.

    Raises:
        UsageError: the size is open, or not that of the files; the input is no picture.
    """
    shape = [
        next((size for size in sizes if isinstance(size, int)), None)
        for sizes in zip(a.picture.shape, b.picture.shape, strict=True)
    ]
    last = shape[1] not in CHANNELS and shape[3] in CHANNELS
    channels = shape[3] if last else shape[1]
    if channels not in CHANNELS or shape[0] not in (None, 1):
        raise UsageError(
            f"{a.path} does not take one picture",
            expected="one input (1, 3, height, width) or (1, height, width, 3)",
            found=_listed([a.picture]),
            remedy="give the form of the network that takes a single picture",
        )
    own = shape[1:3] if last else shape[2:4]
    high, wide = own if size is None else (size[1], size[0])
    fits = all(one in (None, asked) for one, asked in zip(own, (high, wide), strict=True))
    if high is None or wide is None or not fits:
        raise UsageError(
            "the size of the picture is not clear",
            expected="files of one fixed size, or the size that both take",
            found=_listed([a.picture, b.picture]) + ("" if size is None else f", --size {size}"),
            remedy="give it: --size 640x384; or --mission MISSION",
        )
    of = f"pictures stretched to {wide} x {high}, {color.upper() if channels == 3 else 'grey'}"
    if a.picture.type in BYTES:
        return (Feed(wide, high, channels, last, color, 0.0, 1.0, f"{of}, as bytes"),)
    ways = _ways(a, b, mean, std)
    words = [f"{of}, (pixel - {less:.4g}) / {by:.4g}" for less, by in ways]
    return tuple(
        Feed(wide, high, channels, last, color, *way, told)
        for way, told in zip(ways, words, strict=True)
    )


def _ways(
    a: AnyNetwork, b: AnyNetwork, mean: float | None, std: float | None
) -> tuple[tuple[float, float], ...]:
    """Means and standard deviations."""
    if mean is not None or std is not None:
        return ((mean or 0.0, 1.0 if std is None else std),)
    unit, pixels, normal = SCALINGS
    for one in (a, b):
        if one.covered is not None:
            high = one.covered[1]
            return (unit if high <= 1.5 else pixels if high > 16.0 else normal,)
    return SCALINGS


def _covered(model: ModelProto) -> tuple[float, float] | None:
    """Range of the first QuantizeLinear that reads the input."""
    constants = {one.name: one for one in model.graph.initializer}
    inputs = {one.name for one in model.graph.input} - constants.keys()
    for node in model.graph.node:
        if node.op_type != "QuantizeLinear" or node.input[0] not in inputs:
            continue
        scale = constants.get(node.input[1])
        zero = constants.get(node.input[2]) if len(node.input) > 2 else None
        if scale is None or scale.dims or (zero is not None and zero.dims):
            return None
        step = float(numpy_helper.to_array(scale))
        point = np.zeros((), np.uint8) if zero is None else numpy_helper.to_array(zero)
        limits = np.iinfo(point.dtype) if point.dtype.kind in "iu" else np.iinfo(np.int8)
        return (limits.min - int(point)) * step, (limits.max - int(point)) * step
    return None


def _fits(a: Value, b: Value) -> bool:
    """Whether the sizes that both give are the same."""
    return len(a.shape) == len(b.shape) and all(
        one == other or not isinstance(one, int) or not isinstance(other, int)
        for one, other in zip(a.shape, b.shape, strict=True)
    )


def _listed(values: Sequence[Value]) -> str:
    return ", ".join(
        f"{one.name} {one.type.removeprefix('tensor(').removesuffix(')')} {list(one.shape)}"
        for one in values
    )


def _different(
    what: str, a: AnyNetwork, b: AnyNetwork, of_a: Sequence[Value], of_b: Sequence[Value]
) -> UsageError:
    return UsageError(
        f"{a.path} and {b.path} have different {what}",
        expected=f"{what} of the same number, type and sizes: {_listed(of_a)}",
        found=_listed(of_b),
        remedy="give two forms of one network",
    )


def _no_network(path: Path, found: str) -> UsageError:
    return UsageError(
        f"{path} is not a network that can be run",
        expected="a whole ONNX file with operators that onnxruntime knows",
        found=found.splitlines()[0],
        remedy="export or copy it again",
    )
