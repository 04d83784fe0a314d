"""Fixtures every test may ask for: the repository root and the real inputs beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--long` runs what takes minutes: full trainings behind measured figures."""
    parser.addoption("--long", action="store_true", help="run tests that take minutes")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skips long tests, counted and with a reason, unless they are asked for."""
    if not config.getoption("--long"):
        skipped = pytest.mark.skip(reason="takes minutes: --long")
        for item in items:
            if "long" in item.keywords:
                item.add_marker(skipped)


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository root."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real road scenes, a clip and two detectors; skips where a checkout does not have them."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"real inputs are not here: no folder {folder}")
    return folder
