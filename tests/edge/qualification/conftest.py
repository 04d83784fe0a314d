"""A conversion that `bench` and `qualify` may run."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.cli import main


@pytest.fixture(scope="package")
def converted(tiny_mission: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a conversion whose gates hold; not to be changed."""
    out = tmp_path_factory.mktemp("qualification") / "converted"
    with pytest.raises(SystemExit) as ended:
        main(["convert", str(tiny_mission), "--out", str(out)])
    assert not ended.value.code
    return out
