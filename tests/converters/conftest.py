"""Fixtures of the conversion tests: the command line in this process, and a tiny mission."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_mission import write_mission

from edge.cli import main


@pytest.fixture
def brakepoint(capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """The command line: arguments to (exit code, stdout, stderr). A traceback fails the test."""

    def call(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return int(ended.value.code or 0), out, err

    return call


@pytest.fixture(scope="session")
def tiny_mission(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The mission file of a detector that converts in a tenth of a second; not to be changed."""
    return write_mission(tmp_path_factory.mktemp("tiny"))
