"""Reads a TorchScript archive (torch.jit.save) as a network.

An archive is a program in torch's own language. Its code is read before it is loaded, and refused
where it names an operator that touches files or is not torch's own; none of it is Python that could
run here, and torch reads its pickles without importing anything. Never writes, never trains.
"""

from __future__ import annotations

import io
import re
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from converters.file_kind import demand_size
from converters.weights import demand_finite
from firmware_bridge.errors import Refusal, UsageError

TOUCHES_FILES = re.compile(r"\b(from_file|save)\s*\(")
"""The operators of torch (aten) that take a file's name."""

OPERATORS_OF = re.compile(r"\bops\s*\.\s*(\w+)\s*\.\s*(\w+)")
OWN = frozenset({"aten", "prim"})

LARGEST_CODE = 16 << 20

TRAINED = {"aten::batch_norm": 5, "aten::dropout": 2, "aten::feature_dropout": 2}
"""Operators that compute otherwise in training, and the slot that says so."""


_CONVOLUTION = "%input, %weight, %bias, %stride, %pad, %dilation, %transposed, %out_pad, %groups"
_SWITCHES = "%benchmark, %deterministic, %cudnn, %tf32"
TRACED_CONVOLUTION = tuple(
    f"graph({_CONVOLUTION}, {_SWITCHES}):\n  %made = {called}\n  return (%made)"
    for called in (
        f"aten::_convolution({_CONVOLUTION}, {_SWITCHES})",
        f"aten::convolution({_CONVOLUTION})",
    )
)
"""A convolution with the switches of a GPU library, and the same without."""


class Scripted(nn.Module):
    """A frozen TorchScript network with the forward of a module.

    It is kept out of sight of torch.nn: a frozen network has no mode that could be set, and its
    weights are constants.
    """

    _network: Callable[[Tensor], object]

    def __init__(self, network: torch.jit.ScriptModule) -> None:
        super().__init__()
        object.__setattr__(self, "_network", network)

    def forward(self, images: Tensor) -> object:
        """What the network puts out for (B, 3, H, W)."""
        return self._network(images)


def read_torchscript(path: Path) -> nn.Module:
    """The network in an archive, for inference, on the CPU.

    Raises:
        UsageError: its code is not to be run here, it is damaged, or was traced in training.
    """
    try:
        plain = _plain_archive(path)
        with warnings.catch_warnings(action="ignore"):
            load: Any = torch.jit.load  # untyped
            loaded = load(plain, map_location="cpu")
            demand_finite(dict(loaded.named_parameters()), str(path))
            frozen = torch.jit.freeze(loaded.eval()) if hasattr(loaded, "training") else loaded
    except Refusal:
        raise
    # A damaged archive makes torch's readers raise nearly anything.
    except Exception as error:
        raise UsageError(
            f"{path} cannot be loaded as TorchScript",
            expected="an archive as torch.jit.save writes it, with torch's own operators",
            found=_told(error),
            remedy="save the network again, or give its factory and weights",
        ) from error
    _check_mode(frozen, path)
    # What tracing writes for a convolution is not among the operators that torch exports.
    rewrite: Any = torch._C._jit_pass_custom_pattern_based_rewrite_graph  # its stub lacks arguments
    rewrite(*TRACED_CONVOLUTION, frozen.graph)
    return Scripted(frozen)


def _plain_archive(path: Path) -> io.BytesIO:
    """The archive, its code looked at; written anew, so that torch reads what was looked at and not
    what another reading of the same zip file finds in it."""
    made = io.BytesIO()
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(made, "w") as plain:
        demand_size(archive, path)
        code = [one for one in archive.infolist() if one.filename.endswith(".py")]
        if sum(one.file_size for one in code) > LARGEST_CODE:
            raise _unwanted(path, f"more than {LARGEST_CODE >> 20} MiB of code")
        for one in archive.infolist():
            data = archive.read(one)
            if one.filename.endswith(".py"):
                _check_code(data.decode("utf-8", "replace"), one.filename, path)
            plain.writestr(one.filename, data)
    made.seek(0)
    return made


def _check_code(text: str, name: str, path: Path) -> None:
    if files := TOUCHES_FILES.search(text):
        raise _unwanted(path, f"{files[1]} in {name}")
    for space, operator in OPERATORS_OF.findall(text):
        if space.startswith("quantized"):
            raise UsageError(
                f"{path} is quantized already",
                expected="a float network",
                found=f"{space}::{operator} in {name}",
                remedy="give the float network it was made from",
            )
        if space not in OWN:
            raise _unwanted(path, f"{space}::{operator} in {name}")


def _check_mode(network: torch.jit.ScriptModule, path: Path) -> None:
    graph: Any = network.inlined_graph  # its stub lacks findAllNodes
    for kind, slot in TRAINED.items():
        for node in graph.findAllNodes(kind):
            if list(node.inputs())[slot].toIValue() is True:
                raise UsageError(
                    f"{path} was traced in training mode",
                    expected="a network that was switched to evaluation before it was traced",
                    found=f"{kind} in training",
                    remedy="call network.eval(), then trace and save it again",
                )


def _unwanted(path: Path, found: str) -> UsageError:
    return UsageError(
        f"{path} holds code that is not run here",
        expected="a network of torch's own operators that touches no files",
        found=found,
        remedy="take the operator out and save the network again; do not load a file whose origin "
        "you do not know",
    )


def _told(error: Exception) -> str:
    """The sentence that says what is wrong, out of torch's many lines."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
