"""Fixtures every test may ask for: the repository root and the real inputs beside it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from checkout import ROOT, TESTS
from file_budgets import Budgets, CostMeter

from edge.cli import main


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--long` runs what takes minutes: full trainings behind measured figures."""
    parser.addoption("--long", action="store_true", help="run tests that take minutes")
    parser.addoption("--costs", metavar="FILE", help="write what each test file took, as JSON")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skips long tests, counted and with a reason, unless they are asked for."""
    if not config.getoption("--long"):
        skipped = pytest.mark.skip(reason="takes minutes: --long")
        for item in items:
            if "long" in item.keywords:
                item.add_marker(skipped)


_METER = CostMeter()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Adds what each test takes to the cost of its file."""
    _METER.begin()
    try:
        return (yield)
    finally:
        _METER.end(str(item.path.relative_to(TESTS)))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """A session in which a file exceeded its budget has failed."""
    file = session.config.getoption("--costs")
    if file:
        costs = {name: asdict(cost) for name, cost in sorted(_METER.costs.items())}
        Path(file).write_text(json.dumps(costs, indent=1) + "\n")
    if session.exitstatus == pytest.ExitCode.OK and _over_budget(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Tells which files exceeded their budgets."""
    for sentence in _over_budget(config):
        terminalreporter.write_line(f"over budget: {sentence}", red=True)


def _over_budget(config: pytest.Config) -> list[str]:
    # The long tests have no budget: they run alone and when somebody waits for them.
    return [] if config.getoption("--long") else _METER.over(Budgets.read())


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
    from tiny_mission import write_mission  # needs onnx, which the device half does without

    return write_mission(tmp_path_factory.mktemp("tiny"))
