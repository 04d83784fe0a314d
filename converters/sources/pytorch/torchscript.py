"""Reads a TorchScript archive (torch.jit.save) as a network.

An archive is a program in torch's own language. `sanitize_torchscript` checks all of it before
anything is loaded and returns a new archive; `load_torchscript` turns that into a module, checking
the compiled graph before any of it runs, in a confined process only
(`converters.sources.pytorch.confined_network`).
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

from calibration.npz import DAMAGED_ARCHIVE
from converters.sources.file_kind import entries, require_size
from converters.sources.pytorch.pickle_opcodes import disallowed_instruction
from converters.sources.pytorch.state_dict import require_finite
from converters.sources.pytorch.torch_operators import INSTRUCTIONS, may_call
from converters.sources.pytorch.torchscript_code import NotAllowed, QuantizedOperator, check_code
from firmware_bridge.errors import Refusal, UsageError

CONTENTS = re.compile(
    r"(data|constants)\.pkl|(data|constants)/\d+|version|byteorder|\.format_version"
    r"|\.storage_alignment|\.data/\w+|code/__torch__(/\w+)*\.py"
)
"""Files of an archive that are copied."""

LEFT_OUT = re.compile(
    r"code/.*\.debug_pkl|extra/.*|traced_inputs(\.pkl|/\d+)|(mobile_)?(bytecode|debug).*\.pkl"
)
"""Files that say where the code came from, or hold it a second time: not copied."""

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
"""Names that an archive's pickles may import, beside the archive's own classes."""

LARGEST_CODE = 16 << 20

TRAINING_ARGUMENTS = {"aten::batch_norm": 5, "aten::dropout": 2, "aten::feature_dropout": 2}
"""Operators with a training mode, and the index of the input that switches it on."""


_CONVOLUTION = "%input, %weight, %bias, %stride, %pad, %dilation, %transposed, %out_pad, %groups"
_SWITCHES = "%benchmark, %deterministic, %cudnn, %tf32"
TRACED_CONVOLUTION = tuple(
    f"graph({_CONVOLUTION}, {_SWITCHES}):\n  %made = {called}\n  return (%made)"
    for called in (
        f"aten::_convolution({_CONVOLUTION}, {_SWITCHES})",
        f"aten::convolution({_CONVOLUTION})",
    )
)
"""A convolution with the flags of cuDNN, as tracing writes it, and the same without them."""


class ScriptedNetwork(nn.Module):
    """A frozen TorchScript network as a module.

    The network is hidden from torch.nn: frozen, it has no mode to switch, and its weights are
    constants.
    """

    _network: Callable[[Tensor], object]

    def __init__(self, network: torch.jit.ScriptModule) -> None:
        super().__init__()
        object.__setattr__(self, "_network", network)

    def forward(self, images: Tensor) -> object:
        """The outputs for (B, 3, H, W), as the network groups them."""
        return self._network(images)


def sanitize_torchscript(path: Path) -> bytes:
    """A new archive of the same network, after all of it was checked. Torch reads the new one,
    since another zip reader could find other files in the user's.

    Raises:
        UsageError: it holds code or objects outside the allow-lists, or is damaged.
    """
    try:
        return _sanitized(path)
    except Refusal:
        raise
    except QuantizedOperator as operator:
        raise UsageError(
            f"{path} is quantized already",
            expected="a float network",
            found=str(operator),
            remedy="give the float network it was made from",
        ) from operator
    except NotAllowed as error:
        raise _not_allowed(path, str(error)) from error
    # Raised by zipfile where an archive is damaged or packed in a way that it does not know.
    except DAMAGED_ARCHIVE as error:
        raise _not_loaded(path, error) from error


def _sanitized(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        require_size(archive, path)
        files = entries(archive)
        for name in files:
            if not CONTENTS.fullmatch(name) and not LEFT_OUT.fullmatch(name):
                raise NotAllowed(f"{name} in the archive")
        code = {name: one for name, one in files.items() if name.endswith(".py")}
        if sum(one.file_size for one in code.values()) > LARGEST_CODE:
            raise NotAllowed(f"more than {LARGEST_CODE >> 20} MiB of code")
        texts = {
            name.removeprefix("code/"): archive.read(one).decode("utf-8")
            for name, one in code.items()
        }
        written, classes = check_code(texts)
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w") as plain:
            for name, one in files.items():
                if LEFT_OUT.fullmatch(name):
                    continue
                data = archive.read(one)
                if name.endswith(".py"):
                    data = written[name.removeprefix("code/")].encode()
                elif name.endswith(".pkl") and (
                    found := disallowed_instruction(data, _importable(classes))
                ):
                    raise NotAllowed(f"{found} in {name}")
                plain.writestr(f"network/{name}", data)
    return made.getvalue()


def _importable(classes: frozenset[str]) -> Callable[[str, str], bool]:
    return lambda module, name: name in IMPORTED.get(module, ()) or f"{module}.{name}" in classes


def load_torchscript(plain: bytes, path: Path) -> nn.Module:
    """The network in an archive of `sanitize_torchscript`, for inference, on the CPU.

    Raises:
        UsageError: its graph calls an operator that is not allowed, it is damaged, or it was traced
            in training mode.
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
    # On a damaged archive torch's readers raise nearly anything.
    except Exception as error:
        raise _not_loaded(path, error) from error
    _check_mode(frozen, path)
    # torch.export does not know the operator that tracing writes for a convolution.
    rewrite: Any = torch._C._jit_pass_custom_pattern_based_rewrite_graph  # its stub lacks arguments
    rewrite(*TRACED_CONVOLUTION, frozen.graph)
    return ScriptedNetwork(frozen)


def _check_graph(graph: Any, path: Path) -> None:
    """Checks the operator and overload of every node of the compiled graph before it runs."""
    for node in _nodes(graph):
        kind, schema = node.kind(), node.schema()
        if kind in INSTRUCTIONS:
            graphs = [name for name in node.attributeNames() if node.kindOf(name) in ("g", "gs")]
            if not graphs:
                continue
        name, _, overload = schema.partition("(")[0].partition(".")
        if not (schema and name == kind and may_call(name, overload)):
            raise _not_allowed(path, schema.partition("(")[0] or kind)


def _nodes(block: Any) -> Iterator[Any]:
    for node in block.nodes():
        yield node
        for inner in node.blocks():
            yield from _nodes(inner)


def _check_mode(network: torch.jit.ScriptModule, path: Path) -> None:
    graph: Any = network.inlined_graph  # its stub lacks findAllNodes
    for kind, slot in TRAINING_ARGUMENTS.items():
        for node in graph.findAllNodes(kind):
            if list(node.inputs())[slot].toIValue() is True:
                raise UsageError(
                    f"{path} was traced in training mode",
                    expected="a network that was switched to evaluation before it was traced",
                    found=f"{kind} in training",
                    remedy="call network.eval(), then trace and save it again",
                )


def _not_allowed(path: Path, found: str) -> UsageError:
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
        found=_first_line(error),
        remedy="save the network again, or give its factory and weights",
    )


def _first_line(error: BaseException) -> str:
    """The first line of torch's long message."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
