"""Reads a torch.export program (.pt2, torch.export.save) as a network.

torch's own loader runs pickles, evaluates expressions and takes names from the file into code that
it executes. So every text in the archive is looked at first and must be one of a few plain forms;
what is only talk (stack traces, guards, sample inputs) is left out, and what holds pickled objects
or compiled code is refused. Nothing of the file is run but torch's operators.
"""

from __future__ import annotations

import ast
import io
import json
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from converters.file_kind import demand_size
from converters.weights import demand_finite
from firmware_bridge.errors import Refusal, UsageError

CONTENTS = re.compile(
    r"(models/model\.json|archive_format|archive_version|byteorder|\.data/\w+"
    r"|data/(weights|constants)/model_(weights|constants)_config\.json"
    r"|data/weights/weight_\d+|data/constants/tensor_\d+|data/sample_inputs/model\.pt|extra/.*)"
)
"""Files of an archive that holds a network and nothing else."""

TARGET = re.compile(
    r"torch\.ops\.aten\.(?!from_file\b|save\b)\w+(\.\w+)?|_operator\.\w+|math\.\w+|torch\.sym_\w+"
    r"|torch\.ops\.higher_order\.wrap_with_(set_grad_enabled|autocast)"
)
"""What a node may call."""

TALK = frozenset({"metadata", "guards_code"})
"""Keys whose values say where the network came from or what else it would refuse."""

PLAIN = re.compile(r"[\w.:+\-]*")
CALLS = frozenset(
    {"Symbol", "Integer", "Add", "Mul", "Pow", "Max", "Min", "FloorDiv", "CeilDiv", "Mod"}
    | {"PythonMod", "CleanDiv", "Rational", "Float", "Eq", "Ne", "Lt", "Le", "Gt", "Ge"}
)
"""What a size may be computed with, beside + - * / and powers."""

LARGEST_JSON = 256 << 20
TRAINED = {"batch_norm": 5, "dropout": 2, "feature_dropout": 2}
"""Operators that compute otherwise in training, and the argument that says so."""


class Exported(nn.Module):
    """A torch.export program with the forward of a module; it has no mode that could be set."""

    _network: Callable[[Tensor], object]

    def __init__(self, program: torch.export.ExportedProgram) -> None:
        super().__init__()
        object.__setattr__(self, "_network", program.module(check_guards=False))

    def forward(self, images: Tensor) -> object:
        """What the network puts out for (B, 3, H, W)."""
        return self._network(images)


def read_exported(path: Path, shape: tuple[int, ...]) -> nn.Module:
    """The network in an archive, for inference, on the CPU.

    Raises:
        UsageError: it holds more than a network, is damaged, was exported in training, or for
            pictures of another size than `shape` (1, 3, H, W).
    """
    try:
        plain = _plain_archive(path)
        with warnings.catch_warnings(action="ignore"):
            program = torch.export.load(plain)
            demand_finite(dict(program.named_parameters()), str(path))
            _check_mode(program, path)
            _check_input(program, path, shape)
            return Exported(program)
    except Refusal:
        raise
    # A damaged archive makes torch's readers raise nearly anything.
    except Exception as error:
        raise UsageError(
            f"{path} cannot be loaded as a torch.export program",
            expected="an archive as torch.export.save of the installed torch writes it",
            found=(str(error).strip() or type(error).__name__).splitlines()[0],
            remedy="save the program again with this torch, or export it to ONNX",
        ) from error


def _plain_archive(path: Path) -> io.BytesIO:
    """The archive without talk, every text in it looked at."""
    made = io.BytesIO()
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(made, "w") as plain:
        demand_size(archive, path)
        for one in archive.infolist():
            name = one.filename.partition("/")[2]
            if not CONTENTS.fullmatch(name):
                raise _unwanted(path, f"{one.filename} in the archive")
            if name.startswith("extra/"):
                continue
            if name.endswith(".json") and one.file_size > LARGEST_JSON:
                raise _unwanted(path, f"{one.filename} of {one.file_size} bytes")
            data = archive.read(one)
            if name.endswith("_config.json"):
                _check_payload(json.loads(data), path)
            elif name == "models/model.json":
                data = json.dumps(_without_talk(json.loads(data), path)).encode()
            elif name.endswith(".pt"):
                data = _no_inputs()
            plain.writestr(f"network/{name}", data)
    made.seek(0)
    return made


def _check_payload(config: Any, path: Path) -> None:
    for name, payload in config["config"].items():
        if payload["use_pickle"]:
            raise _unwanted(path, f"'{name}' as a pickle")


def _no_inputs() -> bytes:
    """Sample inputs that hold nothing: (args, kwargs)."""
    made = io.BytesIO()
    torch.save(((), {}), made)
    return made.getvalue()


def _without_talk(program: dict[str, Any], path: Path) -> dict[str, Any]:
    for where, text in _texts(program, ()):
        key = where[-1] if where else ""
        if key == "target":
            fits = bool(TARGET.fullmatch(text))
        elif key in ("in_spec", "out_spec"):
            fits = text == "" or _is_plain_tree(json.loads(text)[1])
        else:
            fits = bool(PLAIN.fullmatch(text)) or _is_plain_size(text)
        if not fits:
            raise _unwanted(path, f"{key or 'a text'}: {text[:80]!r}")
    stripped: dict[str, Any] = _stripped(program)
    return stripped


def _texts(value: Any, where: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every text in plain values but talk, keys included."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield where, key
            if key not in TALK:
                yield from _texts(inner, (*where, key))
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner, where)
    elif isinstance(value, str):
        yield where, value


def _stripped(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: type(inner)() if key in TALK else _stripped(inner) for key, inner in value.items()
        }
    return [_stripped(inner) for inner in value] if isinstance(value, list) else value


def _is_plain_tree(spec: Any) -> bool:
    """Whether arguments are grouped by tuples, lists and dictionaries alone."""
    if spec["type"] not in (None, "builtins.tuple", "builtins.list", "builtins.dict"):
        return False
    keys = json.loads(spec["context"]) if spec["context"] else None
    if keys is not None and not all(isinstance(k, str) and PLAIN.fullmatch(k) for k in keys):
        return False
    return all(map(_is_plain_tree, spec["children_spec"]))


def _is_plain_size(text: str) -> bool:
    """Whether a text is arithmetic of whole numbers and symbols, written as torch does."""
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if not (isinstance(node.func, ast.Name) and node.func.id in CALLS):
                return False
        elif isinstance(node, ast.Name):
            if node.id not in CALLS and not re.fullmatch(r"[a-z]\d+|int_oo|oo", node.id):
                return False
        elif isinstance(node, ast.Constant):
            value = node.value
            if isinstance(value, str) and not re.fullmatch(r"[a-z]\d+", value):
                return False
        elif not isinstance(
            node,
            ast.Expression | ast.BinOp | ast.UnaryOp | ast.keyword | ast.operator | ast.unaryop
            | ast.expr_context,
        ):  # fmt: skip
            return False
    return True


def _check_mode(program: torch.export.ExportedProgram, path: Path) -> None:
    for node in program.graph.nodes:
        name = str(node.target).removeprefix("aten.").partition(".")[0].removesuffix("_")
        slot = TRAINED.get(name)
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
            found=", ".join(_told(value) for value in fed) or "no input",
            remedy="correct model.input in the mission, or export the network for that size",
        )


def _told(value: object) -> str:
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
