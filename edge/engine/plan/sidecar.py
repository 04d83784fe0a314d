"""Writes and reads an engine's sidecar `FILE.json`: what it was built from and for, its tensors.

The reader refuses a sidecar that does not belong to its plan. Never loads an engine.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from edge.contract.artifact import digest_file, read_json
from edge.engine.gpu import Gpu
from edge.engine.plan.header import HEADER_BYTES, REBUILD, parse_header
from firmware_bridge.errors import Missing, NotTrusted

SCHEMA = "brakepoint.engine/2"
FORMER_SCHEMA = "brakepoint.engine/1"
"""Without tensors, GPU and report: nothing in it could be compared with a mission."""


@dataclass(frozen=True)
class EngineTensor:
    """One input or output of an engine.

    Attributes:
        shape: -1 for a size that profiles leave open.
        type: a member of TensorRT's DataType, such as "FLOAT" (float32).
        format: a member of TensorFormat; "LINEAR" is row by row without padding.
    """

    name: str
    role: Literal["input", "output"]
    shape: tuple[int, ...]
    type: str
    format: str

    @property
    def words(self) -> str:
        """ "images [1, 3, 64, 64] FLOAT LINEAR"."""
        return f"{self.name} {list(self.shape)} {self.type} {self.format}"


@dataclass(frozen=True)
class Sidecar:
    """Plain values, schema first: digests of plan, model, calibration cache and report; lowering,
    release, GPU, flags, memory pools, tensors, precision of the network, DLA fallback, seconds,
    TensorRT's warnings, what is known to be wrong with such a release."""

    document: dict[str, Any]

    @classmethod
    def of(cls, plan: bytes, facts: dict[str, Any]) -> Sidecar:
        """The sidecar of a plan that was just built."""
        header = parse_header(plan, name="the plan that was built")
        return cls(
            {
                "schema": SCHEMA,
                "plan": {"sha256": hashlib.sha256(plan).hexdigest(), "bytes": len(plan)},
                "header": {"release": str(header.release), "sm": list(header.sm)},
                **facts,
                "brakepoint": metadata.version("brakepoint"),
            }
        )

    @property
    def sm(self) -> tuple[int, ...]:
        """GPUs that the engine was built for; empty where that is not known."""
        return tuple(self.document["sm"])

    @property
    def gpu(self) -> Gpu | None:
        """The GPU that the engine was built on; None where it was built ahead of time."""
        built_on = self.document["gpu"]
        return None if built_on is None else Gpu(**built_on)

    @property
    def tensors(self) -> tuple[EngineTensor, ...]:
        """Inputs and outputs, in the network's order."""
        return tuple(
            EngineTensor(**{**tensor, "shape": tuple(tensor["shape"])})
            for tensor in self.document["tensors"]
        )

    @property
    def plan_sha256(self) -> str:
        """Digest of the plan, as hex."""
        return str(self.document["plan"]["sha256"])

    @property
    def model(self) -> tuple[str, str]:
        """Name and digest of the ONNX file that was built."""
        return str(self.document["model"]["file"]), str(self.document["model"]["sha256"])

    def to_bytes(self) -> bytes:
        """The file."""
        return (json.dumps(self.document, indent=1, allow_nan=False) + "\n").encode()


def gpu_facts(gpu: Gpu | None) -> dict[str, Any] | None:
    """A GPU as `Sidecar.gpu` reads it."""
    return None if gpu is None else asdict(gpu)


def sidecar_path(plan: Path) -> Path:
    """Where the sidecar of a plan is: road.plan -> road.plan.json."""
    return plan.with_name(f"{plan.name}.json")


def load_sidecar(plan: Path) -> Sidecar:
    """The sidecar of a plan; does not look at the plan.

    Raises:
        Missing: no sidecar.
        NotTrusted: no whole sidecar of this schema.
    """
    path = sidecar_path(plan)
    try:
        sidecar = Sidecar(read_json(path, SCHEMA))
        _require_whole(sidecar)
    except Missing as error:
        raise Missing(
            f"{plan} has no sidecar",
            expected=f"{path}, which `engine build` writes beside an engine",
            found=error.found,
            remedy=REBUILD,
        ) from error
    except NotTrusted as error:
        former = error.found == FORMER_SCHEMA
        raise NotTrusted(
            f"{path} is of an older brakepoint" if former else error.what,
            expected=f"schema {SCHEMA}, with tensors, GPU and report" if former else error.expected,
            found=error.found,
            remedy=REBUILD,
        ) from error
    except (KeyError, TypeError, ValueError) as error:
        raise NotTrusted(
            f"{path} is not whole",
            expected=f"a file of schema {SCHEMA}",
            found=f"{type(error).__name__}: {error}",
            remedy=REBUILD,
        ) from error
    return sidecar


def read_plan(path: Path, sidecar: Sidecar) -> bytes:
    """The bytes of a plan, read once and compared with its sidecar.

    Raises:
        Missing: it cannot be read.
        NotTrusted: it is cut short, or not the sidecar's.
    """
    wanted = int(sidecar.document["plan"]["bytes"])
    try:
        with path.open("rb") as stream:
            there = os.fstat(stream.fileno()).st_size
            data = stream.read(min(wanted, there) + 1)
    except OSError as error:
        raise Missing(
            f"cannot read {path}",
            expected="an engine plan",
            found=error.strerror or str(error),
            remedy=REBUILD,
        ) from error
    if len(data) < wanted:
        raise NotTrusted(
            f"{path} is cut short",
            expected=f"{wanted} bytes, by its sidecar",
            found=f"{len(data)} bytes",
            remedy=REBUILD,
        )
    _require_digest(sidecar, hashlib.sha256(data).hexdigest(), path)
    return data


def read_sidecar(plan: Path) -> Sidecar:
    """The sidecar of a plan, after checking that it belongs to it.

    Raises:
        Missing: no plan or no sidecar.
        NotTrusted: not a sidecar, or one of another plan.
    """
    sidecar = load_sidecar(plan)
    _require_digest(sidecar, digest_file(plan), plan)
    return sidecar


def _require_digest(sidecar: Sidecar, found: str, plan: Path) -> None:
    if found != sidecar.plan_sha256:
        raise NotTrusted(
            f"{plan} is not the engine that its sidecar describes",
            expected=f"sha256 {sidecar.plan_sha256}",
            found=f"sha256 {found}",
            remedy=REBUILD,
        )


def _require_whole(sidecar: Sidecar) -> None:
    """Raises KeyError, TypeError or ValueError where a value that is read is not there."""
    document = sidecar.document
    texts = [document["plan"]["sha256"]]
    for built_from in (document["model"], document["calibration_cache"]):
        if built_from is not None:
            texts += [built_from["file"], built_from["sha256"]]
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("a digest is a text")
    [int(sm) for sm in document["sm"]]
    for tensor in sidecar.tensors:
        if not all(isinstance(size, int) for size in tensor.shape):
            raise TypeError("the shape of a tensor is a list of whole numbers")
    for sizes in dict(document["profiles"]).values():
        least, usual, most = (tuple(map(int, size)) for size in sizes)
        if not len(least) == len(usual) == len(most):
            raise ValueError("the sizes of a profile differ in length")
    if int(document["plan"]["bytes"]) < HEADER_BYTES:
        raise ValueError("a plan is longer than its header")
    _ = sidecar.gpu, sidecar.model, int(document["precision"]["int8"]), document["backend"]
    _ = document["known_faults"], document["release"], document["dla_core"]
