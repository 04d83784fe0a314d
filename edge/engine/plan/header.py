"""Reads from an engine plan's first bytes which TensorRT wrote it, and for which GPUs.

TensorRT: bytes 0-3 are `ftrt`, bytes 24-27 major, minor, patch, build; no GPU in it. TensorRT-RTX
1.7.1, by plans that it wrote: `vtrt`, the same bytes 24-27, and at 32 a mask of compute
capabilities. Never loads an engine.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge.engine.gpu import dotted
from edge.engine.releases import MODULES, Backend, Release
from firmware_bridge.errors import Missing, NotTrusted, UsageError

MAGIC: dict[bytes, Backend] = {b"ftrt": "tensorrt", b"vtrt": "rtx"}
VERSION_AT, MASK_AT, HEADER_BYTES = 24, 32, 64
RTX_SM_BITS = (75, 80, 86, 89, 120, 121)
"""The bits of the mask, found by building engines for each and for all."""

REBUILD = "build it again here: brakepoint engine build DIR --out FILE"


@dataclass(frozen=True)
class PlanHeader:
    """The header of a plan. `sm` is empty where it names no GPU."""

    backend: Backend
    release: Release
    build: int
    sm: tuple[int, ...]


def parse_header(data: bytes, *, name: str) -> PlanHeader:
    """The header of a plan's bytes; messages call the plan `name`.

    Raises:
        NotTrusted: not a plan, or cut short.
    """
    backend = MAGIC.get(data[:4])
    if backend is None or len(data) < HEADER_BYTES:
        raise NotTrusted(
            f"{name} is not a TensorRT engine",
            expected=f"{HEADER_BYTES} bytes or more that begin with 'ftrt' or 'vtrt'",
            found=f"{len(data)} bytes that begin with {data[:4]!r}",
            remedy=REBUILD,
        )
    major, minor, patch, build = data[VERSION_AT : VERSION_AT + 4]
    sm: tuple[int, ...] = ()
    if backend == "rtx":
        mask = int.from_bytes(data[MASK_AT : MASK_AT + 4], "little")
        sm = tuple(sm for bit, sm in enumerate(RTX_SM_BITS) if mask >> bit & 1)
    return PlanHeader(backend, Release(major, minor, patch), build, sm)


def read_header(path: Path) -> PlanHeader:
    """The header of a plan file. Raises as `parse_header`, and Missing where it cannot be read."""
    try:
        with path.open("rb") as stream:
            return parse_header(stream.read(HEADER_BYTES), name=str(path))
    except OSError as error:
        raise Missing(
            f"cannot read {path}",
            expected="an engine plan",
            found=error.strerror or str(error),
            remedy=REBUILD,
        ) from error


def preflight(
    header: PlanHeader,
    *,
    name: str,
    backend: Backend,
    release: Release,
    built_for: tuple[int, ...],
    here: int | None,
) -> None:
    """Refuse, before loading it, a plan that this runtime and this GPU cannot run.

    Args:
        built_for: GPUs by the sidecar; the header's count where it names any.
        here: the compute capability of this machine's GPU; None where it is not known.

    Raises:
        UsageError: another TensorRT, another release, or another GPU.
    """
    made, runs = (header.backend, header.release), (backend, release)
    if made != runs:
        raise UsageError(
            f"{name} was built by another TensorRT",
            expected=f"{MODULES[backend]} {release}, which is here",
            found=f"{MODULES[header.backend]} {header.release}",
            remedy=REBUILD,
        )
    gpus = header.sm or built_for
    if here is not None and gpus and here not in gpus:
        raise UsageError(
            f"{name} was built for another GPU",
            expected=f"SM {dotted(here)}, which is here",
            found="SM " + ", ".join(map(dotted, gpus)),
            remedy=REBUILD,
        )
