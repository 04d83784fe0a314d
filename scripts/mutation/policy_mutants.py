"""Seeded faults of policies and of the code that decides: `policy check` must find every one.

    policy_mutants.py               every fault of policy_faults.toml
    policy_mutants.py --only SAFE   those with SAFE in their name
    policy_mutants.py --modules     every mutant of the policy's modules
    policy_mutants.py --json FILE   every fault with what found it

A fault is found when a proof of `policy check` ends with a broken property. Each is tried in a
process of its own, which imports the changed module in place of the file, builds the changed core,
or loads the changed mission: the checkout is never written. Exits 1 where a fault is not found that
`python_equivalent.toml` does not explain.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import tomllib

sys.path.insert(0, str(Path(__file__).resolve().parent))

import mutants as module_mutants
from python_mutants import ROOT, Changed, Mutant, mutants_of

FAULTS = Path(__file__).resolve().with_name("policy_faults.toml")
RULES = Path(__file__).resolve().with_name("policy_rules.toml")
MISSION = ROOT / "examples" / "roadnet" / "mission.toml"
FIRMWARE = ROOT / "firmware_bridge" / "firmware"
MODULES = (
    "edge.runtime.policy.policy",
    "edge.runtime.policy.rule_state",
    "edge.runtime.policy.fault_counter",
    "edge.runtime.policy.arbitration",
    "edge.runtime.policy.modes",
    "edge.runtime.policy.settings",
    "edge.contract.mission.frame_ages",
)
_CPU_S = 300
_WALK_TURNS = 2000


@dataclass(frozen=True)
class Fault:
    """One seeded fault: in a file's text, or a mutant of a module."""

    name: str
    file: str
    find: str = ""
    put: str = ""
    mutant: Mutant | None = None

    def applied(self, text: str) -> str:
        """The text with the fault.

        Raises:
            ValueError: it does not fit the text any more.
        """
        if text.count(self.find) != 1:
            raise ValueError(f"{self.name}: stands {text.count(self.find)} times in {self.file}")
        return text.replace(self.find, self.put)


def seeded() -> list[Fault]:
    """The faults of the list."""
    rows = tomllib.loads(FAULTS.read_text())["fault"]
    return [Fault(row["name"], row["file"], row["find"], row["put"]) for row in rows]


def of_modules(*, limit: int | None, seed: int) -> Iterator[Fault]:
    """Mutants of the policy's modules that are not known to compute the same."""
    equivalent = module_mutants.equivalents()
    for module in MODULES:
        found = [one for one in mutants_of(module) if one.identity not in equivalent]
        if limit is not None and limit < len(found):
            found = random.Random(f"{seed} {module}").sample(found, limit)
        for one in found:
            yield Fault(one.identity, module, mutant=one)


def mission_text() -> str:
    """The mission on which faults are seeded: RoadNet's, with the rules of RULES."""
    text = MISSION.read_text()
    before, _, rest = text.partition("[[policy.rules]]")
    return before + RULES.read_text() + rest[rest.index("[policy.fallbacks]") :]


def found_by(fault: Fault | None) -> str | None:
    """The property that a proof finds broken with this fault, and how; None: it finds nothing.

    Runs in a forked process: the caller must have imported none of edge's modules.
    """
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(reading)
        words = ""
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (_CPU_S, _CPU_S))
            words = _proved(fault)
        except Exception as error:  # noqa: BLE001 # a proof that cannot even run has found it
            words = f"never fails: {error!r}"
        finally:
            with os.fdopen(writing, "w") as out:
                out.write(words)
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        words = answer.read()
    _, status = os.waitpid(process, 0)
    if status != 0:
        return f"ended with status {status}"
    return words or None


