"""Where a network comes from: a user's ONNX file, or a PyTorch factory with weights.

Everything that may be wrong with either is refused here, by name, before any work begins: a file
that is not there (exit 3), or one that is there and is not what the mission says (exit 2). Never
runs code from a weights file.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from onnx import ModelProto
from torch import Tensor, nn

from calibration.sessions import Floats
from converters.factory import load_factory, make_network, told, values_digest
from converters.onnx_file import Shape, read_onnx
from edge.contract.artifact import digest_file
from edge.contract.decode import CLASSES, CONDITION, output_shapes
from edge.contract.mission import Mission
from firmware_bridge.errors import Missing, UsageError

NESTED = ("state_dict", "model_state_dict", "model")
"""Where training scripts keep the weights inside a checkpoint."""


@dataclass(frozen=True)
class OnnxSource:
    """A user's ONNX file, read and known to be one."""

    model: ModelProto
    path: Path
    sha256: str


@dataclass(frozen=True)
class TorchSource:
    """A network from a factory, in evaluation mode, with weights from a file or, where `path` is
    None, its own; `sha256` is of the file, or of its values."""

    network: nn.Module
    factory: str
    path: Path | None
    sha256: str


Source = OnnxSource | TorchSource


def name_of(source: Source) -> str:
    """The file that it came from, or the factory that brought its own weights."""
    if isinstance(source, TorchSource) and source.path is None:
        return source.factory
    return str(source.path)


def picture_shape(mission: Mission) -> Shape:
    """(1, 3, H, W) of the mission's network input."""
    return (1, 3, mission.model.input.height_px, mission.model.input.width_px)


def output_names(mission: Mission) -> list[str]:
    """Names of the outputs that the mission reads, in order: main, condition."""
    size = mission.model.input
    return list(output_shapes(mission.model.network_spec, size.width_px, size.height_px))


def open_source(mission: Mission) -> Source:
    """The mission's network, loaded and checked as far as it can be without running it.

    Raises:
        Missing: the model or weights file is not there.
        UsageError: it is not such a file, or does not fit the mission.
    """
    model = mission.model
    if model.file is not None:
        network, digest = read_onnx(model.file, picture_shape(mission))
        return OnnxSource(network, model.file, digest)
    assert model.factory is not None  # the mission's own checks refuse neither, and one
    return _torch_source(model.factory, model.weights, mission)


def check_output(shapes: list[tuple[int, ...]], mission: Mission) -> None:
    """Refuses a network that put out `shapes` where the mission reads others, and says which."""
    model = mission.model
    wanted = output_shapes(model.network_spec, model.input.width_px, model.input.height_px)
    if shapes == list(wanted.values()):
        return
    if len(shapes) != len(wanted):
        raise UsageError(
            "the network has another number of outputs than the mission reads",
            expected="; ".join(f"{name} {shape}" for name, shape in wanted.items()),
            found=", ".join(str(shape) for shape in shapes) or "no output",
            remedy="give or take out [model.condition], or export the network with these outputs "
            "in this order",
        )
    for (name, shape), found in zip(wanted.items(), shapes, strict=True):
        if found != shape:
            raise _other_output(name, shape, found, mission)


def check_logits(seen: Sequence[Sequence[Floats]], mission: Mission) -> None:
    """Refuses a classification head that puts out shares already, as it did for every picture in
    `seen`: a softmax of shares is so flat that every picture would be out of distribution."""
    for row, name in enumerate(output_names(mission)):
        values = [outputs[row] for outputs in seen]
        if name in (CLASSES, CONDITION) and all(
            (raw >= 0.0).all() and abs(float(raw.sum()) - 1.0) < SHARES_SUM_WITHIN for raw in values
        ):
            raise UsageError(
                f"the model's output '{name}' holds shares, not logits",
                expected="numbers before the softmax, which the device takes by itself",
                found=f"numbers from 0 to 1 that add up to 1 on {len(values)} pictures",
                remedy="take the softmax out of the network's end and export it again",
            )


SHARES_SUM_WITHIN = 1e-3
"""How near to 1 shares add up in float32, or in float16."""


