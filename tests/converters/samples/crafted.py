"""Crafted PyTorch files for tests: a small archive with other code, other calls or other pickles,
written when a test needs one.
"""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import tiny_torch
import torch
from torch import nn

SIDE = 64


def network() -> nn.Module:
    """The network that all are made of."""
    return tiny_torch.tiny(3).eval()


def script(path: Path) -> Path:
    """Writes its TorchScript."""
    traced: Any = torch.jit.trace(network(), torch.zeros(1, 3, SIDE, SIDE))
    torch.jit.save(traced, path)
    return path


def program(path: Path, given: nn.Module | None = None) -> Path:
    """Writes its torch.export program."""
    made = io.BytesIO()
    exported = torch.export.export(given or network(), (torch.zeros(1, 3, SIDE, SIDE),))
    torch.export.save(exported, made)
    path.write_bytes(made.getvalue())
    return path


def rewritten(path: Path, change: Callable[[str, bytes], bytes | None]) -> Path:
    """Writes the archive anew: `change` takes each path behind the first folder and its bytes, and
    gives other ones, or None for none."""
    with zipfile.ZipFile(path) as archive:
        files = [(name, archive.read(name)) for name in archive.namelist()]
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files:
            changed = change(name.partition("/")[2], data)
            if changed is not None:
                archive.writestr(name, changed)
    return path


def with_lines(path: Path, lines: str, *, before_class: str = "") -> Path:
    """TorchScript with further lines at the beginning of the network's forward, indented as there,
    and further text before its class."""

    changed = []

    def change(name: str, data: bytes) -> bytes:
        # torch numbers classes of one name that a process has traced more than once.
        own = name.startswith("code/__torch__/tiny_torch") and name.endswith(".py")
        if not (own and b"class Tiny(" in data):
            return data
        changed.append(name)
        head, signature, rest = data.decode().partition("-> Tensor:\n")
        assert signature
        inner = "".join(f"    {line}\n" for line in lines.splitlines())
        return (before_class + head + signature + inner + rest).encode()

    made = rewritten(path, change)
    assert len(changed) == 1
    return made


def with_file(path: Path, name: str, data: bytes) -> Path:
    """The archive with a further file."""
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(f"{archive.namelist()[0].split('/')[0]}/{name}", data)
    return path


def with_graph(path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """A program whose graph (of its JSON) was changed in place."""

    def other(name: str, data: bytes) -> bytes:
        if name != "models/model.json":
            return data
        document = json.loads(data)
        change(document["graph_module"]["graph"])
        return json.dumps(document).encode()

    return rewritten(path, other)


def operators() -> Mapping[str, list[str]]:
    """Namespace -> names of the operators that torch registers there."""
    found = defaultdict(set)
    for schema in torch._C._jit_get_all_schemas():
        space, _, name = schema.name.partition("::")
        found[space].add(name)
    return {space: sorted(names) for space, names in sorted(found.items())}


class Payload:
    """What a pickle would run."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self._path,))


def pickled(path: Path) -> bytes:
    """A pickle that makes a file when it is loaded."""
    return pickle.dumps(Payload(path))
