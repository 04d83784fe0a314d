"""Mutation testing of the code that the vehicle relies on: plants small faults and runs the tests.

docs/mutation.md has the kinds of change and the results.

    scripts/mutants                       all groups, Python and C
    scripts/mutants --only policy         one group
    scripts/mutants --limit 20 --seed 3   some of each module, drawn by a seed
    scripts/mutants --json FILE           every mutant with its fate

Exits 1 when a mutant survives that `python_equivalent.toml` or `c_equivalent.toml` does not
explain, or a line of those files fits no mutant any more.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tomllib
from rich.console import Console
from rich.progress import Progress

sys.path.insert(0, str(Path(__file__).resolve().parent))

import c_mutants
from python_mutants import Mutant, Trial, module_path, mutants_of

_PROCESSORS = len(os.sched_getaffinity(0))
EQUIVALENT = Path(__file__).resolve().with_name("python_equivalent.toml")


@dataclass(frozen=True, kw_only=True)
class Group:
    """Modules that are mutated together, and the tests that must fail for each mutant."""

    modules: tuple[str, ...]
    tests: tuple[str, ...]


GROUPS = {
    "policy": Group(
        modules=(
            "edge.runtime.policy.policy",
            "edge.runtime.policy.settings",
            "edge.runtime.policy.arbitration",
            "edge.contract.mission.frame_ages",
            "edge.runtime.policy.rule_state",
            "edge.runtime.policy.rule_matching",
            "edge.runtime.policy.fault_counter",
            "edge.runtime.policy.zones",
            "edge.runtime.policy.modes",
        ),
        tests=(
            "tests/edge/runtime/policy/test_rule_matching.py",
            "tests/edge/runtime/policy/test_release.py",
            "tests/edge/runtime/policy/test_policy.py",
            "tests/edge/runtime/policy/test_modes.py",
            "tests/edge/runtime/policy/test_policy_model.py",
        ),
    ),
    "tracking": Group(
        modules=(
            "edge.runtime.tracking.tracker",
            "edge.runtime.tracking.path",
            "edge.runtime.tracking.track",
        ),
        tests=("tests/edge/runtime/tracking/test_tracker.py",),
    ),
    "rules": Group(
        modules=("converters.quantization.rules",),
        tests=(
            "tests/converters/quantization/test_rules.py",
            "tests/converters/quantization/test_rules_bounds.py",
        ),
    ),
    "metrics": Group(
        modules=(
            "calibration.metrics.matching",
            "calibration.metrics.average_precision",
            "calibration.metrics.pixel_counts",
            "calibration.metrics.confidence_intervals",
        ),
        tests=(
            "tests/calibration/metrics/test_matching.py",
            "tests/calibration/metrics/test_average_precision.py",
            "tests/calibration/evaluation/figures/test_segmentation_figures.py",
            "tests/calibration/metrics/test_confidence_intervals.py",
        ),
    ),
    "link": Group(
        modules=(
            "firmware_bridge.link.session",
            "firmware_bridge.link.command_ledger",
            "firmware_bridge.link.sender",
            "firmware_bridge.link.traffic",
            "firmware_bridge.link.reports",
            "firmware_bridge.link.agreement",
            "firmware_bridge.protocol.frame",
        ),
        tests=(
            "tests/firmware_bridge/link/test_session.py",
            "tests/firmware_bridge/protocol/test_frame.py",
            "tests/firmware_bridge/link/test_traffic.py",
            "tests/firmware_bridge/link/test_states.py",
        ),
    ),
}

CORE = "core"
"""The group of the microcontroller's core, in C: see c_mutants.py."""

# Imported once before the forks; each mutant's process begins with them.
_PRELOADED = ("numpy", "pydantic", "pytest", "hypothesis", "cantools", "onnx", "cv2", "scipy.stats")


