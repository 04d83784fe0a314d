"""What each test file may cost, so that the suite stays inside its limit on a busy machine too.

`budgets.toml` states for each file the seconds that it takes on an idle machine with two cores. How
long a file takes on a busy machine says nothing; how much processor time it takes does, nearly. A
session in which a file takes more processor time than `Budgets.cpu_limit_s` allows it fails.
"""

from __future__ import annotations

import os
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:  # the conformance tests run with JetPack 6's Python
    import tomli as tomllib

BUDGETS = Path(__file__).with_name("budgets.toml")
SUITE_S = 1200  # the whole suite, on two idle cores
# Two cores may work at once, and a core shared with strangers does less in a second.
CPU_FACTOR = 3.0
# Whoever runs first pays for imports, and for fixtures that others use too.
FIRST_S = 30.0


@dataclass(frozen=True)
class Budgets:
    """Seconds a file may take on an idle machine with two cores.

    Attributes:
        default_s: for files that are not named.
        named_s: by path under `tests/`.
    """

    default_s: float
    named_s: dict[str, float]

    @staticmethod
    def read(path: Path = BUDGETS) -> Budgets:
        """The budgets of this suite."""
        table = tomllib.loads(path.read_text())
        return Budgets(
            float(table["default_s"]), {k: float(v) for k, v in table["seconds"].items()}
        )

    def of(self, file: str) -> float:
        """Seconds of one file, by its path under `tests/`."""
        return self.named_s.get(file, self.default_s)

    def cpu_limit_s(self, file: str) -> float:
        """Processor time from which on a file fails the session, in seconds."""
        return CPU_FACTOR * self.of(file) + FIRST_S


@dataclass
class Cost:
    """What a file has taken: processor time with that of ended children, and time that passed."""

    cpu_s: float = 0.0
    wall_s: float = 0.0


class CostMeter:
    """Adds up what each test file takes, from one test's begin to its end."""

    def __init__(self) -> None:
        self.costs: dict[str, Cost] = defaultdict(Cost)
        self._began = _now()

    def begin(self) -> None:
        """A test begins."""
        self._began = _now()

    def end(self, file: str) -> None:
        """The test that began last has ended; it is of that file."""
        cpu_s, wall_s = _now()
        self.costs[file].cpu_s += cpu_s - self._began[0]
        self.costs[file].wall_s += wall_s - self._began[1]

    def over(self, budgets: Budgets) -> list[str]:
        """A sentence for each file that took too much."""
        return [
            f"{file} took {cost.cpu_s:.0f} s of processor time; with {budgets.of(file):g} s in"
            f" tests/harness/budgets.toml it may take {budgets.cpu_limit_s(file):g} s: make it"
            " cheaper, or raise its line and lower another"
            for file, cost in sorted(self.costs.items())
            if cost.cpu_s > budgets.cpu_limit_s(file)
        ]


def _now() -> tuple[float, float]:
    times = os.times()
    return (
        times.user + times.system + times.children_user + times.children_system,
        time.monotonic(),
    )
