"""Opens the network of a mission: a file (ONNX, TorchScript, a torch.export program), or a PyTorch
factory with weights.

Takes the mission's `[model]` section or a path; returns an `OnnxSource` or a `TorchSource`. Faults
are refused by name before any work begins: a missing file (exit 3), or a file that is not what the
mission says (exit 2). Networks in PyTorch's files run in a confined process. PyTorch takes seconds
to import, so it is imported only for PyTorch sources.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from onnx import ModelProto

from converters.sources.file_kind import FileKind, kind_of
from converters.sources.onnx_file import Shape, read_onnx
from converters.sources.outputs import pick_onnx, pick_torch
from edge.contract.artifact import digest_file
from edge.contract.mission.sections.model import Model
from edge.perception.decode import CLASSES, CONDITION, MASK, output_shapes
from edge.perception.values import Floats
from firmware_bridge.errors import Missing, UsageError

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class OnnxSource:
    """A user's ONNX file, read and checked."""

    model: ModelProto
    path: Path
    sha256: str


@dataclass(frozen=True)
class TorchSource:
    """A network that PyTorch runs, in evaluation mode.

    Attributes:
        factory: "module:function" that made it; None where a file holds the network itself.
        path: the file of the network or of its weights; None where the factory loaded its own.
        sha256: of the file, or of the weights' values where there is no file.
        kind: a factory ("torch"), or the kind of file.
    """

    network: nn.Module
    factory: str | None
    path: Path | None
    sha256: str
    kind: Literal["torch", "torchscript", "exported"] = "torch"


Source = OnnxSource | TorchSource


def name_of(source: Source) -> str:
    """The file that it came from, or the factory where that loaded its own weights."""
    if source.path is not None:
        return str(source.path)
    assert isinstance(source, TorchSource)
    assert source.factory is not None
    return source.factory


def picture_shape(model: Model) -> Shape:
    """(1, 3, H, W) of the network input."""
    return (1, 3, model.input.height_px, model.input.width_px)


def output_names(model: Model) -> list[str]:
    """Names of the outputs that the mission reads, in order: main, condition."""
    size = model.input
    return list(output_shapes(model.network_spec, size.width_px, size.height_px))


def open_source(model: Model) -> Source:
    """The network of `[model]`, loaded and checked as far as it can be without running it.

    Raises:
        Missing: the model or weights file is not there.
        UsageError: it is not such a file, or does not fit the mission.
    """
    if model.file is not None:
        source = _file_source(model.file, picture_shape(model))
    else:
        assert model.factory is not None  # the mission's own checks require a file or a factory
        source = _torch_source(model.factory, model.weights, model)
    if model.decode.kind != "segment":
        return source
    if isinstance(source, OnnxSource):
        return replace(source, model=pick_onnx(source.model, model.decode.output))
    if model.decode.output is not None:
        _pick(source.network, model.decode.output)
    return source


def _pick(network: nn.Module, output: str) -> None:
    from converters.sources.pytorch.confined_network import ConfinedNetwork

    if isinstance(network, ConfinedNetwork):
        network.pick(output)
    else:
        pick_torch(network, output)


def open_file(path: Path, shape: Shape) -> Source:
    """The network in a file for pictures of `shape` (1, 3, H, W), without a mission; an argmax at
    its end is removed. Raises as `open_source`."""
    source = _file_source(path, shape)
    if isinstance(source, OnnxSource):
        return replace(source, model=pick_onnx(source.model, None))
    return source


def check_output(shapes: list[tuple[int, ...]], model: Model) -> None:
    """Refuses a network whose outputs have other `shapes` than the mission reads.

    Raises:
        UsageError: naming the output, or their number.
    """
    wanted = output_shapes(model.network_spec, model.input.width_px, model.input.height_px)
    if shapes == list(wanted.values()):
        return
    if len(shapes) != len(wanted):
        raise UsageError(
            "the network has another number of outputs than the mission reads",
            expected="; ".join(f"{name} {shape}" for name, shape in wanted.items()),
            found=", ".join(str(shape) for shape in shapes) or "no output",
            remedy=_other_count(len(shapes), model),
        )
    for (name, shape), found in zip(wanted.items(), shapes, strict=True):
        if found != shape:
            raise _other_output(name, shape, found, model)


def _other_count(count: int, model: Model) -> str:
    """What to do about a network with `count` outputs where the mission reads another number."""
    export = "export the network with these outputs alone, in this order"
    if model.condition is not None:
        return f"take out [model.condition] if there is no second head, or {export}"
    if model.decode.kind == "segment":
        return f"name the one that is meant in model.decode.output (0 to {count - 1}), or {export}"
    second = "describe the second head in [model.condition] if it is one, or " if count == 2 else ""
    return second + export


