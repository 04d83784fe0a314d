"""The record of a run: what was asked for, what went in, what came of it; one JSON file each, in
`runs/` beside the mission, whichever verb ran.

Nothing reads a record to decide anything: it is for people who compare. A damaged one is told and
passed over; it never stops a run or a list. Never deletes one.
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
from edge.contract.mission.facts import flat
from firmware_bridge.errors import Missing, NotTrusted, Refusal

SCHEMA = "brakepoint.record/1"
FORMER = "brakepoint.training/2"
"""What trainings wrote before there was one form for all."""

FOLDER = "runs"
PACKAGES = ("brakepoint", "numpy", "onnx", "onnxruntime", "torch", "opencv-python-headless")

Number = float | int | None


@dataclass(frozen=True)
class Run:
    """One run.

    Attributes:
        kind: the verb, or what it did: "convert", "train", "folds", "search", "calibrate",
            "evaluate".
        started: UTC, as `now` tells it.
        passed: whether the gates held; None where there were none.
        parameters: what was asked for, by dotted key.
        inputs, outputs: name -> sha256, as hex.
        metrics: figures by name, the telling ones first; None where one is not known.
        gates: name, limit, measured, passed and a sentence of each.
        environment: versions of what the figures depend on.
        details: what this kind alone has.
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
class Recorded:
    """A run and where its record is; its name is the file's."""

    path: Path
    run: Run

    @property
    def name(self) -> str:
        """Unique in its folder; begins with the time."""
        return self.path.stem


def now() -> str:
    """The time as UTC, to the second, as ISO 8601 has it without separators."""
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")


def environment(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Versions of what the numbers depend on."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed as a package"
    return found


def folder_of(mission_file: Path) -> Path:
    """Where the runs of a mission are recorded: `runs/` beside its file."""
    return (mission_file if mission_file.is_dir() else mission_file.parent) / FOLDER


def write_run(folder: Path, run: Run, *, digest: str) -> Path:
    """Writes a record under a name that none has yet; `digest` is of what the run was made of."""
    name = f"{run.started}-{run.kind}-{digest[:12]}"
    path, number = folder / f"{name}.json", 2
    while path.exists():
        path, number = folder / f"{name}-{number}.json", number + 1
    write_json(path, SCHEMA, asdict(run))
    return path


def read_run(path: Path) -> Recorded:
    """The run recorded in a file.

    Raises:
        Missing: no such file.
        NotTrusted: it is no record, or not whole.
    """
    try:
        document = read_json(path, SCHEMA)
    except NotTrusted:
        document = read_json(path, FORMER)
        return Recorded(path, _checked(path, _of_former(document)))
    names = {one.name for one in fields(Run)}
    return Recorded(path, _checked(path, {key: document.get(key) for key in names}))


def runs_in(folder: Path) -> Iterator[Recorded | tuple[Path, Refusal]]:
    """Every record of a folder, the oldest first; a damaged one with what is wrong with it."""
    for path in sorted(folder.glob("*.json")):
        if path.name.startswith("."):
            continue  # one that a killed process was about to rename
        try:
            yield read_run(path)
        except (Missing, NotTrusted) as refusal:
            yield path, refusal


def training_run(kind: str, started: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a Run for what a training tells of itself."""
    figures = dict(_section(_section(facts, "judgement"), "figures"))
    for name, one in _section(facts, "spread").items():
        figures[name] = one.get("mean") if isinstance(one, Mapping) else None
    return {
        "kind": kind,
        "mission": facts.get("mission"),
        "started": started,
        "seconds": facts.get("seconds", 0.0),
        "passed": None,
        "parameters": dict(flat(_section(facts, "recipe"))),
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


def _of_former(document: Mapping[str, Any]) -> dict[str, Any]:
    facts = {key: value for key, value in document.items() if key not in ("schema", "kind")}
    return training_run(document.get("kind", ""), document.get("started", ""), facts)


def _checked(path: Path, values: Mapping[str, Any]) -> Run:
    """The run of these values. Raises NotTrusted where one has another form than Run says."""
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
