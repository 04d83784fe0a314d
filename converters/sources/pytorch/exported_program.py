"""Reads a torch.export program (.pt2, torch.export.save) as a network.

torch's own loader runs pickles, evaluates expressions and takes names from the file into code that
it executes. So `sanitize_program` first parses the archive's JSON and checks every text in it by
the key that it stands under; it leaves out metadata (stack traces, guards, sample inputs), refuses
pickled objects and compiled code, and returns a new archive. `load_program` turns that into a
module, in a confined process only (`converters.sources.pytorch.confined_network`).
"""

from __future__ import annotations

import ast
import io
import json
import re
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from calibration.npz import DAMAGED_ARCHIVE
from converters.sources.file_kind import entries, require_size
from converters.sources.pytorch.state_dict import require_finite
from converters.sources.pytorch.torch_operators import may_target
from edge.contract.json_text import parse_json
from firmware_bridge.errors import Refusal, UsageError

CONTENTS = re.compile(
    r"(models/model\.json|archive_format|archive_version|byteorder|\.data/\w+"
    r"|data/(weights|constants)/model_(weights|constants)_config\.json"
    r"|data/weights/weight_\d+|data/constants/tensor_\d+|data/sample_inputs/model\.pt|extra/.*)"
)
"""Files of an archive that holds a network and nothing else."""

METADATA_KEYS = frozenset({"metadata", "guards_code"})
"""Keys whose values say where the network came from, or which other inputs it would refuse."""

OPERATORS = frozenset({"target", "as_operator"})
"""Keys whose values torch calls by name, or passes to an operator as a function."""

IDENTIFIERS = frozenset({"name", "as_name", "forward_arg_names"})
"""Keys whose values become names in the code that torch writes and runs."""

FREE = frozenset({"as_string", "as_strings"})
"""Keys whose values torch passes to an operator unchanged."""

SIZES = frozenset({"expr_str"})
"""Keys whose values torch evaluates, by sympy."""

TREES = frozenset({"in_spec", "out_spec"})

TREE_KINDS = (
    *(None, "builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict"),
)
"""Containers of outputs; None stands for a single output."""

FOREIGN = frozenset({"as_custom_obj", "custom_obj", "custom_obj_values", "class_fqn", "token"})
"""Keys of objects of custom classes, which only their own code can build."""

IDENTIFIER = re.compile(r"[^\W\d]\w*|", re.ASCII)
PLAIN = re.compile(r"[\w.:+\-]*", re.ASCII)
SYMBOL = re.compile(r"[a-z]\d+|int_oo|oo", re.ASCII)

LARGEST_NUMBER = 1 << 63
LARGEST_POWER = 16
"""Largest exponent in a size, so that torch evaluates it quickly."""
CALLS = frozenset(
    {"Symbol", "Integer", "Add", "Mul", "Pow", "Max", "Min", "FloorDiv", "CeilDiv", "Mod"}
    | {"PythonMod", "CleanDiv", "Rational", "Float", "Eq", "Ne", "Lt", "Le", "Gt", "Ge"}
)
"""Functions that a size may use, beside + - * / and powers."""

LARGEST_JSON = 256 << 20
TRAINING_ARGUMENTS = {"batch_norm": 5, "dropout": 2, "feature_dropout": 2}
"""Operators with a training mode, and the index of the argument that switches it on."""


class ExportedNetwork(nn.Module):
    """A torch.export program as a module; it cannot be switched to training."""

    _network: Callable[[Tensor], object]

    def __init__(self, program: torch.export.ExportedProgram) -> None:
        super().__init__()
        object.__setattr__(self, "_network", program.module(check_guards=False))

    def forward(self, images: Tensor) -> object:
        """The outputs for (B, 3, H, W), as the program groups them."""
        return self._network(images)


def sanitize_program(path: Path) -> bytes:
    """A new archive of the same network without metadata, after every text in it was checked.

    Raises:
        UsageError: it holds more than a network, or is damaged.
    """
    try:
        return _sanitized(path)
    except Refusal:
        raise
    except DAMAGED_ARCHIVE as error:
        raise _not_loaded(path, error) from error


def load_program(plain: bytes, path: Path, shape: tuple[int, ...]) -> nn.Module:
    """The network in an archive of `sanitize_program`, for inference, on the CPU.

    Raises:
        UsageError: it is damaged, was exported in training, or for pictures of another size than
            `shape` (1, 3, H, W).
    """
    try:
        with warnings.catch_warnings(action="ignore"):
            program = torch.export.load(io.BytesIO(plain))
            require_finite(dict(program.named_parameters()), str(path))
            _check_mode(program, path)
            _check_input(program, path, shape)
            return ExportedNetwork(program)
    except Refusal:
        raise
    # On a damaged archive torch's readers raise nearly anything.
    except Exception as error:
        raise _not_loaded(path, error) from error


def _not_loaded(path: Path, error: BaseException) -> UsageError:
    return UsageError(
        f"{path} cannot be loaded as a torch.export program",
        expected="an archive as torch.export.save of the installed torch writes it",
        found=(str(error).strip() or type(error).__name__).splitlines()[0],
        remedy="save the program again with this torch, or export it to ONNX",
    )


def _sanitized(path: Path) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(made, "w") as plain:
        require_size(archive, path)
        for name, one in entries(archive).items():
            if not CONTENTS.fullmatch(name):
                raise _unwanted(path, f"{one.filename} in the archive")
            if name.startswith("extra/"):
                continue
            if name.endswith(".json") and one.file_size > LARGEST_JSON:
                raise _unwanted(path, f"{one.filename} of {one.file_size} bytes")
            data = archive.read(one)
            if name.endswith(".json"):
                document = parse_json(data)
                if name.endswith("_config.json"):
                    _check_payload(document, path)
                document = _without_metadata(document)
                _check(document, "", path)
                data = json.dumps(document).encode()
            elif name.endswith(".pt"):
                data = _no_inputs()
            plain.writestr(f"network/{name}", data)
    return made.getvalue()