def main(arguments: Sequence[str] | None = None) -> int:
    """Tries mutants, prints a table of their fates; returns the exit code."""
    options = _options(arguments)
    explained = equivalents()
    unknown = sorted(set(explained) - set(identities()))
    for identity in unknown:
        print(f"{EQUIVALENT.name}: fits no mutant any more: {identity}", file=sys.stderr)
    storage = tempfile.TemporaryDirectory(prefix="brakepoint-mutants-")
    os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = storage.name  # no examples left in the checkout
    for name in _PRELOADED:
        importlib.import_module(name)
    rows = []
    for name in [options.only] if options.only else [*GROUPS, CORE]:
        if name == CORE:
            unknown += c_mutants.print_unknown()
            rows += c_mutants.try_all(limit=options.limit, seed=options.seed)
        else:
            rows += _try_group(name, explained, limit=options.limit, seed=options.seed)
    _print(rows)
    if options.json:
        Path(options.json).write_text(
            json.dumps({"schema": "brakepoint.mutants/1", "mutants": rows}, indent=1)
        )
    survived = [row for row in rows if row["fate"] == "survived"]
    return 1 if survived or unknown else 0


def equivalents() -> dict[str, str]:
    """Identity of each mutant that computes the same as the code -> the reason."""
    table = tomllib.loads(EQUIVALENT.read_text())
    return {row["mutant"]: row["why"] for row in table.get("equivalent", [])}


def identities() -> list[str]:
    """The identities of all mutants in Python."""
    modules = [module for group in GROUPS.values() for module in group.modules]
    return [mutant.identity for module in modules for mutant in mutants_of(module)]


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/mutants", description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=[*GROUPS, CORE], help="one group")
    parser.add_argument("--limit", type=int, help="so many mutants of each module, drawn by --seed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", metavar="FILE", help="every mutant with its fate")
    return parser.parse_args(arguments)


def _sample(module: str, *, limit: int | None, seed: int) -> list[Mutant]:
    mutants = mutants_of(module)
    if limit is None or limit >= len(mutants):
        return mutants
    return random.Random(f"{seed} {module}").sample(mutants, limit)


def _try_group(
    name: str, explained: dict[str, str], *, limit: int | None, seed: int
) -> list[dict[str, object]]:
    group = GROUPS[name]
    alone_s = _alone(name, group)
    limits = {"cpu_s": round(10 * alone_s) + 10, "wall_s": round(60 * alone_s) + 120}
    mutants = [m for module in group.modules for m in _sample(module, limit=limit, seed=seed)]
    fates = {m.identity: "equivalent" for m in mutants if m.identity in explained}
    waiting = [m for m in reversed(mutants) if m.identity not in explained]
    running: dict[Mutant, Trial] = {}
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task(name, total=len(mutants), completed=len(fates))
        while waiting or running:
            while waiting and len(running) < _PROCESSORS:
                mutant = waiting.pop()
                running[mutant] = Trial.start(mutant, group.tests, cpu_s=limits["cpu_s"])
            for mutant, trial in list(running.items()):
                passed = trial.passed(wall_s=limits["wall_s"])
                if passed is None:
                    continue
                del running[mutant]
                fates[mutant.identity] = "survived" if passed else "killed"
                progress.advance(task)
                if passed:
                    text = f"survived: {module_path(mutant.module)}:{mutant.line} {mutant.identity}"
                    progress.console.print(text, markup=False, soft_wrap=True)
            time.sleep(0.02)
    return [
        {
            "group": name,
            "module": m.module,
            "line": m.line,
            "mutant": m.identity,
            "fate": fates[m.identity],
        }
        for m in mutants
    ]


def _alone(name: str, group: Group) -> float:
    """Processor seconds of the group's tests without a mutant; they must pass."""
    before_s = os.times().children_user
    trial = Trial.start(None, group.tests, cpu_s=600)
    while (passed := trial.passed(wall_s=1200)) is None:
        time.sleep(0.02)
    if not passed:
        files = " ".join(group.tests)
        sys.exit(f"{name}: the tests fail without any mutant. Mend them first: pytest {files}")
    return os.times().children_user - before_s


def _print(rows: list[dict[str, object]]) -> None:
    print(f"{'module':42} {'mutants':>8} {'killed':>8} {'equivalent':>11} {'survived':>9}")
    modules = list(dict.fromkeys(str(row["module"]) for row in rows))
    for module in [*modules, "all"]:
        fates = [row["fate"] for row in rows if module in ("all", row["module"])]
        counts = [fates.count(fate) for fate in ("killed", "equivalent", "survived")]
        print(f"{module:42} {len(fates):>8} {counts[0]:>8} {counts[1]:>11} {counts[2]:>9}")


if __name__ == "__main__":
    sys.exit(main())
