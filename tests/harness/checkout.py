"""Paths of the files of this checkout."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"
HARNESS = TESTS / "harness"


def samples(package: str) -> Path:
    """The folder with the modules that tests of a package share, for child processes."""
    return TESTS / package / "samples"
