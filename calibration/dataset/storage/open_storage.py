"""Opens a data set at a path or URL and lists its files.

In: a path of a folder or file, or an fsspec URL. Out: a `Storage`. Hidden files and links that
leave the folder are not listed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fsspec

from calibration.dataset.storage.file_errors import file_errors, readable_error
from calibration.dataset.storage.storage import Storage, below, is_local, protocols, suffix
from edge.contract.urls import without_secrets
from edge.perception.pictures.files import files_below, is_picture, natural_order
from firmware_bridge.errors import Missing, UsageError

OF_LABELS = (".json", ".csv", ".tsv", ".xml", ".txt")
"""Suffixes of files of labels, which need the pictures beside them."""

NOT_FOR_THREADS = frozenset({"filecache", "blockcache", "cached", "tar", "libarchive"})
"""Caches of fsspec whose table of copies is lost when several files are opened at once, and
archives that have one place to read at, whoever reads: they give the bytes of other files."""


def open_storage(given: str) -> Storage:
    """The data set at a path or an fsspec URL (file://, s3://, gs://, memory://, zip://...).

    Of a single file the root is its folder, which lists that file and, beside it, class names and
    a licence; of a file of labels the pictures too.

    Raises:
        Missing: nothing is there, it cannot be listed, or the URL needs a package.
        UsageError: an unknown kind of URL, a URL with secrets, or file names that are no text.
    """
    _require_no_secrets(given)
    _require_safe_for_threads(given)
    filesystem, root = _filesystem_at(given)
    _require_listable(given, filesystem, root)
    try:
        root, name, found = _list_files(filesystem, root)
    except file_errors() as error:
        raise _nothing_at(given, error) from error
    _require_printable(given, found)
    ordered = dict(sorted(found.items(), key=lambda item: natural_order(item[0])))
    return Storage(given, root, filesystem, ordered, is_one_file=bool(name))


def _require_no_secrets(given: str) -> None:
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


def _require_safe_for_threads(given: str) -> None:
    if broken := NOT_FOR_THREADS.intersection(_kinds(given)):
        raise UsageError(
            f"{given} cannot be read by several threads at once",
            expected="a zip archive; simplecache::URL, which keeps copies for one run; or the URL "
            "alone",
            found=", ".join(sorted(broken)),
            remedy="correct it, or copy the data set into a folder",
        )


def _filesystem_at(given: str) -> tuple[Any, str]:
    """The file system of fsspec, and the root within it."""
    try:
        filesystem, root = fsspec.core.url_to_fs(given)
        filesystem.invalidate_cache()  # it may have changed since this process listed it
    except ImportError as error:
        raise Missing(
            f"cannot open {given}",
            expected="the package that reads this kind of URL",
            found=readable_error(error),
            remedy="install it, or copy the data set into a folder",
        ) from error
    except (ValueError, TypeError) as error:  # TypeError: a kind of URL that needs further settings
        raise UsageError(
            f"cannot open {given}",
            expected="a folder, a file, or a URL such as s3://BUCKET/FOLDER",
            found=readable_error(error),
            remedy="correct it",
        ) from error
    except file_errors() as error:  # fsspec opens an archive here
        raise _nothing_at(given, error) from error
    return filesystem, root


def _require_listable(given: str, filesystem: Any, root: str) -> None:
    if "http" in protocols(filesystem) and not suffix(root):
        raise UsageError(
            f"{given} is a folder on a web server",
            expected="a bucket, or one file: an archive such as zip::https://HOST/SET.zip",
            found="a web page, which lists no files",
            remedy="put the data set into an archive or a bucket",
        )


def _list_files(filesystem: Any, root: str) -> tuple[str, str, dict[str, int]]:
    """(root, name of the one file that was given or "", file -> size in bytes)."""
    info = filesystem.info(root)
    if info["type"] != "file":
        return root, "", _files_below(filesystem, root)
    root, _, name = root.rpartition("/")
    with_pictures = suffix(name) in OF_LABELS
    if with_pictures:
        beside = _files_below(filesystem, root)
    else:
        listed = filesystem.ls(root, detail=True)
        beside = _relative(root, {item["name"]: item for item in listed})
        # A link that a person names as the data set is followed.
        beside.setdefault(name, int(info["size"] or 0))
    found = {
        path: size
        for path, size in beside.items()
        if path == name or _stands_beside(path) or (with_pictures and is_picture(path))
    }
    return root, name, found


def _require_printable(given: str, found: dict[str, int]) -> None:
    if strange := [name for name in found if not name.isprintable()]:
        raise UsageError(
            f"{given} holds {len(strange)} file names that cannot be written down",
            expected="names in UTF-8 without control characters, the same on every machine",
            found=", ".join(ascii(name) for name in sorted(strange)[:5]),
            remedy="rename these files (convmv mends names of another encoding)",
        )


def _nothing_at(given: str, error: Exception) -> Missing:
    return Missing(
        f"there is no data set at {given}",
        expected="a folder, a file, or a bucket that can be listed",
        found=readable_error(error),
        remedy="correct the path or the URL"
        + ("" if is_local(given) else ", the credentials, or the connection"),
    )


def _kinds(given: str) -> list[str]:
    """The kinds of file system in a URL, outermost first; none of a path."""
    *outer, last = given.split("::")
    return [one.split("://")[0] for one in (*outer, *([last] if "://" in last else []))]


def _stands_beside(name: str) -> bool:
    """Whether a file says something of the one file beside it: class names or a licence."""
    return name.lower() == "class_names.csv" or name.upper().startswith(("LICENSE", "LICENCE"))


def _relative(root: str, found: dict[str, Any]) -> dict[str, int]:
    start = len(below(root))
    named = {path[start:]: info for path, info in found.items() if info["type"] == "file"}
    return {
        name: int(info["size"] or 0)
        for name, info in named.items()
        if name and not any(part.startswith(".") for part in name.split("/"))
    }


def _files_below(filesystem: Any, root: str) -> dict[str, int]:
    if "file" in protocols(filesystem):
        return files_below(Path(root), deep=True)
    return _relative(root, filesystem.find(root, detail=True))
