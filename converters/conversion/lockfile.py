"""The lockfile `convert.lock.json`: every input of a conversion and the digest of every output.

The same inputs give the same ONNX files and ranges, so a lockfile kept with the mission shows
whether a conversion was reproduced. Holds no path and no time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from calibration.dataset.lock.lock import read_lock
from converters.conversion.input_digests import Inputs, code_digest, source_facts, tool_versions
from edge.contract.artifact import digest_file, digest_json, read_json
from edge.contract.mission.facts import mission_facts
from edge.contract.mission.schema import Mission
from firmware_bridge.errors import NotTrusted

SCHEMA = "brakepoint.convert-lock/1"
NAME = "convert.lock.json"

MOST_TOLD = 8
"""Most differences that one message lists."""


@dataclass(frozen=True)
class Lock:
    """Inputs by section and key, and outputs by file.

    Attributes:
        inputs: section -> key -> value: "mission" by dotted key, "source", "data", "tools", "code".
        outputs: file -> sha256 as hex. The report is not among them: it holds times.
    """

    inputs: Mapping[str, Mapping[str, Any]]
    outputs: Mapping[str, str]

    @property
    def digest(self) -> str:
        """sha256 of all inputs, as hex."""
        return digest_json(self.inputs)

    def to_json(self) -> dict[str, Any]:
        """As plain values, without the schema."""
        mission = digest_json(self.inputs["mission"])
        return {
            "inputs_sha256": self.digest,
            "mission_sha256": mission,
            "inputs": self.inputs,
            "outputs": self.outputs,
        }


def inputs_of(
    mission: Mission, inputs: Inputs, *, ranges_file: Path | None
) -> dict[str, dict[str, Any]]:
    """The inputs of a conversion, as plain values."""
    lock = mission.data.lock
    return {
        "mission": mission_facts(mission),
        "source": source_facts(inputs.source),
        "data": {
            "version": None if lock is None else read_lock(lock).version,
            "calibration": inputs.calibration,
            "held_back": inputs.held_back,
        },
        "ranges": {"sha256": None if ranges_file is None else digest_file(ranges_file)},
        "code": {"sha256": code_digest()},
        "tools": tool_versions(),
    }


def read_convert_lock(path: Path) -> Lock:
    """The lock in a file.

    Raises:
        Missing: no such file.
        NotTrusted: it is no lock, or not whole.
    """
    document = read_json(path, SCHEMA)
    inputs, outputs = document.get("inputs"), document.get("outputs")
    whole = (
        isinstance(inputs, dict)
        and all(isinstance(section, dict) for section in inputs.values())
        and isinstance(outputs, dict)
        and digest_json(inputs) == document.get("inputs_sha256")
    )
    if not whole:
        raise NotTrusted(
            f"{path} is not whole",
            expected=f"a file of schema {SCHEMA} whose inputs have the digest in it",
            found="others",
            remedy="restore it, or write it anew: brakepoint convert MISSION --out DIR",
        )
    assert isinstance(inputs, dict)
    assert isinstance(outputs, dict)
    return Lock(inputs, outputs)


def require_inputs(path: Path, locked: Lock, inputs: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuses inputs that are not those of the lock in `path`, naming each (NotTrusted)."""
    sections = dict.fromkeys((*locked.inputs, *inputs))
    pairs = [
        (f"{section} {key}", _value(locked.inputs, section, key), _value(inputs, section, key))
        for section in sections
        for key in dict.fromkeys((*locked.inputs.get(section, {}), *inputs.get(section, {})))
    ]
    _require(path, "the inputs are not those of", pairs)


def require_outputs(path: Path, locked: Lock, outputs: Mapping[str, str]) -> None:
    """Refuses files that are not those of the lock in `path`, naming each (NotTrusted)."""
    names = dict.fromkeys((*locked.outputs, *outputs))
    pairs = [(name, locked.outputs.get(name), outputs.get(name)) for name in names]
    _require(path, "from the same inputs other files were made than those of", pairs)


def _value(inputs: Mapping[str, Mapping[str, Any]], section: str, key: str) -> Any:
    return inputs.get(section, {}).get(key)


def _require(path: Path, what: str, pairs: list[tuple[str, Any, Any]]) -> None:
    different = [(name, old, new) for name, old, new in pairs if old != new]
    if different:
        more = [f"and {len(different) - MOST_TOLD} more"] * (len(different) > MOST_TOLD)
        told = different[:MOST_TOLD]
        raise NotTrusted(
            f"{what} {path}",
            expected="; ".join([f"{name} {_short(old)}" for name, old, _ in told] + more),
            found="; ".join([f"{name} {_short(new)}" for name, _, new in told] + more),
            remedy="set them back; or convert without --locked, which writes the lock anew",
        )


def _short(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
