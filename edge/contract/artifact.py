"""Writes and reads files between stages: named schema, canonical JSON, digest, atomic replacement.

Every file is written beside its target, synced and renamed over it, so that a reader never finds
half of one, not even after kill -9.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from edge.contract.json_text import parse_json
from firmware_bridge.errors import Missing, NotTrusted, UsageError


def require_folder(out: Path) -> None:
    """Raises UsageError for an output folder that cannot be written, before the long work."""
    there = next(path for path in (out.absolute(), *out.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise UsageError(
            f"cannot write to {out}",
            expected="a folder, or the name of a new one",
            found=f"{there} is {'not writable' if there.is_dir() else 'a file'}",
            remedy="choose another folder: --out DIR",
        )


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`; on success it is synced and renamed over `path`.

    On any exception the temporary file is removed and `path` stays as it was. The temporary name
    keeps the suffix, since encoders choose their format by it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{path.suffix}")
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync(path.parent)


@contextlib.contextmanager
def replacing_folder(folder: Path, *, require: Callable[[Path], None]) -> Iterator[Path]:
    """A staging folder beside `folder`, renamed to it on success and removed on failure.

    `require` raises where `folder` must not be replaced; it is called before and after the work.
    """
    folder = folder.absolute()
    require(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    mark = secrets.token_hex(4)
    staging = folder.with_name(f".{folder.name}.{mark}")
    former = folder.with_name(f".{folder.name}.{mark}.former")
    staging.mkdir()
    try:
        yield staging
        for path in (staging, *staging.rglob("*")):
            _sync(path)
        require(folder)
        if folder.exists():
            folder.rename(former)
        staging.rename(folder)
        _sync(folder.parent)
    except BaseException:
        if former.exists() and not folder.exists():
            former.rename(folder)
        raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        shutil.rmtree(former, ignore_errors=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_atomic(path: Path, data: bytes) -> str:
    """Replace `path` with `data` and return the data's sha256 as hex."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def canonical_json(payload: object) -> bytes:
    """The one byte form of a JSON value: sorted keys, no spaces, no NaN."""
    text = json.dumps(payload, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode()


def digest_json(payload: object) -> str:
    """sha256 of the canonical form, as hex."""
    return hashlib.sha256(canonical_json(payload)).hexdigest()


def digest_file(path: Path) -> str:
    """sha256 of a file's bytes, as hex. Raises Missing when it cannot be read."""
    sha = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                sha.update(block)
    except OSError as error:
        raise Missing(
            f"cannot read {path}",
            expected="a readable file",
            found=error.strerror or str(error),
            remedy="check the path and its permissions",
        ) from error
    return sha.hexdigest()


def write_json(path: Path, schema: str, payload: dict[str, Any]) -> str:
    """Write `payload` with its `schema` name and version, readable; returns the file's sha256."""
    return write_atomic(path, json_file(schema, payload))


def json_file(schema: str, payload: Mapping[str, Any]) -> bytes:
    """The bytes of such a file: the schema first, keys in their order."""
    text = json.dumps({"schema": schema, **payload}, indent=1, allow_nan=False)
    return (text + "\n").encode()


def read_json(path: Path, schema: str) -> dict[str, Any]:
    """Read a JSON artifact of the schema `schema`.

    Raises:
        Missing: no such file.
        NotTrusted: not JSON, or another schema or version.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise Missing(
            f"cannot read {path}",
            expected=f"a file of schema {schema}",
            found=error.strerror or str(error),
            remedy="run the stage that writes it, or correct the path",
        ) from error
    try:
        document = parse_json(raw)
    except ValueError as error:
        raise NotTrusted(
            f"{path} is not valid JSON",
            expected=f"a file of schema {schema}",
            found=str(error),
            remedy="write it again with the stage that makes it",
        ) from error
    found = document.get("schema") if isinstance(document, dict) else type(document).__name__
    if found != schema:
        raise NotTrusted(
            f"{path} has another schema",
            expected=schema,
            found=str(found),
            remedy="write it again with this version of brakepoint",
        )
    assert isinstance(document, dict)
    return document
