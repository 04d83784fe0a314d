"""A conversion of the tiny mission, for the tests of `run` with engines."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.cli import main


@pytest.fixture(scope="package")
def converted(tiny_mission: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `convert` wrote; tests that write into it copy it first."""
    out = tmp_path_factory.mktemp("conversion") / "out"
    with pytest.raises(SystemExit) as ended:
        main(["convert", str(tiny_mission), "--out", str(out)])
    assert not ended.value.code
    return out
