"""Mutation testing of the microcontroller's core: small faults in its C, run against the tests.

    scripts/mutants --only core                      all of core/{safety,mcu,frame}.c
    scripts/mutants --only core --limit 20 --seed 3  some of each file, drawn by a seed
    scripts/mutants --only core --json FILE          every mutant with its fate

A mutant is killed when the core built with it differs from the model of docs/link.md on random
lives, fails a case of tests/firmware_bridge/samples/core_cases*.py, or trips ASan or UBSan. Exits 1
when a mutant survives that `c_equivalent.toml` does not explain, or a line of that file fits no
mutant any more.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import tomllib
from rich.console import Console
from rich.progress import Progress

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "firmware_bridge" / "samples")]

from c_changes import Change, changes  # noqa: E402
from core_fuzz import Life, disagreement, life  # noqa: E402 the path comes first
from core_registry import all_cases  # noqa: E402
from mcu_probe import Mcu, Probe  # noqa: E402

from firmware_bridge.emulation.build import FIRMWARE  # noqa: E402

FILES = ("safety.c", "mcu.c", "frame.c")
EQUIVALENT = Path(__file__).resolve().with_name("c_equivalent.toml")
_FLAGS = (
    *("-std=c11", "-O0", "-w"),
    *(f"-I{FIRMWARE / part}" for part in ("core", "vehicle", "generated")),
)
_SANITIZED = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
_OTHERS = ("generated/brakepoint.c", "vehicle/vehicle.c", "hal_probe/main.c")
_FEW_LIVES, _MANY_LIVES = range(12), range(12, 300)
_LOOPS_FOREVER_S = 60.0


@dataclass(frozen=True)
class Mutant:
    """One change of one file of the core."""

    file: str
    change: Change

    @property
    def identity(self) -> str:
        """Its name; it does not depend on the lines above."""
        return f"core/{self.file}:{self.change.identity}"

    @property
    def source(self) -> str:
        """The whole changed file."""
        return self.change.applied((FIRMWARE / "core" / self.file).read_text())


def mutants() -> list[Mutant]:
    """All mutants of the core."""
    return [
        Mutant(file, change)
        for file in FILES
        for change in changes((FIRMWARE / "core" / file).read_text())
    ]


def equivalents() -> dict[str, str]:
    """Identity of each mutant that computes the same as the code -> the reason."""
    table = tomllib.loads(EQUIVALENT.read_text())
    return {row["mutant"]: row["why"] for row in table.get("equivalent", [])}


class Bench:
    """Compiles mutants with the rest of the firmware and tests them; writes in `folder` only."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._few: list[Life] = [life(seed) for seed in _FEW_LIVES]
        self._many: list[Life] = []
        self._lock = threading.Lock()
        for source in (*(f"core/{name}" for name in FILES), *_OTHERS):
            for sanitized in (False, True):
                target = self._object(source, sanitized=sanitized)
                if not self._compile("-c", FIRMWARE / source, "-o", target, sanitized=sanitized):
                    sys.exit(f"{source} does not compile without any mutant")
        program = self._built(FIRMWARE / "core" / "safety.c", folder, sanitized=True)
        if program is None or self._fails_quick_tests(program):
            sys.exit("the core's own tests fail without any mutant; mend them first")

    def fate(self, mutant: Mutant) -> str:
        """`killed`, `survived`, or `invalid` where it does not compile."""
        with tempfile.TemporaryDirectory(dir=self._folder) as place:
            source = Path(place) / mutant.file
            source.write_text(mutant.source)
            program = self._built(source, Path(place), sanitized=False)
            if program is None:
                return "invalid"
            if self._fails_quick_tests(program):
                return "killed"
            # Sanitizers are slow: only mutants that passed so far run with them.
            program = self._built(source, Path(place), sanitized=True)
            assert program is not None
            killed = self._fails_quick_tests(program) or self._differs(program, self._many_lives())
            return "killed" if killed else "survived"

    def _object(self, source: str, *, sanitized: bool) -> Path:
        return self._folder / f"{Path(source).stem}-{Path(source).parent}-{sanitized:d}.o"

    def _built(self, source: Path, place: Path, *, sanitized: bool) -> Path | None:
        """The probe with that source in place of the core's file of the same name."""
        rest = [f"core/{name}" for name in FILES if name != source.name]
        objects = [self._object(other, sanitized=sanitized) for other in (*rest, *_OTHERS)]
        program = place / f"probe-{sanitized:d}"
        built = self._compile(source, *objects, "-o", program, sanitized=sanitized)
        return program if built else None

    def _compile(self, *arguments: str | Path, sanitized: bool) -> bool:
        flags = (*_FLAGS, *(_SANITIZED if sanitized else ()))
        command = ["cc", *flags, *map(str, arguments)]
        done = subprocess.run(command, check=False, capture_output=True, timeout=300)
        return done.returncode == 0

    def _fails_quick_tests(self, program: Path) -> bool:
        return self._differs(program, self._few) or any(
            not _passes(program, name) for name in all_cases()
        )

    def _many_lives(self) -> list[Life]:
        with self._lock:
            if not self._many:
                self._many = [life(seed) for seed in _MANY_LIVES]
            return self._many

    def _differs(self, program: Path, lives: list[Life]) -> bool:
        try:
            return disagreement(program, lives, timeout_s=_LOOPS_FOREVER_S) is not None
        except subprocess.TimeoutExpired:
            return True


