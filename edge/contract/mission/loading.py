"""Loads `mission.toml`: applies overrides, resolves paths, lists every mistake at once.

A path and overrides go in; a `Mission` comes out. Paths in the file resolve against its own folder,
paths from `--set` against the current folder. Never guesses a value that the file does not hold.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from edge.contract.mission.raw_values import Mistake, rows
from edge.contract.mission.schema import Mission
from edge.contract.mission.schema_errors import mistakes_of
from firmware_bridge.errors import Missing, UsageError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PATH_KEYS = (
    "model.file",
    "model.weights",
    "model.labels",
    "data.root",
    "data.lock",
    "gates.labelled",
    "data.split",
    "tracking.mlflow",
)
"""Keys that may hold a path; `model.labels` only where it is a string."""

LARGEST_FILE = 4 * 2**20
"""Largest mission or labels file, in bytes."""

_LISTED = 50
"""One message lists at most so many mistakes."""

LISTED_PATHS = {"data.also": ("root", "lock"), "data.clips": ("video", "truth")}
"""Keys that hold a list of tables, with those keys of a table that hold a path."""


class MissionInvalid(UsageError):
    """A mission file with mistakes; `mistakes` holds (dotted key, what is wrong) for each."""

    def __init__(self, path: Path, mistakes: Sequence[Mistake]) -> None:
        count = f"{len(mistakes)} mistake{'s' if len(mistakes) != 1 else ''}"
        super().__init__(
            f"{path} has {count}",
            expected="a mission as `brakepoint init` writes it, with a comment on every key",
            found="".join(f"\n    {key}: {text}" for key, text in mistakes[:_LISTED])
            + (f"\n    ... and {len(mistakes) - _LISTED} more" if mistakes[_LISTED:] else ""),
            remedy=f"correct the file, then: brakepoint mission check {path}",
        )
        self.mistakes = tuple(mistakes)


def load_mission(path: Path, overrides: Sequence[str] = ()) -> Mission:
    """The mission at `path` with `overrides` ("KEY=VALUE", as from `--set`) applied.

    Raises:
        Missing: the file, or the labels file it names, cannot be read.
        UsageError: not TOML, or an invalid override.
        MissionInvalid: mistakes, all of them at once.
    """
    if path.is_dir():
        path = path / "mission.toml"
    raw = _read(path)
    raw = _resolve_paths(raw, path.resolve().parent)
    for override in overrides:
        _apply(raw, override)
    _read_labels(raw)
    try:
        return Mission.model_validate(raw, context={"folder": path.resolve().parent})
    except ValidationError as error:
        raise MissionInvalid(path, mistakes_of(error, raw)) from error


def _read(path: Path) -> dict[str, Any]:
    try:
        text = small_text(path)
    except (OSError, ValueError) as error:
        raise Missing(
            f"cannot read the mission {path}",
            expected=f"a mission file (TOML, UTF-8, {LARGEST_FILE // 2**20} MiB at most)",
            found=getattr(error, "strerror", None) or str(error),
            remedy="correct the path, or write a first one: brakepoint init mission.toml",
        ) from error
    try:
        return tomllib.loads(text)
    # Beside its own errors tomllib raises those of Python's numbers and of nesting too deep.
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"{path} is not TOML",
            expected="TOML, as `brakepoint init` writes it",
            found=str(error),
            remedy="correct that line",
        ) from error


def small_text(path: Path) -> str:
    """The text of a small UTF-8 file, without a byte order mark.

    Raises OSError where it cannot be read, ValueError where it is too large or not text.
    """
    if path.exists() and not path.is_file():
        raise ValueError("a folder" if path.is_dir() else "a device or a pipe, no file")
    with path.open("rb") as file:
        content = file.read(LARGEST_FILE + 1)
    if len(content) > LARGEST_FILE:
        raise ValueError(f"more than {LARGEST_FILE:,} bytes")
    return content.decode("utf-8-sig").replace("\r\n", "\n")


def _apply(raw: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    parts = key.strip().split(".")
    if not separator or not all(parts):
        raise UsageError(
            f"--set {override} cannot be meant",
            expected="KEY=VALUE, for example --set model.decode.score_threshold=0.4",
            found=override,
            remedy="write the dotted key of the mission, = and a value",
        )
    try:
        value: Any = tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        value = text  # a bare word is a string, so that paths need no quotes
    section = raw
    for part in parts[:-1]:
        section = section.setdefault(part, {})
        if not isinstance(section, dict):
            raise UsageError(
                f"--set {override} cannot be meant",
                expected=f"a section at {part}",
                found=f"{part} is a value",
                remedy="see the keys with: brakepoint mission check MISSION --json",
            )
    if key.strip() in PATH_KEYS and isinstance(value, str):
        value = _resolved(value, Path.cwd())
    section[parts[-1]] = value
    if key.strip() in LISTED_PATHS:
        _resolve_listed(raw, Path.cwd())


def _resolve_paths(raw: dict[str, Any], folder: Path) -> dict[str, Any]:
    for key in PATH_KEYS:
        section_name, name = key.split(".")
        section = raw.get(section_name)
        if isinstance(section, dict) and isinstance(section.get(name), str):
            section[name] = _resolved(section[name], folder)
    _resolve_listed(raw, folder)
    return raw


def _resolve_listed(raw: dict[str, Any], folder: Path) -> None:
    """The paths in lists of tables."""
    for key, names in LISTED_PATHS.items():
        section_name, listed = key.split(".")
        section = raw.get(section_name)
        for row in rows(section.get(listed)) if isinstance(section, dict) else ():
            for name in names:
                if isinstance(row, dict) and isinstance(row.get(name), str):
                    row[name] = _resolved(row[name], folder)


def _resolved(text: str, folder: Path) -> str:
    """The path that `text` means in `folder`; unchanged where it can be none, which its reader or
    the schema says."""
    try:
        return str((folder / Path(text).expanduser()).resolve())
    except (OSError, RuntimeError, ValueError):  # no such user, a circle of links, U+0000
        return text


def _read_labels(raw: dict[str, Any]) -> None:
    model = raw.get("model")
    if not isinstance(model, dict) or not isinstance(model.get("labels"), str):
        return
    path = Path(model["labels"])
    try:
        lines = small_text(path).splitlines()
    except (OSError, ValueError) as error:
        raise Missing(
            f"cannot read the labels {path}",
            expected="a text file with one label a line",
            found=getattr(error, "strerror", None) or str(error),
            remedy='correct model.labels, or give a list: labels = ["pedestrian", "vehicle"]',
        ) from error
    model["labels"] = [line.strip() for line in lines if line.strip()]