def _check_payload(config: Any, path: Path) -> None:
    for name, payload in config["config"].items():
        if payload["use_pickle"] is not False:
            raise _unwanted(path, f"'{name}' as a pickle")


def _no_inputs() -> bytes:
    """Empty sample inputs (args, kwargs), as torch.save writes them."""
    made = io.BytesIO()
    torch.save(((), {}), made)
    return made.getvalue()


def _without_metadata(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: type(inner)() if key in METADATA_KEYS else _without_metadata(inner)
            for key, inner in value.items()
        }
    return [_without_metadata(inner) for inner in value] if isinstance(value, list) else value


def _check(value: Any, key: str, path: Path) -> None:
    """Checks every text in JSON values, keys included, by the key that it stands under."""
    if isinstance(value, dict):
        if found := sorted(name for name in FOREIGN & set(value) if value[name]):
            raise _unwanted(path, f"an object of another class ({found[0]})")
        for name, inner in value.items():
            sizes = key == "range_constraints"
            if not (_is_plain_size(name) if sizes else PLAIN.fullmatch(name)):
                raise _unwanted(path, f"{key or 'a key'}: {name[:80]!r}")
            _check(inner, name, path)
    elif isinstance(value, list):
        for inner in value:
            _check(inner, key, path)
    elif isinstance(value, str) and not _fits(value, key):
        raise _unwanted(path, f"{key or 'a text'}: {value[:80]!r}")


def _fits(text: str, key: str) -> bool:
    if key in OPERATORS:
        return may_target(text)
    if key in TREES:
        return text == "" or _is_plain_tree(parse_json(text)[1])
    if key in SIZES:
        return _is_plain_size(text)
    if key in IDENTIFIERS:
        return bool(IDENTIFIER.fullmatch(text))
    return key in FREE or bool(PLAIN.fullmatch(text))


def _is_plain_tree(spec: Any) -> bool:
    """Whether a pytree spec holds tuples, lists and dictionaries alone."""
    if spec["type"] not in TREE_KINDS:
        return False
    keys = parse_json(spec["context"]) if spec["context"] else None
    if keys is not None and not all(isinstance(k, str) and PLAIN.fullmatch(k) for k in keys):
        return False
    return all(map(_is_plain_tree, spec["children_spec"]))


def _is_plain_size(text: str) -> bool:
    """Whether a text is integer arithmetic over symbols, in the form that torch writes."""
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return all(map(_is_plain_part, ast.walk(tree)))


def _is_plain_part(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        named = isinstance(node.func, ast.Name) and node.func.id
        return named in CALLS and (named != "Pow" or _is_small(node.args[-1]))
    if isinstance(node, ast.BinOp):
        return not isinstance(node.op, ast.Pow) or _is_small(node.right)
    if isinstance(node, ast.Name):
        return node.id in CALLS or bool(SYMBOL.fullmatch(node.id))
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            return bool(SYMBOL.fullmatch(node.value))
        return isinstance(node.value, int | float) and abs(node.value) < LARGEST_NUMBER
    return isinstance(
        node,
        ast.Expression | ast.UnaryOp | ast.keyword | ast.operator | ast.unaryop | ast.expr_context,
    )


def _is_small(node: ast.AST) -> bool:
    if isinstance(node, ast.UnaryOp):
        node = node.operand
    return isinstance(node, ast.Constant) and (
        isinstance(node.value, int) and node.value <= LARGEST_POWER
    )


def _check_mode(program: torch.export.ExportedProgram, path: Path) -> None:
    for node in program.graph.nodes:
        name = str(node.target).removeprefix("aten.").partition(".")[0].removesuffix("_")
        slot = TRAINING_ARGUMENTS.get(name)
        if slot is not None and len(node.args) > slot and node.args[slot] is True:
            raise UsageError(
                f"{path} was exported in training mode",
                expected="a network that was switched to evaluation before it was exported",
                found=f"{node.target} in training",
                remedy="call network.eval(), then export and save it again",
            )


def _check_input(program: torch.export.ExportedProgram, path: Path, shape: tuple[int, ...]) -> None:
    values = {
        node.name: node.meta["val"] for node in program.graph.nodes if node.op == "placeholder"
    }
    fed = [values[name] for name in program.graph_signature.user_inputs if name in values]
    fits = len(fed) == 1 and isinstance(fed[0], Tensor) and fed[0].dtype == torch.float32
    fits = fits and len(fed[0].shape) == len(shape)
    if not fits or any(
        isinstance(size, int) and size != wanted
        for size, wanted in zip(fed[0].shape, shape, strict=True)
    ):
        raise UsageError(
            f"{path} does not take the mission's picture",
            expected=f"one float32 input {list(shape)}",
            found=", ".join(_excerpt(value) for value in fed) or "no input",
            remedy="correct model.input in the mission, or export the network for that size",
        )


def _excerpt(value: object) -> str:
    if not isinstance(value, Tensor):
        return type(value).__name__
    sizes = [size if isinstance(size, int) else "?" for size in value.shape]
    return f"{str(value.dtype).removeprefix('torch.')} {sizes}".replace("'", "")


def _unwanted(path: Path, found: str) -> UsageError:
    return UsageError(
        f"{path} holds more than a network",
        expected="torch's own operators, plain weights and plain sizes",
        found=found,
        remedy="export the network alone and save it again; do not load a file whose origin you do "
        "not know",
    )
