"""Digests of what a conversion depends on: the network, the frames, this program's code, its tools.

Takes a mission; returns the opened network, the split frames, and sha256 digests as hex. Paths are
left out: where a file lies changes no result, its content does.
"""

from __future__ import annotations

import functools
import platform
import sys
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from hashlib import sha256
from importlib import import_module, metadata
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import cv2

from calibration.dataset.frames.frame import RoadFrame, data_digest
from calibration.dataset.splits.calibration_holdout import Split
from converters.conversion.frame_split import frames_to_split
from converters.sources.pytorch.mission_modules import neighbours
from converters.sources.source import Source, TorchSource, open_source
from edge.contract.artifact import digest_json
from edge.contract.mission.schema import Mission
from edge.install import PACKAGES

CODE = (".py", ".jinja", ".css", ".html")

if TYPE_CHECKING:
    from torch import nn

TOOLS = ("numpy", "onnx", "onnx-ir", "onnxruntime", "onnxscript", "scikit-learn", "torch")
"""Distributions whose version may change a number or a file."""


@dataclass(frozen=True)
class Inputs:
    """What a conversion begins with: the network, the frames, and digests of all that is in them.

    Attributes:
        calibration, held_back: of the frames with all that a stage may look at.
        held_back_data: of the pictures alone, for the report.
    """

    source: Source
    frames: Split
    calibration: str
    held_back: str
    held_back_data: str

    @classmethod
    def of(cls, mission: Mission) -> Inputs:
        """Reads everything once."""
        source, frames = open_source(mission.model), frames_to_split(mission)
        return cls(
            source,
            frames,
            calibration=frame_facts(frames.calibration),
            held_back=frame_facts(frames.held_back, truth=True),
            held_back_data=data_digest(frames.held_back),
        )


def source_facts(source: Source) -> dict[str, Any]:
    """The network: digest of its file or values and, where code makes it, of that code."""
    facts: dict[str, Any] = {"sha256": source.sha256}
    if isinstance(source, TorchSource) and source.factory is not None:
        facts |= {"factory": source.factory, "code": network_code(source.factory, source.network)}
    return facts


def network_code(factory: str, network: nn.Module) -> str:
    """sha256 of the source files behind a network: the whole packages that its classes and its
    factory come from, whatever of them is loaded, and all that lies beside the mission where a
    module does. torch and this program have a version and a
    digest of their own.
    """
    made_by, _, _ = factory.partition(":")
    modules = {made_by, *(type(module).__module__ for module in network.modules())}
    packages = {name.split(".")[0] for name in modules} - {"torch", *PACKAGES}
    sha = sha256()
    for name in sorted(packages):
        for path in (*_sources(sys.modules.get(name)), *neighbours(name)):
            sha.update(f"{name} {sha256(path.read_bytes()).hexdigest()}\n".encode())
    return sha.hexdigest()


def _sources(module: ModuleType | None) -> list[Path]:
    """Every Python file of a package, in order, or the one file of a module."""
    folders = [Path(folder) for folder in getattr(module, "__path__", ())]
    if folders:
        return [path for folder in folders for path in sorted(folder.rglob("*.py"))]
    file = getattr(module, "__file__", None)
    return [Path(file)] if file is not None and Path(file).is_file() else []


def frame_facts(frames: Iterable[RoadFrame], *, truth: bool = False) -> str:
    """One digest of frames in their order: names, contents and conditions, and what is really in
    them where `truth` is asked for."""
    return digest_json(
        [
            [
                frame.name,
                frame.digest(),
                frame.group,
                list(astuple(frame.conditions)),
                frame.words,
                _truth(frame) if truth else None,
            ]
            for frame in frames
        ]
    )


def _truth(frame: RoadFrame) -> list[str] | None:
    truth = frame.truth()
    if truth is None:
        return None
    values = [getattr(truth, field.name) for field in fields(truth)]
    return [sha256(value.tobytes()).hexdigest() for value in values]


@functools.cache
def code_digest() -> str:
    """sha256 of this program's own code, as hex: whatever changes in it, results are made anew."""
    sha = sha256()
    for package in PACKAGES:
        (folder,) = import_module(package).__path__
        for path in sorted(Path(folder).rglob("*")):
            if path.suffix in CODE:
                name = f"{package}/{path.relative_to(folder).as_posix()}"
                sha.update(f"{name} {sha256(path.read_bytes()).hexdigest()}\n".encode())
    return sha.hexdigest()


@functools.cache
def tool_versions() -> dict[str, str]:
    """Versions of what computes, by name."""
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "opencv": cv2.__version__,
        **{name: metadata.version(name) for name in TOOLS},
    }
