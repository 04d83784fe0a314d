"""Reads a TorchScript archive (torch.jit.save) as a network.

An archive is a program in torch's own language. `plain_torchscript` looks at all of it before
anything is loaded, and writes what was looked at anew; `load_torchscript` belongs into a process
without rights (`converters.sources.pytorch.confined_network`), and looks at the compiled graph
before it runs any of it.
"""

from __future__ import annotations

import io
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from converters.sources.file_kind import DAMAGED, entries, require_size
from converters.sources.pytorch.pickle_opcodes import unwanted_in
from converters.sources.pytorch.state_dict import require_finite
from converters.sources.pytorch.torch_operators import INSTRUCTIONS, may_call
from converters.sources.pytorch.torchscript_code import Quantized, Unwanted, checked_code
from firmware_bridge.errors import Refusal, UsageError

CONTENTS = re.compile(
    r"(data|constants)\.pkl|(data|constants)/\d+|version|byteorder|\.format_version"
    r"|\.storage_alignment|\.data/\w+|code/__torch__(/\w+)*\.py"
)
"""Files of an archive that are kept."""

TALK = re.compile(
    r"code/.*\.debug_pkl|extra/.*|traced_inputs(\.pkl|/\d+)|(mobile_)?(bytecode|debug).*\.pkl"
)
"""Files that say where the code came from, or hold it a second time: left out."""

IMPORTED = {
    "torch._utils": frozenset({"_rebuild_tensor_v2", "_rebuild_parameter"}),
    "torch.jit._pickle": frozenset(
        {"build_intlist", "build_tensorlist", "build_doublelist", "build_boollist"}
        | {"build_tensor_from_id", "restore_type_tag"}
    ),
    "collections": frozenset({"OrderedDict"}),
    "torch": frozenset(
        f"{kind}Storage"
        for kind in (
            *("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte"),
            *("Bool", "ComplexFloat", "ComplexDouble"),
        )
    )
    | {"device"},
}
"""What pickles of an archive may name beside the archive's own classes."""

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


def plain_torchscript(path: Path) -> bytes:
    """The archive, all of it looked at; written anew, so that torch reads what was looked at and
    not what another reading of the same zip file finds in it.

    Raises:
        UsageError: it holds what is not taken, or is damaged.
    """
    try:
        return _looked_at(path)
    except Refusal:
        raise
    except Quantized as operator:
        raise UsageError(
            f"{path} is quantized already",
            expected="a float network",
            found=str(operator),
            remedy="give the float network it was made from",
        ) from operator
    except Unwanted as unwanted:
        raise _unwanted(path, str(unwanted)) from unwanted
    # zipfile's words for what is damaged or packed in a way it does not know.
    except DAMAGED as error:
        raise _not_loaded(path, error) from error


def _looked_at(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        require_size(archive, path)
        files = entries(archive)
        for name in files:
            if not CONTENTS.fullmatch(name) and not TALK.fullmatch(name):
                raise Unwanted(f"{name} in the archive")
        code = {name: one for name, one in files.items() if name.endswith(".py")}
        if sum(one.file_size for one in code.values()) > LARGEST_CODE:
            raise Unwanted(f"more than {LARGEST_CODE >> 20} MiB of code")
        texts = {
            name.removeprefix("code/"): archive.read(one).decode("utf-8")
            for name, one in code.items()
        }
        written, classes = checked_code(texts)
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w") as plain:
            for name, one in files.items():
                if TALK.fullmatch(name):
                    continue
                data = archive.read(one)
                if name.endswith(".py"):
                    data = written[name.removeprefix("code/")].encode()
                elif name.endswith(".pkl") and (found := unwanted_in(data, _wanted(classes))):
                    raise Unwanted(f"{found} in {name}")
                plain.writestr(f"network/{name}", data)
    return made.getvalue()


def _wanted(classes: frozenset[str]) -> Callable[[str, str], bool]:
    return lambda module, name: name in IMPORTED.get(module, ()) or f"{module}.{name}" in classes


def load_torchscript(plain: bytes, path: Path) -> nn.Module:
    """The network in what `plain_torchscript` wrote, for inference, on the CPU.

    Raises:
        UsageError: its graph calls what is not taken, it is damaged, or was traced in training.
    """
    try:
        with warnings.catch_warnings(action="ignore"):
            load: Any = torch.jit.load  # untyped
            loaded = load(io.BytesIO(plain), map_location="cpu")
            _check_graph(loaded.inlined_graph, path)
            require_finite(dict(loaded.named_parameters()), str(path))
            frozen = torch.jit.freeze(loaded.eval()) if hasattr(loaded, "training") else loaded
    except Refusal:
        raise
    # A damaged archive makes torch's readers raise nearly anything.
    except Exception as error:
        raise _not_loaded(path, error) from error
    _check_mode(frozen, path)
    # What tracing writes for a convolution is not among the operators that torch exports.
    rewrite: Any = torch._C._jit_pass_custom_pattern_based_rewrite_graph  # its stub lacks arguments
    rewrite(*TRACED_CONVOLUTION, frozen.graph)
    return Scripted(frozen)


def _check_graph(graph: Any, path: Path) -> None:
    """Every node of the compiled graph, before any of it runs: by its operator and overload."""
    for node in _nodes(graph):
        kind, schema = node.kind(), node.schema()
        if kind in INSTRUCTIONS:
            graphs = [name for name in node.attributeNames() if node.kindOf(name) in ("g", "gs")]
            if not graphs:
                continue
        name, _, overload = schema.partition("(")[0].partition(".")
        if not (schema and name == kind and may_call(name, overload)):
            raise _unwanted(path, schema.partition("(")[0] or kind)


def _nodes(block: Any) -> Iterator[Any]:
    for node in block.nodes():
        yield node
        for inner in node.blocks():
            yield from _nodes(inner)


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
        expected="a network of torch's own operators that only compute (docs/sources.md)",
        found=found,
        remedy="take the operator out and save the network again; do not load a file whose origin "
        "you do not know",
    )


def _not_loaded(path: Path, error: BaseException) -> UsageError:
    return UsageError(
        f"{path} cannot be loaded as TorchScript",
        expected="an archive as torch.jit.save writes it, with torch's own operators",
        found=_told(error),
        remedy="save the network again, or give its factory and weights",
    )


def _told(error: BaseException) -> str:
    """The sentence that says what is wrong, out of torch's many lines."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