def check_logits(seen: Sequence[Sequence[Floats]], model: Model) -> None:
    """Refuses a classification head that ends with a softmax: a second softmax would be so flat
    that every picture would count as out of distribution.

    Args:
        seen: for each picture, the raw outputs in the mission's order.
    """
    for row, name in enumerate(output_names(model)):
        values = [outputs[row] for outputs in seen]
        if name in (CLASSES, MASK, CONDITION) and all(
            (raw >= 0.0).all() and (np.abs(raw.sum(axis=1) - 1.0) < SHARES_SUM_WITHIN).all()
            for raw in values
        ):
            raise UsageError(
                f"the model's output '{name}' holds shares, not logits",
                expected="numbers before the softmax, which the device takes by itself",
                found=f"numbers from 0 to 1 that add up to 1 on {len(values)} pictures",
                remedy="take the softmax out of the network's end and export it again",
            )


SHARES_SUM_WITHIN = 1e-3
"""How far from 1 the sum of softmax shares may be, in float32 or float16."""


def _other_output(
    name: str, wanted: tuple[int, ...], found: tuple[int, ...], model: Model
) -> UsageError:
    key = "model.labels"
    labels: tuple[str, ...] = model.labels
    if name == CONDITION and model.condition is not None:
        key, labels = "model.condition.labels", model.condition.labels
    if name == MASK and len(found) == len(wanted) and found[2:] == wanted[2:]:
        return UsageError(
            "the model and the mission have different labels of pixels",
            expected=f"{wanted}: {len(labels)} labels ({_short(labels)})",
            found=f"{found}: {found[1]} labels",
            remedy=f"give the {found[1]} labels of the model in model.labels, or another model",
        )
    if len(found) == len(wanted) and found[:-1] == wanted[:-1]:
        classes = found[-1] - (wanted[-1] - len(labels))
        return UsageError(
            f"the model and the mission have different labels for the output '{name}'",
            expected=f"{wanted}: {len(labels)} labels ({_short(labels)})",
            found=f"{found}: {classes} labels",
            remedy=f"give the {classes} labels of the model in {key}, or another model",
        )
    reads = f"as logits of {len(labels)} labels"
    if name == MASK:
        reads += f" for each {model.decode.strides[0]} x {model.decode.strides[0]} pixels"
    elif name not in (CLASSES, CONDITION):
        reads = f"as decoder '{model.decode.kind}' with strides {list(model.decode.strides)}"
    return UsageError(
        f"the model's output '{name}' is not what the mission reads",
        expected=f"{wanted}, {reads}",
        found=str(found),
        remedy="correct model.decode and model.input in the mission, or export the network with "
        "its raw outputs, the main one first",
    )


def _file_source(path: Path, shape: Shape) -> Source:
    kind = kind_of(path) if path.is_file() else FileKind.ONNX
    if kind is FileKind.ONNX:  # a missing file is refused by `read_onnx`
        model, digest = read_onnx(path, shape)
        return OnnxSource(model, path, digest)
    from converters.sources.pytorch.confined_network import ConfinedNetwork

    digest = digest_file(path)
    if kind is FileKind.TORCHSCRIPT:
        from converters.sources.pytorch.torchscript import sanitize_torchscript

        network = ConfinedNetwork("torchscript", sanitize_torchscript(path), path, shape)
        return TorchSource(network, None, path, digest, "torchscript")
    from converters.sources.pytorch.exported_program import sanitize_program

    network = ConfinedNetwork("exported", sanitize_program(path), path, shape)
    return TorchSource(network, None, path, digest, "exported")


def _torch_source(factory: str, weights: Path | None, model: Model) -> TorchSource:
    from converters.sources.pytorch.factory import load_factory, make_network, values_digest
    from converters.sources.pytorch.state_dict import load_weights, read_weights, require_finite

    sizes, beside = model.head_sizes, model.folder
    if weights is None:
        network = make_network(factory, sizes, beside=beside)
        require_finite(dict(network.named_parameters()), factory)
        return TorchSource(network.eval(), factory, None, values_digest(network))
    load_factory(factory, beside=beside)
    if not weights.is_file():
        raise Missing(
            f"no weights at {weights}",
            expected=f"the trained weights of {factory}",
            found="no such file" if not weights.exists() else "a folder",
            remedy="train them: brakepoint train MISSION; or point at a file: "
            "--set model.weights=PATH",
        )
    digest = digest_file(weights)
    state = read_weights(weights)
    network = make_network(factory, sizes, beside=beside)
    load_weights(network, state, factory=factory, weights=weights, sizes=sizes)
    require_finite(dict(network.named_parameters()), str(weights))
    return TorchSource(network.eval(), factory, weights, digest)


def _short(names: Any) -> str:
    listed = list(names)
    return ", ".join(listed[:4]) + (", ..." if len(listed) > 4 else "")
