"""Reads a model file's signature: picture size, outputs for one picture of noise, and the label
names that its exporter wrote into it.

Takes a path and, if given, a picture size; runs the network as `convert` would and returns a
`Signature`. `decoder_guess.py` guesses what the outputs mean.
"""

from __future__ import annotations

import ast
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped] # ships none

from calibration.inference.sessions import CannotRun, ModelSession
from calibration.npz import DAMAGED_ARCHIVE
from converters.sources.file_kind import FileKind, kind_of
from converters.sources.source import OnnxSource, Source, open_file
from edge.perception.values import Floats
from firmware_bridge.errors import Missing, UsageError

Size = tuple[int, int]
"""Width and height in pixels."""

USUAL_SIZES: tuple[Size, ...] = (
    *((640, 384), (224, 224), (640, 640), (416, 416), (320, 320), (320, 192), (512, 512)),
    *((256, 256), (352, 352), (96, 96), (64, 64), (32, 32)),
)
"""Tried in this order for a file without a picture size."""

LARGEST_TABLE = 64 << 20
"""Largest model.json of a torch.export program that is read, in bytes."""


@dataclass(frozen=True)
class Signature:
    """What a model file says about its network.

    Attributes:
        kind: what the file is, in words.
        size: of the picture.
        size_in_file: whether the size stands in the file; otherwise it is the first that ran, or
            the one that was asked for.
        outputs: name -> values for one picture of noise, in the file's order.
        labels: names of labels in the file's metadata; empty without them.
    """

    kind: str
    size: Size
    size_in_file: bool
    outputs: dict[str, Floats]
    labels: tuple[str, ...]


def signature_of(path: Path, size: Size | None) -> Signature:
    """The signature of the network in a file, for pictures of `size` where that is given.

    Raises:
        Missing: there is no such file.
        UsageError: it holds no network, or the network runs on no size that was tried.
    """
    if not path.is_file():
        raise Missing(
            f"no model at {path}",
            expected=", ".join(kind.value for kind in FileKind),
            found="a folder" if path.is_dir() else "no such file",
            remedy="correct --model",
        )
    kind = kind_of(path)
    fixed, labels = _in_file(path, kind)
    sizes = [chosen] if (chosen := size or fixed) is not None else list(USUAL_SIZES)
    refused: Exception | None = None
    for one in sizes:
        try:
            outputs = _run(open_file(path, (1, 3, one[1], one[0])), one)
        except (UsageError, CannotRun) as error:
            refused = refused or error
            continue
        return Signature(kind.value, one, fixed is not None, outputs, labels)
    if isinstance(refused, UsageError) and len(sizes) == 1:
        raise refused
    raise UsageError(
        f"{path} runs on no picture",
        expected=f"a network for one picture (1, 3, H, W) of {_listed_sizes(sizes)}",
        found=str(refused).splitlines()[0],
        remedy="give the size that it was trained on: --size WIDTHxHEIGHT"
        if fixed is None
        else "export the network again, and try it with onnxruntime there",
    ) from refused


def _listed_sizes(sizes: list[Size]) -> str:
    return ", ".join(f"{wide}x{high}" for wide, high in sizes[:4]) + (", ..." * (len(sizes) > 4))


def _in_file(path: Path, kind: FileKind) -> tuple[Size | None, tuple[str, ...]]:
    """The size of the picture and the labels, as far as they stand in the file."""
    if kind is FileKind.ONNX:
        try:
            model = onnx.load(path, format="protobuf", load_external_data=False)
        except (DecodeError, ValueError):
            return None, ()  # `read_onnx` says what is wrong with it
        return _onnx_size(model), _onnx_labels(model)
    if kind is FileKind.EXPORTED:
        return _exported_size(path), ()
    return None, ()  # TorchScript keeps no sizes


def _onnx_size(model: onnx.ModelProto) -> Size | None:
    constants = {tensor.name for tensor in model.graph.initializer}
    fed = [value for value in model.graph.input if value.name not in constants]
    if len(fed) != 1:
        return None
    sizes = [one.dim_value for one in fed[0].type.tensor_type.shape.dim]
    return (sizes[3], sizes[2]) if len(sizes) == 4 and sizes[2] > 0 and sizes[3] > 0 else None


def _onnx_labels(model: onnx.ModelProto) -> tuple[str, ...]:
    """What Ultralytics' exporter writes: names = "{0: 'person', 1: 'bicycle'}"."""
    text = next((one.value for one in model.metadata_props if one.key == "names"), "")
    if not text or len(text) > LARGEST_TABLE // 64:
        return ()
    try:
        names = ast.literal_eval(text)  # constants only; it runs nothing
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return ()
    if isinstance(names, Mapping) and list(names) == list(range(len(names))):
        return tuple(str(name) for name in names.values())
    return tuple(map(str, names)) if isinstance(names, list) else ()


def _exported_size(path: Path) -> Size | None:
    """From model.json of a torch.export program; None where that has another form."""
    try:
        with zipfile.ZipFile(path) as archive:
            entry = next(one for one in archive.infolist() if one.filename.endswith("/model.json"))
            if entry.file_size > LARGEST_TABLE:
                return None
            program: Any = json.loads(archive.read(entry))
        module = program["graph_module"]
        fed = [
            spec["user_input"]["arg"]["as_tensor"]["name"]
            for spec in module["signature"]["input_specs"]
            if "user_input" in spec
        ]
        sizes = [one.get("as_int") for one in module["graph"]["tensor_values"][fed[0]]["sizes"]]
    except (StopIteration, *DAMAGED_ARCHIVE):
        return None
    if len(sizes) != 4 or not all(isinstance(one, int) for one in sizes[2:]):
        return None
    return sizes[3], sizes[2]


def _run(source: Source, size: Size) -> dict[str, Floats]:
    picture = np.random.default_rng(0).normal(size=(1, 3, size[1], size[0])).astype(np.float32)
    if isinstance(source, OnnxSource):
        session = ModelSession(source.model.SerializeToString(), threads=1)
        (name,) = session.inputs
        names = [value.name for value in source.model.graph.output]
        return dict(zip(names, map(_floats, session.run({name: picture})), strict=True))
    import torch

    try:
        with torch.inference_mode():
            found = source.network(torch.from_numpy(picture))
    # The network is the user's code: any error means that it does not take this picture.
    except Exception as error:
        raise CannotRun(f"{type(error).__name__}: {error}".splitlines()[0]) from error
    if isinstance(found, Mapping):
        named = {str(name): values for name, values in found.items()}
    else:
        several = found if isinstance(found, tuple | list) else [found]
        named = {str(row): values for row, values in enumerate(several)}
    tensors = {name: one for name, one in named.items() if isinstance(one, torch.Tensor)}
    return {name: _floats(one.numpy()) for name, one in tensors.items()}


def _floats(values: Any) -> Floats:
    return np.asarray(values, np.float32)
