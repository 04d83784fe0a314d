"""Where a data set lies: a folder, one file, or a bucket, all read alike through fsspec.

Reads only. Never follows hidden files nor links that leave a folder, and never writes.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any

import fsspec

from calibration.dataset.text import head_of, text_of
from edge.contract.urls import text_without_secrets, without_secrets
from edge.perception.pictures.files import files_below, is_picture, natural_order
from firmware_bridge.errors import Missing, UsageError

OF_LABELS = (".json", ".csv", ".tsv", ".xml", ".txt")


@dataclass(frozen=True)
class Storage:
    """The root of a data set; `files` are relative to it, in natural order, with their sizes in
    bytes.

    `is_one_file` tells that one file was given, not its folder.
    """

    given: str
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
        except faults() as error:
            raise self._unreadable(name, error) from error
        return opened

    def read(self, name: str) -> bytes:
        """All bytes of a file. Raises Missing naming it."""
        try:
            with self.open(name) as stream:
                return stream.read()
        except faults() as error:
            raise self._unreadable(name, error) from error

    def blocks(self, name: str) -> Iterator[bytes]:
        """The file piece by piece, however large. Raises Missing naming it."""
        try:
            with self.open(name) as stream:
                while block := stream.read(1 << 20):
                    yield block
        except faults() as error:
            raise self._unreadable(name, error) from error

    def head(self, name: str, size: int = 4096) -> bytes:
        """The first bytes of a file."""
        try:
            with self.open(name) as stream:
                return stream.read(size)
        except faults() as error:
            raise self._unreadable(name, error) from error

    def text(self, name: str) -> str:
        """A label file as text (UTF-8, UTF-16 or UTF-32). Raises UsageError."""
        try:
            return text_of(self.read(name))
        except UnicodeDecodeError as error:
            raise UsageError(
                f"{name} in {self.given} is not text",
                expected="a label file in UTF-8",
                found=str(error),
                remedy="save it as UTF-8",
            ) from error

    def head_text(self, name: str) -> str:
        """How a file begins, as text; what is no text shows as such."""
        return head_of(self.head(name))

    @contextlib.contextmanager
    def local(self, name: str) -> Iterator[Path]:
        """A path for decoders that want one: the file itself, or a copy that is gone afterwards."""
        if "file" in _protocols(self.filesystem):
            yield Path(self._full(name))
            return
        with tempfile.TemporaryDirectory(prefix="brakepoint-") as folder:
            copy = Path(folder) / PurePosixPath(name).name
            with copy.open("wb") as out:
                for block in self.blocks(name):
                    out.write(block)
            yield copy

    def _full(self, name: str) -> str:
        return _below(self.root) + name

    def _unreadable(self, name: str, error: Exception) -> Missing:
        return Missing(
            f"cannot read {name} in {self.given}",
            expected="a readable file",
            found=readable_error(error),
            remedy="restore the file, or correct its permissions"
            if is_local(self.given)
            else "restore it, correct credentials or permissions, or try again when the connection "
            "holds",
        )


def open_storage(given: str) -> Storage:
    """The data set at a path or an fsspec URL (file://, s3://, gs://, memory://, zip://...).

    Of a single file the place is its folder, holding that file and, beside it, class names and a
    licence; of a file of labels the pictures too.

    Raises:
        Missing: nothing is there, it cannot be listed, or the URL needs a package.
        UsageError: an unknown kind of URL, or file names that are no text.
    """
    shown = without_secrets(given)
    if shown != given:
        raise UsageError(
            "a user, a password, a token or a signature does not belong into a URL: locks and "
            "reports repeat it",
            expected="scheme, host and path alone; credentials where the package looks for them",
            found=f"more than {shown}",
            remedy="give it by the package's own settings, such as AWS_SECRET_ACCESS_KEY or "
            "~/.config/fsspec; or copy the data set into a folder",
        )
    if broken := NOT_FOR_THREADS.intersection(_kinds(given)):
        raise UsageError(
            f"{given} cannot be read by several threads at once",
            expected="a zip archive; simplecache::URL, which keeps copies for one run; or the URL "
            "alone",
            found=", ".join(sorted(broken)),
            remedy="correct it, or copy the data set into a folder",
        )
    try:
        filesystem, root = fsspec.core.url_to_fs(given)
        filesystem.invalidate_cache()  # this process may have listed it before it was changed
    except ImportError as error:
        raise Missing(
            f"cannot open {given}",
            expected="the package that reads this kind of URL",
            found=readable_error(error),
            remedy="install it, or copy the data set into a folder",
        ) from error
    except (ValueError, TypeError) as error:  # the latter of a kind that wants further settings
        raise UsageError(
            f"cannot open {given}",
            expected="a folder, a file, or a URL such as s3://BUCKET/FOLDER",
            found=readable_error(error),
            remedy="correct it",
        ) from error
    except faults() as error:  # an archive is opened at once
        raise _nothing_at(given, error) from error
    if "http" in _protocols(filesystem) and not suffix(root):
        raise UsageError(
            f"{given} is a folder on a web server",
            expected="a bucket, or one file: an archive such as zip::https://HOST/SET.zip",
            found="a web page, which lists no files",
            remedy="put the data set into an archive or a bucket",
        )
    name = ""
    try:
        info = filesystem.info(root)
        if info["type"] == "file":
            root, _, name = root.rpartition("/")
            if suffix(name) in OF_LABELS:
                beside = _files_below(filesystem, root)
            else:
                listed = filesystem.ls(root, detail=True)
                beside = _relative(root, {item["name"]: item for item in listed})
                # A link that is itself the data set was named by a person: it is followed.
                beside.setdefault(name, int(info["size"] or 0))
            found = {
                path: size
                for path, size in beside.items()
                if path == name
                or _stands_beside(path)
                or (suffix(name) in OF_LABELS and is_picture(path))
            }
        else:
            found = _files_below(filesystem, root)
    except faults() as error:
        raise _nothing_at(given, error) from error
    if strange := [name for name in found if not name.isprintable()]:
        raise UsageError(
            f"{given} holds {len(strange)} file names that cannot be written down",
            expected="names in UTF-8 without control characters, the same on every machine",
            found=", ".join(ascii(name) for name in sorted(strange)[:5]),
            remedy="rename these files (convmv mends names of another encoding)",
        )
    ordered = dict(sorted(found.items(), key=lambda item: natural_order(item[0])))
    return Storage(given, root, filesystem, ordered, bool(name))


NOT_FOR_THREADS = frozenset({"filecache", "blockcache", "cached", "tar", "libarchive"})
"""Caches of fsspec whose table of copies is lost when several files are opened at once, and
archives that have one place to read at, whoever reads: they give the bytes of other files."""

REMOTE = (
    ("botocore.exceptions", "BotoCoreError"),
    ("botocore.exceptions", "ClientError"),
    ("aiohttp", "ClientError"),
    ("zipfile", "BadZipFile"),
    ("zlib", "error"),
    ("builtins", "EOFError"),
    ("builtins", "RuntimeError"),
    ("fsspec.exceptions", "FSTimeoutError"),
    ("paramiko", "SSHException"),
    ("google.auth.exceptions", "GoogleAuthError"),
    ("azure.core.exceptions", "AzureError"),
)
"""What fsspec's packages raise beside OSError where a server, a connection or credentials fail, or
an archive is damaged, locked by a password or packed in a way that Python does not know."""


def _nothing_at(given: str, error: Exception) -> Missing:
    return Missing(
        f"there is no data set at {given}",
        expected="a folder, a file, or a bucket that can be listed",
        found=readable_error(error),
        remedy="correct the path or the URL"
        + ("" if is_local(given) else ", the credentials, or the connection"),
    )


def faults() -> tuple[type[Exception], ...]:
    """The errors of REMOTE that can occur, of packages that are loaded, and OSError."""
    loaded = ((sys.modules.get(module), name) for module, name in REMOTE)
    return (OSError, *(getattr(module, name) for module, name in loaded if module is not None))


def readable_error(error: Exception) -> str:
    """What went wrong, in one line. URLs that servers lead to may be signed."""
    text = getattr(error, "strerror", None) or str(error).strip() or type(error).__name__
    text = text_without_secrets(str(text))
    line = " ".join(text.splitlines()[0].split())[:300]
    # Buckets name what is not there and nothing else.
    if isinstance(error, FileNotFoundError) and " " not in line:
        return f"nothing by the name of {line}"
    return line


def is_local(given: str) -> bool:
    """Whether it names a path of this machine, and no URL."""
    return "://" not in given and "::" not in given


def _kinds(given: str) -> list[str]:
    """The kinds of file system that a URL names, outermost first; none of a path."""
    *outer, last = given.split("::")
    return [one.split("://")[0] for one in (*outer, *([last] if "://" in last else []))]


def suffix(name: str) -> str:
    """The suffix of a file name, lower case, with the dot."""
    return PurePosixPath(name).suffix.lower()


def _stands_beside(name: str) -> bool:
    return name.lower() == "class_names.csv" or name.upper().startswith(("LICENSE", "LICENCE"))


def _below(root: str) -> str:
    """What stands before the names of files under a root; an archive's own root is ""."""
    return f"{root.rstrip('/')}/" if root else ""


def _relative(root: str, found: dict[str, Any]) -> dict[str, int]:
    start = len(_below(root))
    named = {path[start:]: info for path, info in found.items() if info["type"] == "file"}
    return {
        name: int(info["size"] or 0)
        for name, info in named.items()
        if name and not any(part.startswith(".") for part in name.split("/"))
    }


def _files_below(filesystem: Any, root: str) -> dict[str, int]:
    if "file" in _protocols(filesystem):
        return files_below(Path(root), deep=True)
    return _relative(root, filesystem.find(root, detail=True))


def _protocols(filesystem: Any) -> tuple[str, ...]:
    given = filesystem.protocol
    return (given,) if isinstance(given, str) else tuple(given)
