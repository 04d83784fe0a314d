"""Writes and reads an engine's sidecar `FILE.json`: its model, builder, release and target GPUs.

The reader refuses a sidecar that does not belong to its plan. Never loads an engine.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from edge.contract.artifact import digest_file, read_json
from edge.engine.plan_header import REBUILD, parse_header
from firmware_bridge.errors import NotTrusted

SCHEMA = "brakepoint.engine/1"


@dataclass(frozen=True)
class Sidecar:
    """Plain values, schema first: digests of plan and model, lowering, release, GPUs, flags, memory
    pools, precision of the network, DLA fallback, seconds, TensorRT's warnings."""

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

    def to_bytes(self) -> bytes:
        """The file."""
        return (json.dumps(self.document, indent=1, allow_nan=False) + "\n").encode()


def sidecar_path(plan: Path) -> Path:
    """Where the sidecar of a plan is: road.plan -> road.plan.json."""
    return plan.with_name(f"{plan.name}.json")


def read_sidecar(plan: Path) -> Sidecar:
    """The sidecar of a plan, after checking that it belongs to it.

    Raises:
        Missing: no plan or no sidecar.
        NotTrusted: not a sidecar, or one of another plan.
    """
    document = read_json(sidecar_path(plan), SCHEMA)
    try:
        recorded = document["plan"]["sha256"]
        [int(sm) for sm in document["sm"]]
    except (KeyError, TypeError, ValueError) as error:
        raise NotTrusted(
            f"{sidecar_path(plan)} is not whole",
            expected=f"a file of schema {SCHEMA}",
            found=f"{type(error).__name__}: {error}",
            remedy=REBUILD,
        ) from error
    found = digest_file(plan)
    if found != recorded:
        raise NotTrusted(
            f"{plan} is not the engine that its sidecar describes",
            expected=f"sha256 {recorded}",
            found=f"sha256 {found}",
            remedy=REBUILD,
        )
    return Sidecar(document)