def _passes(program: Path, name: str) -> bool:
    try:
        with Probe(program) as probe:
            all_cases()[name](Mcu(probe))
    except (AssertionError, ValueError):
        return False
    return True


def try_all(*, limit: int | None, seed: int) -> list[dict[str, object]]:
    """Tries the mutants; returns a row for each that compiles, with its fate."""
    explained = equivalents()
    chosen = list(_sample(limit=limit, seed=seed))
    with tempfile.TemporaryDirectory(prefix="brakepoint-mutants-c-") as folder:
        bench = Bench(Path(folder))

        def row(mutant: Mutant) -> dict[str, object]:
            known = mutant.identity in explained
            fate = "equivalent" if known else bench.fate(mutant)
            if fate == "survived":
                where = f"core/{mutant.file}:{mutant.change.line}"
                print(f"survived: {where} {mutant.identity}", flush=True)
            progress.advance(task)
            return {
                "group": "core",
                "module": f"core/{mutant.file}",
                "line": mutant.change.line,
                "mutant": mutant.identity,
                "fate": fate,
            }

        pool = ThreadPoolExecutor(len(os.sched_getaffinity(0)))
        with Progress(console=Console(stderr=True)) as progress, pool:
            task = progress.add_task("core", total=len(chosen))
            rows = list(pool.map(row, chosen))
    return [row for row in rows if row["fate"] != "invalid"]


def _sample(*, limit: int | None, seed: int) -> Iterator[Mutant]:
    for file in FILES:
        of_file = [mutant for mutant in mutants() if mutant.file == file]
        if limit is not None and limit < len(of_file):
            of_file = random.Random(f"{seed} {file}").sample(of_file, limit)
        yield from of_file


def print_unknown() -> list[str]:
    """Prints unknown_equivalents() on stderr and returns them."""
    unknown = unknown_equivalents()
    for identity in unknown:
        print(f"{EQUIVALENT.name}: fits no mutant any more: {identity}", file=sys.stderr)
    return unknown


def unknown_equivalents() -> list[str]:
    """Lines of the list that fit no mutant any more."""
    return sorted(set(equivalents()) - {mutant.identity for mutant in mutants()})


def main(argv: Sequence[str] | None = None) -> int:
    """Tries mutants, prints a table of their fates; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--limit", type=int, help="so many of each file, drawn by --seed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", metavar="FILE", type=Path, help="every mutant with its fate")
    options = parser.parse_args(argv)
    unknown = print_unknown()
    rows = try_all(limit=options.limit, seed=options.seed)
    print(f"{'file':20} {'mutants':>8} {'killed':>8} {'equivalent':>11} {'survived':>9}")
    for module in (*(f"core/{file}" for file in FILES), "all"):
        fates = [row["fate"] for row in rows if module in ("all", row["module"])]
        counts = [fates.count(fate) for fate in ("killed", "equivalent", "survived")]
        print(f"{module:20} {len(fates):>8} {counts[0]:>8} {counts[1]:>11} {counts[2]:>9}")
    if options.json:
        document = {"schema": "brakepoint.mutants/1", "mutants": rows}
        options.json.write_text(json.dumps(document, indent=1))
    survived = [row for row in rows if row["fate"] == "survived"]
    return 1 if survived or unknown else 0


if __name__ == "__main__":
    sys.exit(main())
