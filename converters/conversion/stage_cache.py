"""The cache of stage results: one file for each result, named by the key of its inputs.

The first line of a file holds the sha256 of the rest; a damaged file, or one of another format, is
reported and made again. The folder is locked while it is open, so that no two conversions write to
it. Never runs code that a file brings.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

from edge.contract.artifact import write_atomic
from edge.contract.json_text import parse_json
from firmware_bridge.errors import UsageError

SCHEMA = "brakepoint.stage/1"

KEPT_BYTES = 512 << 20
"""Most bytes of results that the last run did not use; the longest unused are removed first."""

LOCK = "lock"

NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP)
"""Errors of file systems without locks, such as some network shares."""

Note = Callable[[str], None]
"""Called with one line for a person."""


@dataclass(frozen=True)
class Result:
    """What one stage made.

    Attributes:
        facts: plain values.
        files: by name, their bytes.
        seconds, peak_memory_mb: what it took when it was made.
    """

    facts: Any
    files: Mapping[str, bytes]
    seconds: float
    peak_memory_mb: float

    @property
    def digest(self) -> str:
        """sha256 of facts and files, as hex; the same whenever it was made, however long it took.

        NaN and infinity are written as Python writes them: they are facts too.
        """
        named = {name: sha256(data).hexdigest() for name, data in self.files.items()}
        return sha256(json.dumps([self.facts, named], sort_keys=True).encode()).hexdigest()


class StageCache:
    """Stage results in one folder. Opened by `open_cache`."""

    def __init__(self, folder: Path, *, fresh: bool, note: Note) -> None:
        self._folder = folder
        self._fresh = fresh
        self._note = note
        self._used: set[Path] = set()

    def get(self, stage: str, key: str) -> Result | None:
        """The stored result, if it is there and whole."""
        path = self._path(stage, key)
        self._used.add(path)
        if self._fresh or not path.exists():
            return None
        try:
            result = _unpacked(path.read_bytes(), key)
        except (OSError, ValueError, KeyError, TypeError) as error:
            self.distrust(stage, str(error))
            return None
        os.utime(path)
        return result

    def distrust(self, stage: str, why: str) -> None:
        """Reports a cached result that is not used."""
        self._note(f"{stage}: the stored result is damaged ({why}); it is made anew")

    def put(self, stage: str, key: str, result: Result) -> None:
        """Writes a result atomically and removes the state of its unfinished work."""
        write_atomic(self._path(stage, key), _packed(key, result))
        shutil.rmtree(self.begun(stage, key), ignore_errors=True)

    def begun(self, stage: str, key: str) -> Path:
        """The folder for the state of a running stage, from which interrupted work continues.

        It may not exist yet; the stage checks what it reads from it.
        """
        path = self._path(stage, key)
        path = path.with_name(f"{path.name}.begun")
        self._used.add(path)
        return path

    def clear(self, stage: str, key: str) -> None:
        """Removes the state of unfinished work, where the cache is opened `fresh`."""
        if self._fresh:
            shutil.rmtree(self.begun(stage, key), ignore_errors=True)

    def prune(self, kept_bytes: int = KEPT_BYTES) -> None:
        """Removes results that this run did not use, the longest unused first, until the rest takes
        at most `kept_bytes`."""
        kept = {*self._used, self._folder / LOCK}
        others = [path for path in self._folder.iterdir() if path not in kept]
        for path in sorted(others, key=lambda path: path.stat().st_mtime, reverse=True):
            kept_bytes -= _size(path)
            if kept_bytes < 0:
                _remove(path)

    def _path(self, stage: str, key: str) -> Path:
        return self._folder / f"{stage}-{key[:32]}"


@contextlib.contextmanager
def open_cache(folder: Path, *, fresh: bool, note: Note) -> Iterator[StageCache]:
    """The cache in `folder`, locked for this process; `fresh` ignores results of former runs. An
    empty folder is removed at the end.

    Raises:
        UsageError: another process works in it.
    """
    new = not folder.parent.exists()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("w") as lock:
        _lock(lock, folder, note)
        try:
            for left in folder.glob(".*"):  # what a killed run was about to rename
                _remove(left)
            yield StageCache(folder, fresh=fresh, note=note)
        finally:
            if [path.name for path in folder.iterdir()] == [LOCK]:
                (folder / LOCK).unlink()
                folder.rmdir()
                with contextlib.suppress(OSError):  # not empty
                    if new:
                        folder.parent.rmdir()


def _lock(lock: IO[str], folder: Path, note: Note) -> None:
    """Ends with the process, however it ends."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UsageError(
            f"another conversion is at work in {folder.parent}",
            expected="one conversion at a time in a folder",
            found=f"{folder / LOCK} is held",
            remedy="wait for it, or choose another folder: --out DIR",
        ) from error
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        note(f"{folder} cannot be locked ({error.strerror}): start no second conversion into it")


def _packed(key: str, result: Result) -> bytes:
    head = {
        "key": key,
        "facts": result.facts,
        "files": {name: len(data) for name, data in result.files.items()},
        "seconds": result.seconds,
        "peak_memory_mb": result.peak_memory_mb,
    }
    body = b"".join([json.dumps(head).encode(), b"\n", *result.files.values()])
    return f"{SCHEMA} {sha256(body).hexdigest()}\n".encode() + body


def _unpacked(data: bytes, key: str) -> Result:
    """The result in a file. Raises ValueError, KeyError or TypeError where it is none."""
    first, _, body = data.partition(b"\n")
    if first != f"{SCHEMA} {sha256(body).hexdigest()}".encode():
        told = first.split(b" ")[0][:40].decode(errors="replace")
        raise ValueError("its digest is another" if told == SCHEMA else f"schema {told!r}")
    line, _, rest = body.partition(b"\n")
    head = parse_json(line)
    if head["key"] != key:
        raise ValueError("it is another stage's")
    files: dict[str, bytes] = {}
    for name, size in head["files"].items():
        files[name], rest = rest[:size], rest[size:]
    return Result(head["facts"], files, head["seconds"], head["peak_memory_mb"])


def _size(path: Path) -> int:
    parts = path.iterdir() if path.is_dir() else [path]
    return sum(part.stat().st_size for part in parts)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
