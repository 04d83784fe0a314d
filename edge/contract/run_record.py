"""Writes and reads records of runs: parameters, inputs, metrics, gates, environment.

One JSON file a run, in `runs/` beside the mission, for every verb. Records are for people who
compare runs; no stage decides by one. A damaged record never stops a run or a list. Never deletes
one.
"""

from __future__ import annotations

import datetime
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from edge.contract.artifact import read_json, write_json
from edge.contract.mission.facts import flatten
from firmware_bridge.errors import Missing, NotTrusted, Refusal

SCHEMA = "brakepoint.record/1"
FORMER = "brakepoint.training/2"
"""The schema of trainings before all verbs shared one."""

FOLDER = "runs"
PACKAGES = ("brakepoint", "numpy", "onnx", "onnxruntime", "torch", "opencv-python-headless")

Number = float | int | None


@dataclass(frozen=True)
class Run:
    """One run.

    Attributes:
        kind: the verb, or what it did: "convert", "train", "folds", "search", "calibrate",
            "evaluate".
        started: UTC, in the form of `now`.
        passed: whether the gates held; None without gates.
        parameters: settings of the run, by dotted key.
        inputs, outputs: name -> sha256, as hex.
        metrics: figures by name, the most important first; None where one is not known.
        gates: name, limit, measured, passed and a sentence of each.
        environment: versions on which the figures depend.
        details: values that only this kind of run has.
    """

    kind: str
    mission: str
    started: str
    seconds: float
    passed: bool | None
    parameters: Mapping[str, Any]
    inputs: Mapping[str, str | None]
    outputs: Mapping[str, str]
    metrics: Mapping[str, Number]
    gates: Sequence[Mapping[str, Any]] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RunRecord:
    """A run and the path of its record."""

    path: Path
    run: Run

    @property
    def name(self) -> str:
        """The file's name without suffix: unique in its folder, beginning with the time."""
        return self.path.stem


def now() -> str:
    """The UTC time to the second, in ISO 8601's basic format: 20261201T030000Z."""
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")


def environment(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Versions of Python, the machine and these packages, on which figures depend."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed as a package"
    return found


def runs_folder(mission_file: Path) -> Path:
    """The folder of a mission's run records: `runs/` beside its file."""
    return (mission_file if mission_file.is_dir() else mission_file.parent) / FOLDER


def write_run(folder: Path, run: Run, *, digest: str) -> Path:
    """Write a record under a new name; `digest` identifies the run's inputs. Returns its path."""
    name = f"{run.started}-{run.kind}-{digest[:12]}"
    path, number = folder / f"{name}.json", 2
    while path.exists():
        path, number = folder / f"{name}-{number}.json", number + 1
    write_json(path, SCHEMA, asdict(run))
    return path


def read_run(path: Path) -> RunRecord:
    """The run recorded in a file.

    Raises:
        Missing: no such file.
        NotTrusted: it is not a record, or not whole.
    """
    try:
        document = read_json(path, SCHEMA)
    except NotTrusted:
        document = read_json(path, FORMER)
        return RunRecord(path, _checked(path, _former_record(document)))
    names = {one.name for one in fields(Run)}
    return RunRecord(path, _checked(path, {key: document.get(key) for key in names}))


def runs_in(folder: Path) -> Iterator[RunRecord | tuple[Path, Refusal]]:
    """Every record of a folder, oldest first; for a damaged one its path and the refusal."""
    for path in sorted(folder.glob("*.json")):
        if path.name.startswith("."):
            continue  # one that a killed process was about to rename
        try:
            yield read_run(path)
        except (Missing, NotTrusted) as refusal:
            yield path, refusal


def training_run(kind: str, started: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a Run from the facts of a training."""
    figures = dict(_section(_section(facts, "judgement"), "figures"))
    for name, one in _section(facts, "spread").items():
        figures[name] = one.get("mean") if isinstance(one, Mapping) else None
    return {
        "kind": kind,
        "mission": facts.get("mission"),
        "started": started,
        "seconds": facts.get("seconds", 0.0),
        "passed": None,
        "parameters": dict(flatten(_section(facts, "recipe"))),
        "inputs": {"recipe": facts.get("recipe_digest")},
        "outputs": {"weights": facts["weights_sha256"]} if "weights_sha256" in facts else {},
        "metrics": {**figures, **_counts(facts)},
        "gates": [],
        "environment": facts.get("environment") or {},
        "details": facts,
    }


def _section(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = values.get(key)
    return found if isinstance(found, Mapping) else {}


COUNTED = ("parameters", "steps", "best_step", "examples", "validation_examples")


def _counts(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {key: facts[key] for key in COUNTED if key in facts}


def _former_record(document: Mapping[str, Any]) -> dict[str, Any]:
    facts = {key: value for key, value in document.items() if key not in ("schema", "kind")}
    return training_run(document.get("kind", ""), document.get("started", ""), facts)


def _checked(path: Path, values: Mapping[str, Any]) -> Run:
    """The run of these values. Raises NotTrusted where a value has another type than in `Run`."""
    forms: dict[str, Any] = {
        "kind": str,
        "mission": str,
        "started": str,
        "seconds": (int, float),
        "passed": (bool, type(None)),
        "gates": list,
    }
    wrong = [
        name
        for name, value in values.items()
        if not isinstance(value, forms.get(name, dict))
        or (name == "gates" and not all(isinstance(gate, dict) for gate in value))
        or (name == "metrics" and not all(_is_number(one) for one in value.values()))
    ]
    if wrong:
        raise NotTrusted(
            f"{path} is no whole record of a run",
            expected=f"a file of schema {SCHEMA}",
            found=f"{', '.join(sorted(wrong))} missing or of another form",
            remedy="move the file away, or restore it",
        )
    return Run(**values)


def _is_number(value: object) -> bool:
    return value is None or isinstance(value, (int, float))