def _proved(fault: Fault | None) -> str:
    """In the child: the first broken property, or ""."""
    with tempfile.TemporaryDirectory(prefix="brakepoint-policy-") as name:
        folder = Path(name)
        if fault is not None and fault.mutant is not None:
            sys.meta_path.insert(0, Changed(fault.mutant))
        elif fault is not None and fault.file.endswith(".py"):
            source = fault.applied((ROOT / fault.file).read_text())
            module = fault.file.removesuffix(".py").replace("/", ".")
            sys.meta_path.insert(0, Changed(Mutant(module, "", 0, fault.name, 0, source)))
        sys.path.insert(0, str(ROOT))
        from edge.contract.mission.loading import load_mission
        from edge.proof.prove import ALL_STEPS, prove

        mission = folder / "mission.toml"
        text = mission_text()
        mission.write_text(fault.applied(text) if fault and fault.file == "mission" else text)
        core = _core(fault, folder)
        for steps in _stages(fault, [*ALL_STEPS]):
            proof = prove(
                load_mission(mission),
                core_program=core,
                advance=lambda *_: None,
                walk_turns=_WALK_TURNS,
                search_turns=0,
                steps={step: ALL_STEPS[step] for step in steps},
            )
            for prop, example in proof.broken.items():
                return f"{prop}: {example.text}"
    return ""


def _stages(fault: Fault | None, steps: list[str]) -> list[list[str]]:
    """Steps to take, cheap ones first: the first broken property is enough. A fault of the core
    shows in its own step, which needs the tables of two others."""
    if fault is not None and fault.file.endswith(".c"):
        return [[steps[4], steps[6], steps[-1]]]
    if fault is not None and fault.file == "mission":
        return [steps[:1], steps]
    return [steps[2:4], steps[4:7], steps]


def _core(fault: Fault | None, folder: Path) -> Path:
    """The compiled core, with the fault where it is one of the core."""
    if fault is None or not fault.file.endswith(".c"):
        from firmware_bridge.emulation.build import build_firmware, default_build_folder

        return build_firmware(default_build_folder(), target="table")
    sources = folder / "firmware"
    shutil.copytree(FIRMWARE, sources)
    source = sources / Path(fault.file).relative_to(FIRMWARE.relative_to(ROOT))
    source.write_text(fault.applied(source.read_text()))
    flags = "CFLAGS=-O1 -Wno-error -w"
    command = ["make", "-s", "-f", str(sources / "Makefile"), f"BUILD={folder}", flags, "table"]
    subprocess.run(command, check=True, timeout=300, capture_output=True)
    return folder / "core-table"


def main(arguments: Sequence[str] | None = None) -> int:
    """Tries faults; prints what found each, and how many were; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--only", metavar="WORDS", help="faults with these words in their name")
    parser.add_argument("--modules", action="store_true", help="mutants of the policy's modules")
    parser.add_argument("--limit", type=int, help="so many of each module, drawn by --seed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", metavar="FILE", type=Path, help="every fault with what found it")
    parser.add_argument("--trusting", action="store_true", help="not first without any fault")
    options = parser.parse_args(arguments)
    faults = seeded()
    if options.modules:
        faults = list(of_modules(limit=options.limit, seed=options.seed))
    if options.only:
        faults = [one for one in faults if options.only in one.name]
    without = None if options.trusting else found_by(None)
    if without is not None:
        print(f"without any fault a property is broken: {without}", file=sys.stderr)
        return 1
    rows = []
    for fault in faults:
        began = time.monotonic()
        found = found_by(fault)
        rows.append({"fault": fault.name, "file": fault.file, "found": found})
        took = time.monotonic() - began
        print(f"{'found' if found else 'NOT FOUND':9} {took:5.1f} s  {fault.name}", flush=True)
        print(f"                   {found}" if found else "", flush=True)
    missed = [row for row in rows if row["found"] is None]
    print(f"{len(rows) - len(missed)} of {len(rows)} faults are found")
    if options.json:
        document = {"schema": "brakepoint.policy-faults/1", "faults": rows}
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
