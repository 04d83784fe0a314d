"""Finds the kind of network in a file by its content, since the suffix .pt stands for three
different things.

Takes a path; returns a `FileKind`. Reads the first bytes and a zip's table of contents; loads
nothing.
"""

from __future__ import annotations

import zipfile
from enum import Enum
from pathlib import Path

from calibration.npz import DAMAGED_ARCHIVE
from firmware_bridge.errors import UsageError


class FileKind(Enum):
    """A kind of file that may stand in `model.file`."""

    ONNX = "an ONNX model"
    TORCHSCRIPT = "a TorchScript archive"
    EXPORTED = "a torch.export program"


LARGEST_BYTES = 2**31 - 1
"""The limit of a protobuf message, which every network becomes."""

ZIP = b"PK\x03\x04"
PICKLED = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
"""How pickles of protocol 2 to 5 begin: files of torch.save before 1.6, and Python's own."""


def kind_of(path: Path) -> FileKind:
    """The kind of an existing file. Any other file counts as ONNX, whose reader says what is wrong.

    Raises:
        UsageError: it holds weights without the network that they belong to.
    """
    with path.open("rb") as file:
        first = file.read(4)
    if first.startswith(PICKLED):
        raise _only_weights(path, "a pickle")
    if first != ZIP:
        return FileKind.ONNX
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.partition("/")[2] or name for name in archive.namelist()}
    except DAMAGED_ARCHIVE as error:
        raise UsageError(
            f"{path} is not a whole archive",
            expected="an ONNX file, a TorchScript archive or a torch.export program",
            found=f"the beginning of a zip file: {error}",
            remedy="copy it again, or save the network again",
        ) from error
    if "constants.pkl" in names:
        return FileKind.TORCHSCRIPT
    if any(name.startswith("models/") for name in names) or "archive_format" in names:
        return FileKind.EXPORTED
    if "serialized_exported_program.json" in names:
        raise UsageError(
            f"{path} is a torch.export program of an older form",
            expected="what torch.export.save writes from torch 2.8 on",
            found="serialized_exported_program.json",
            remedy="save it again with the torch version that wrote it and torch.onnx.export, or "
            "with the installed one",
        )
    raise _only_weights(path, "what torch.save writes" if "data.pkl" in names else "a zip file")


def require_size(archive: zipfile.ZipFile, path: Path) -> None:
    """Refuses an archive before it is unpacked, if it would unpack to more than LARGEST_BYTES.

    Raises:
        UsageError: it would.
    """
    size = sum(one.file_size for one in archive.infolist())
    if size > LARGEST_BYTES:
        raise UsageError(
            f"{path} is too large",
            expected="a network of at most 2 GB with its weights, as every ONNX runtime takes",
            found=f"{size / 1e9:.1f} GB when unpacked",
            remedy="give a smaller network, or weights in fewer bytes",
        )


def entries(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """An archive's entries by their path below its one folder.

    Raises:
        ValueError: a path is there twice, so that two readers could find different files.
    """
    found: dict[str, zipfile.ZipInfo] = {}
    for one in archive.infolist():
        name = one.filename.partition("/")[2]
        if name in found:
            raise ValueError(f"{one.filename} is there twice")
        found[name] = one
    return found


def _only_weights(path: Path, found: str) -> UsageError:
    return UsageError(
        f"{path} holds no network",
        expected=", ".join(kind.value for kind in FileKind),
        found=f"{found}: weights at best, or a pickled module, which would run its code",
        remedy="name the function that makes the network as model.factory and the file as "
        "model.weights; or save the network with torch.jit.save, torch.export.save or "
        "torch.onnx.export",
    )
