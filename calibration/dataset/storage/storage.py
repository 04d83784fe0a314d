"""The files of a data set, in a folder, a bucket or an archive, all read through fsspec.

Names are relative to the root, with "/" on every system. Never writes.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any

from calibration.dataset.storage.file_errors import file_errors, readable_error
from calibration.dataset.storage.text import head_of, text_of
from edge.perception.pictures.files import is_picture
from firmware_bridge.errors import Missing, UsageError


@dataclass(frozen=True)
class Storage:
    """A data set that was opened and listed.

    Attributes:
        location: the path or URL, for messages.
        root: the folder within `filesystem`.
        filesystem: of fsspec.
        files: name relative to the root -> size in bytes, in natural order.
        is_one_file: one file was given, not its folder.
    """

    location: str
    root: str
    filesystem: Any
    files: dict[str, int] = field(repr=False)
    is_one_file: bool = False

    @property
    def pictures(self) -> list[str]:
        """Picture files, in order."""
        return [name for name in self.files if is_picture(name)]

    def with_suffix(self, *suffixes: str) -> list[str]:
        """Files with one of these suffixes (lower case, with the dot), in order."""
        return [name for name in self.files if suffix(name) in suffixes]

    def open(self, name: str) -> IO[bytes]:
        """The file for reading. Raises Missing naming it."""
        try:
            opened: IO[bytes] = self.filesystem.open(self._full(name), "rb")
        except file_errors() as error:
            raise self._unreadable(name, error) from error
        return opened

    def read(self, name: str) -> bytes:
        """All bytes of a file. Raises Missing naming it."""
        try:
            with self.open(name) as stream:
                return stream.read()
        except file_errors() as error:
            raise self._unreadable(name, error) from error

    def blocks(self, name: str) -> Iterator[bytes]:
        """The file in blocks of 1 MiB. Raises Missing naming it."""
        try:
            with self.open(name) as stream:
                while block := stream.read(1 << 20):
                    yield block
        except file_errors() as error:
            raise self._unreadable(name, error) from error

    def head(self, name: str, size: int = 4096) -> bytes:
        """The first bytes of a file. Raises Missing naming it."""
        try:
            with self.open(name) as stream:
                return stream.read(size)
        except file_errors() as error:
            raise self._unreadable(name, error) from error

    def text(self, name: str) -> str:
        """A label file as text (UTF-8, UTF-16 or UTF-32). Raises UsageError."""
        try:
            return text_of(self.read(name))
        except UnicodeDecodeError as error:
            raise UsageError(
                f"{name} in {self.location} is not text",
                expected="a label file in UTF-8",
                found=str(error),
                remedy="save it as UTF-8",
            ) from error

    def head_text(self, name: str) -> str:
        """The first bytes of a file as text; what cannot be decoded becomes U+FFFD."""
        return head_of(self.head(name))

    @contextlib.contextmanager
    def local(self, name: str) -> Iterator[Path]:
        """A path for decoders that need one: the file itself, or a copy, deleted afterwards."""
        if "file" in protocols(self.filesystem):
            yield Path(self._full(name))
            return
        with tempfile.TemporaryDirectory(prefix="brakepoint-") as folder:
            copy = Path(folder) / PurePosixPath(name).name
            with copy.open("wb") as out:
                for block in self.blocks(name):
                    out.write(block)
            yield copy

    def _full(self, name: str) -> str:
        return below(self.root) + name

    def _unreadable(self, name: str, error: Exception) -> Missing:
        return Missing(
            f"cannot read {name} in {self.location}",
            expected="a readable file",
            found=readable_error(error),
            remedy="restore the file, or correct its permissions"
            if is_local(self.location)
            else "restore it, correct credentials or permissions, or try again when the connection "
            "holds",
        )


def is_local(given: str) -> bool:
    """Whether this is a path of this machine, not a URL."""
    return "://" not in given and "::" not in given


def suffix(name: str) -> str:
    """The suffix of a file name, lower case, with the dot."""
    return PurePosixPath(name).suffix.lower()


def below(root: str) -> str:
    """The prefix of every file under a root; "" of an archive's own root."""
    return f"{root.rstrip('/')}/" if root else ""


def protocols(filesystem: Any) -> tuple[str, ...]:
    """The names of a file system of fsspec, such as "file" or "s3"."""
    given = filesystem.protocol
    return (given,) if isinstance(given, str) else tuple(given)