def _other_output(
    name: str, wanted: tuple[int, ...], found: tuple[int, ...], mission: Mission
) -> UsageError:
    model = mission.model
    key = "model.labels"
    labels: tuple[str, ...] = model.labels
    if name == CONDITION and model.condition is not None:
        key, labels = "model.condition.labels", model.condition.labels
    if len(found) == len(wanted) and found[:-1] == wanted[:-1]:
        classes = found[-1] - (wanted[-1] - len(labels))
        return UsageError(
            f"the model and the mission have different labels for the output '{name}'",
            expected=f"{wanted}: {len(labels)} labels ({_short(labels)})",
            found=f"{found}: {classes} labels",
            remedy=f"give the {classes} labels of the model in {key}, or another model",
        )
    reads = f"as logits of {len(labels)} labels"
    if name not in (CLASSES, CONDITION):
        reads = f"as decoder '{model.decode.kind}' with strides {list(model.decode.strides)}"
    return UsageError(
        f"the model's output '{name}' is not what the mission reads",
        expected=f"{wanted}, {reads}",
        found=str(found),
        remedy="correct model.decode and model.input in the mission, or export the network with "
        "its raw outputs, the main one first",
    )


def _torch_source(factory: str, weights: Path | None, mission: Mission) -> TorchSource:
    sizes = mission.model.head_sizes
    if weights is None:
        network = make_network(factory, sizes)
        return TorchSource(network.eval(), factory, None, values_digest(network))
    load_factory(factory)
    if not weights.is_file():
        raise Missing(
            f"no weights at {weights}",
            expected=f"the trained weights of {factory}",
            found="no such file" if not weights.exists() else "a folder",
            remedy="train them: brakepoint train MISSION; or point at a file: "
            "--set model.weights=PATH",
        )
    digest = digest_file(weights)
    state = _read_weights(weights)
    network = make_network(factory, sizes)
    _load(network, state, factory=factory, weights=weights, sizes=sizes)
    return TorchSource(network.eval(), factory, weights, digest)


def _read_weights(path: Path) -> dict[str, Tensor]:
    """The state dict in a file."""
    try:
        with warnings.catch_warnings(action="ignore"):
            loaded: Any = torch.load(path, map_location="cpu", weights_only=True)
    # Garbage makes torch's unpickler, zip reader or legacy reader raise nearly anything: KeyError,
    # struct.error, AssertionError and more, all of which mean that the file holds no weights.
    except Exception as error:
        raise _no_weights(path, _first_sentence(error)) from error
    while isinstance(loaded, Mapping) and (inner := [k for k in NESTED if k in loaded]):
        loaded = loaded[inner[0]]
    if not isinstance(loaded, Mapping) or not loaded:
        raise _no_weights(path, f"a {type(loaded).__name__}")
    if not all(isinstance(key, str) and isinstance(v, Tensor) for key, v in loaded.items()):
        raise _no_weights(path, "a dictionary of other things than tensors")
    return dict(loaded)


def _load(
    network: nn.Module,
    state: dict[str, Tensor],
    *,
    factory: str,
    weights: Path,
    sizes: tuple[int, ...],
) -> None:
    own = network.state_dict()
    if not any(key in own for key in state):  # saved from a DataParallel around the network
        state = {key.removeprefix("module."): value for key, value in state.items()}
    other_sizes = [
        f"{key} is {list(state[key].shape)} in the file and {list(own[key].shape)} in the network"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    missing = [key for key in own if key not in state]
    foreign = [key for key in state if key not in own]
    mistakes = [
        *([f"{len(missing)} of {len(own)} tensors missing ({_short(missing)})"] if missing else []),
        *([f"{len(foreign)} unknown tensors ({_short(foreign)})"] if foreign else []),
        *other_sizes[:3],
    ]
    if mistakes:
        only_sizes = other_sizes and not missing and not foreign
        hint = f"; were they trained for other than {told(sizes)}?"
        raise UsageError(
            f"{weights} holds the weights of another network",
            expected=f"every tensor of {factory} for {told(sizes)}",
            found="; ".join(mistakes) + (hint if only_sizes else ""),
            remedy="train again: brakepoint train MISSION; or correct model.factory, model.labels, "
            "model.condition or model.weights",
        )
    network.load_state_dict(state)


def _no_weights(path: Path, found: str) -> UsageError:
    return UsageError(
        f"{path} is not a file of weights",
        expected="a state dict as torch.save writes it: names and tensors, nothing else",
        found=found,
        remedy="save it with torch.save(network.state_dict(), PATH), or train again: "
        "brakepoint train MISSION",
    )


def _first_sentence(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].split(". ")[0]


def _short(names: Any) -> str:
    listed = list(names)
    return ", ".join(listed[:4]) + (", ..." if len(listed) > 4 else "")
