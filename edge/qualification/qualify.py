"""Runs every step of a qualification in order and makes its record.

A `Subject` goes in; a `Record` comes out. A step whose needs did not pass is left out and says so;
a refusal is a failure with its remedy; the others go on. The record holds the digest of all that it
says: a later signature covers that digest.
"""

from __future__ import annotations

import dataclasses
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from edge.backends.session import DeviceLost, InferenceFailed
from edge.contract.artifact import digest_json, json_file, read_json
from edge.qualification.device_steps import DEVICE_STEPS
from edge.qualification.model_steps import MODEL_STEPS
from edge.qualification.step import Done, Outcome, Step, failed, left_out
from edge.qualification.subject import Subject
from firmware_bridge.errors import NotTrusted, Refusal

SCHEMA = "brakepoint.qualification/1"

S = TypeVar("S")


@dataclass(frozen=True)
class Record:
    """One finished qualification: plain values, the digest of the others last."""

    document: dict[str, Any]

    @classmethod
    def of(cls, subject: Subject, steps: list[Done], *, signed_off_by: str) -> Record:
        """The record of steps that were run."""
        facts = dataclasses.asdict(subject.device.facts)
        facts["l4t"] = None if subject.device.facts.l4t is None else str(subject.device.facts.l4t)
        document: dict[str, Any] = {
            "schema": SCHEMA,
            "mission": subject.mission.name,
            "conversion": str(subject.converted),
            "precision": subject.precision,
            "brakepoint": metadata.version("brakepoint"),
            "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "signed_off_by": signed_off_by,
            "machine": {
                "architecture": platform.machine(),
                "kernel": platform.release(),
                "python": platform.python_version(),
            },
            "device": facts,
            "steps": [step.to_json() for step in steps],
        }
        return cls({**document, "digest": digest_json(_plain(document))})

    @property
    def steps(self) -> list[dict[str, Any]]:
        """The steps in order."""
        found: list[dict[str, Any]] = self.document["steps"]
        return found

    def count(self, state: str) -> int:
        """How many steps have this state."""
        return sum(step["state"] == state for step in self.steps)

    @property
    def verdict(self) -> str:
        """One sentence."""
        passed, bad, left = (self.count(one) for one in ("passed", "failed", "left out"))
        if bad:
            return f"not qualified: {bad} of {len(self.steps)} steps failed"
        if left:
            return f"qualified as far as it was tried: {passed} steps passed, {left} were left out"
        return f"qualified: all {passed} steps passed"

    @property
    def exit_code(self) -> int:
        """1 where a step failed."""
        return int(self.count("failed") > 0)

    def to_bytes(self) -> bytes:
        """The file."""
        values = {key: value for key, value in self.document.items() if key != "schema"}
        return json_file(SCHEMA, values)


def _plain(document: dict[str, Any]) -> dict[str, Any]:
    """What the digest covers: everything but itself."""
    return {key: value for key, value in document.items() if key != "digest"}


def read_record(path: Path) -> Record:
    """The record in a file, after comparing it with its digest.

    Raises:
        Missing: no such file.
        NotTrusted: no record, or one that was changed.
    """
    document = read_json(path, SCHEMA)
    found = digest_json(_plain(document))
    if document.get("digest") != found or not isinstance(document.get("steps"), list):
        raise NotTrusted(
            f"{path} was changed after it was written",
            expected=f"digest {document.get('digest')}",
            found=f"digest {found}",
            remedy="ask for the file as it was written, or qualify again",
        )
    return Record(document)


def qualify(subject: Subject) -> list[Done]:
    """Every step with its outcome, in order."""
    done: dict[str, Done] = {}
    total = len(DEVICE_STEPS) + len(MODEL_STEPS)
    for of_device in DEVICE_STEPS:
        subject.progress("qualification", len(done), total)
        done[of_device.name] = run_step(of_device, subject.device, done)
    for of_model in MODEL_STEPS:
        subject.progress("qualification", len(done), total)
        done[of_model.name] = run_step(of_model, subject, done)
    return list(done.values())


def run_step(step: Step[S], subject: S, done: Mapping[str, Done]) -> Done:
    """One step, or why it was left out."""
    began_s = time.perf_counter()
    wanting = [name for name in step.needs if done[name].outcome.state != "passed"]
    if wanting:
        states = ", ".join(f"{name} ({done[name].outcome.state})" for name in wanting)
        return Done(step.name, step.does, left_out(f"needs {states}"), 0.0)
    try:
        outcome = step.run(subject)
    except Refusal as refusal:
        outcome = _refused(refusal)
    except (DeviceLost, InferenceFailed, OSError) as error:
        outcome = failed(f"{type(error).__name__}: {error}", remedy="see what the system says")
    return Done(step.name, step.does, outcome, time.perf_counter() - began_s)


def _refused(refusal: Refusal) -> Outcome:
    found = f"{refusal.what}: expected {refusal.expected}; found {refusal.found}"
    return failed(found, remedy=refusal.remedy)
