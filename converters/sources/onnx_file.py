"""Reads a user's ONNX file, and refuses by name what may be wrong with it before any work begins.

Never changes the network beyond writing its local functions out as plain nodes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import onnx
import onnx.inliner
from google.protobuf.message import DecodeError  # type: ignore[import-untyped] # ships none
from onnx import ModelProto, TensorProto

from calibration.inference.onnx_bounds import (
    Size,
    check_bounds,
    check_shapes,
    external_tensor,
    may_run_on,
)
from converters.graph.index import STANDARD, all_nodes, copy_model, opset_of
from converters.graph.passes.convert_opset import MAX_OPSET
from converters.sources.confinement.onnx_trial import NO_MEMORY, try_once
from converters.sources.file_kind import LARGEST_BYTES
from converters.sources.onnx_checks import check_finite, check_float, check_inference
from edge.contract.artifact import digest_file
from firmware_bridge.errors import Missing, UsageError

Shape = tuple[int, int, int, int]

OLDEST_OPSET = 7
"""Older files lack shapes and operators that the upgrade needs."""


def read_onnx(path: Path, shape: Shape) -> tuple[ModelProto, str]:
    """The network in a file, functions inlined, weights inside, and the sha256 of the file.

    Raises:
        Missing: no such file, or weights that lie beside it are not there.
        UsageError: not a whole ONNX model, or not one that takes a picture of `shape` (1, 3, H, W).
    """
    if not path.is_file():
        raise Missing(
            f"no model at {path}",
            expected="the ONNX file of your detector",
            found="no such file" if not path.exists() else "a folder",
            remedy=f"put the file there as {path.name}, or point at it: --set model.file=PATH",
        )
    digest = digest_file(path)
    if path.stat().st_size > LARGEST_BYTES:
        raise _too_large(path, path.stat().st_size)
    model = _decoded(path.read_bytes(), path)
    size = check_bounds(model, path)
    check_float(model, path)
    _check_operators(model, path)
    _load_external(model, path)
    # Functions become plain nodes, so that the quantization rules see what runs.
    model = onnx.inliner.inline_local_functions(model) if model.functions else model
    try:
        onnx.checker.check_model(_with_shapes(model))
    except onnx.checker.ValidationError as error:
        raise _no_onnx(path, str(error).strip().splitlines()[0]) from error
    check_shapes(model, path)
    check_inference(model, path)
    try:
        check_finite(model, path)
    except (
        ValueError,
        TypeError,
        KeyError,
    ) as error:  # a tensor whose data do not fit its type or shape
        raise _no_onnx(path, str(error).strip().splitlines()[0]) from error
    _check_input(model, path, shape)
    fault = try_once(model, path, shape) if may_run_on(model, size) else None
    # The passes may mend other faults; they run the network again.
    if fault is not None and (size.open_loops or NO_MEMORY in fault):
        raise _no_onnx(path, fault)
    return model, digest


def read_any(path: Path) -> tuple[ModelProto, Size, str]:
    """Any ONNX model in a file with its weights inside, its size, and the sha256 of the file.
    Quantized models and operators outside the standard are accepted. Raises Missing, UsageError.
    """
    digest = digest_file(path)
    if path.stat().st_size > LARGEST_BYTES:
        raise _too_large(path, path.stat().st_size)
    model = _decoded(path.read_bytes(), path)
    size = check_bounds(model, path)
    _load_external(model, path)
    check_shapes(model, path)
    return model, size, digest


def read_model_bytes(data: bytes, path: Path) -> ModelProto:
    """The ONNX model that a confined process exported from the network in `path`. It is checked as
    a file is, since the network's code may have changed it. Raises UsageError.
    """
    model = _decoded(data, path)
    check_bounds(model, path)
    _check_operators(model, path)
    return model


def _decoded(data: bytes, path: Path) -> ModelProto:
    """The model in some bytes."""
    try:
        # The format is given: from a file's name onnx would guess another for .json or .txt.
        model = onnx.load_from_string(data, format="protobuf")
        texts = list(_texts(model))
    # A file of another kind decodes as garbage, as a model without a graph, or with names that are
    # not text: reading those raises UnicodeDecodeError (a ValueError) or returns bytes.
    except (DecodeError, ValueError) as error:
        raise _no_onnx(path, str(error) or "bytes that are no ONNX model") from error
    if not all(isinstance(text, str) for text in texts):
        raise _no_onnx(path, "names that are no text")
    if not model.graph.node or not model.graph.output or not opset_of(model):
        raise _no_onnx(path, f"{len(data)} bytes without a graph in them")
    return model


def _with_shapes(model: ModelProto) -> ModelProto:
    """A copy for onnx.checker, which requires a shape at every input and output. Old exporters left
    it out; the passes infer it later."""
    other = copy_model(model)
    for value in (*other.graph.input, *other.graph.output):
        if not value.type.tensor_type.HasField("shape"):
            value.type.tensor_type.shape.SetInParent()
    return other


def _texts(model: ModelProto) -> Iterator[object]:
    """Every name in a model."""
    graph = model.graph
    yield from (item.domain for item in model.opset_import)
    for values in (graph.input, graph.output, graph.value_info, graph.initializer):
        yield from (value.name for value in values)
    for node in all_nodes(graph):
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        yield from (item.name for item in node.attribute)


def _load_external(model: ModelProto, path: Path) -> None:
    """Loads weights from files beside the model into it."""
    places = {
        entry.value
        for tensor in model.graph.initializer
        if tensor.data_location == TensorProto.EXTERNAL
        for entry in tensor.external_data
        if entry.key == "location"
    }
    if gone := sorted(place for place in places if not (path.parent / place).is_file()):
        raise Missing(
            f"the weights that {path} keeps beside it are not there",
            expected=f"the file's external data in {path.parent}",
            found=f"no {', '.join(gone)}",
            remedy="copy all files of the model, or export it as one file",
        )
    size = sum((path.parent / place).stat().st_size for place in places)
    if size + path.stat().st_size > LARGEST_BYTES:
        raise _too_large(path, size + path.stat().st_size)
    try:
        onnx.load_external_data_for_model(model, str(path.parent))
    except (onnx.checker.ValidationError, ValueError, OSError) as error:
        raise _no_onnx(path, str(error).strip().splitlines()[0]) from error
    # onnxruntime would look for any other file in the folder that the command runs in.
    if (left := external_tensor(model)) is not None:
        raise _no_onnx(path, f"'{left}' inside a function, kept in another file")


def _check_operators(model: ModelProto, path: Path) -> None:
    if opset_of(model) > onnx.defs.onnx_opset_version():
        raise UsageError(
            f"{path} is too new",
            expected=f"opset {onnx.defs.onnx_opset_version()} or earlier, which the installed onnx "
            "knows",
            found=f"opset {opset_of(model)}",
            remedy=f"export the network with opset {MAX_OPSET} or earlier",
        )
    local = {(function.domain, function.name) for function in model.functions}
    version = opset_of(model)
    nodes = list(all_nodes(model.graph))
    foreign = Counter(
        f"{node.domain or 'ai.onnx'}::{node.op_type}"
        for node in nodes
        if (node.domain, node.op_type) not in local
        and not (node.domain in STANDARD and onnx.defs.has(node.op_type, version, ""))
    )
    if foreign:
        raise UsageError(
            f"{path} uses operators that are not in the ONNX standard",
            expected=f"operators of ai.onnx opset {version}",
            found=", ".join(f"{name} ({count})" for name, count in sorted(foreign.items())),
            remedy="export the network with standard operators only, or cut the file before them",
        )
    if version < OLDEST_OPSET:
        raise UsageError(
            f"{path} is too old",
            expected=f"opset {OLDEST_OPSET} or later",
            found=f"opset {version}",
            remedy="export the network again",
        )


def _check_input(model: ModelProto, path: Path, shape: Shape) -> None:
    constants = {tensor.name for tensor in model.graph.initializer}
    fed = [value for value in model.graph.input if value.name not in constants]
    shown = [f"{value.name} {_sizes(value)}" for value in fed]
    fits = len(fed) == 1 and fed[0].type.tensor_type.elem_type == TensorProto.FLOAT
    if fits:
        sizes = _sizes(fed[0])
        fits = not sizes or (
            len(sizes) == len(shape)
            and all(size in ("?", wanted) for size, wanted in zip(sizes, shape, strict=True))
        )
    if not fits:
        raise UsageError(
            f"{path} does not take the mission's picture",
            expected=f"one float32 input {list(shape)}",
            found=", ".join(shown) or "no input",
            remedy="correct model.input in the mission, or export the network for that size",
        )


def _sizes(value: onnx.ValueInfoProto) -> list[int | str]:
    """Sizes of an input; "?" where the file leaves one open."""
    sizes = value.type.tensor_type.shape.dim
    return [size.dim_value if size.HasField("dim_value") else "?" for size in sizes]


def _too_large(path: Path, size: int) -> UsageError:
    return UsageError(
        f"{path} is too large",
        expected="a network of at most 2 GB with its weights, as every ONNX runtime takes",
        found=f"{size / 1e9:.1f} GB",
        remedy="give a smaller network, or weights in fewer bytes",
    )


def _no_onnx(path: Path, found: str) -> UsageError:
    return UsageError(
        f"{path} is not a whole ONNX model",
        expected="an ONNX file as an exporter wrote it",
        found=found,
        remedy="copy or export it again, or point at another file: --set model.file=PATH",
    )
