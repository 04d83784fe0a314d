"""Approves a plan before TensorRT sees it.

A plan file, the report of a conversion, a mission's tensors and what is here go in. The bytes are
read once, and compared with the sidecar, with TensorRT and the GPU, with the report and with the
mission; an `ApprovedPlan` with these bytes comes out, or a refusal with the command that builds the
engine anew. Never loads an engine. Report and sidecar are not signed: they prove only that plan,
model and gates belong together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.backends.options import ApprovedPlan
from edge.engine.gpu import Gpu
from edge.engine.gpu_support.check import check_support
from edge.engine.plan.header import REBUILD, PlanHeader, parse_header, preflight
from edge.engine.plan.sidecar import EngineTensor, Sidecar, load_sidecar, read_plan
from edge.engine.releases import MODULES, Backend, Release
from firmware_bridge.errors import NotTrusted, Refusal, UsageError

TYPE, FORMAT = "FLOAT", "LINEAR"
"""Inputs and outputs are handed over as rows of float32."""

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Runtime:
    """The TensorRT and the GPU that are to run an engine; `build` is the fourth number of its
    version, None where the module does not tell it."""

    backend: Backend
    release: Release
    build: int | None
    gpu: Gpu


@dataclass(frozen=True)
class Approval:
    """An approved plan, its sidecar, and what is known to be wrong with such a TensorRT."""

    plan: ApprovedPlan
    sidecar: Sidecar
    known_faults: tuple[str, ...]


def approve_plan(
    path: Path,
    report: Mapping[str, Any],
    *,
    here: Runtime,
    inputs: Shapes,
    outputs: Shapes,
    build: str,
) -> Approval:
    """Approve a plan.

    Args:
        path: the plan; its sidecar is beside it.
        report: of the conversion, whose INT8 gates hold for the mission.
        inputs, outputs: names and shapes that the mission expects, in order.
        build: the command that builds the engine anew, for the remedy.

    Raises:
        Missing: no plan or no sidecar.
        NotTrusted: the plan is not the sidecar's or cut short; the sidecar is of an older
            brakepoint; the engine was built from another conversion.
        UsageError: it was built by another TensorRT or for another GPU, this TensorRT has no
            kernels for the GPU, or its tensors are not those of the mission.
    """
    name = str(path)
    try:
        sidecar = load_sidecar(path)
        data = read_plan(path, sidecar)
        header = parse_header(data, name=name)
        preflight(
            header,
            name=name,
            backend=here.backend,
            release=here.release,
            built_for=sidecar.sm,
            here=here.gpu.sm,
        )
        _require_build(header, here, name)
        _require_gpu(sidecar, here, name)
        faults = check_support(here.backend, here.release, here.gpu.sm)
        judged = _Judged.of(report)
        _require_origin(sidecar, judged, name)
        _require_tensors(sidecar, name, inputs=inputs, outputs=outputs)
        _require_precision(sidecar, judged, name)
    except Refusal as refusal:
        if refusal.remedy != REBUILD:
            raise
        raise type(refusal)(
            refusal.what,
            expected=refusal.expected,
            found=refusal.found,
            remedy=f"build it again here: {build}",
        ) from refusal
    return Approval(ApprovedPlan(data, name), sidecar, faults)


def _require_build(header: PlanHeader, here: Runtime, name: str) -> None:
    """All four numbers of a version must match, says TensorRT."""
    if here.build not in (None, header.build):
        raise UsageError(
            f"{name} was built by another build of TensorRT",
            expected=f"{MODULES[here.backend]} {here.release}.{here.build}, which is here",
            found=f"{header.release}.{header.build}",
            remedy=REBUILD,
        )


def _require_gpu(sidecar: Sidecar, here: Runtime, name: str) -> None:
    """One compute capability has GPUs of several sizes, and a plan is tuned for one of them.

    TensorRT only warns of "an engine plan file across different models of devices" (its own words;
    github.com/NVIDIA/TensorRT/issues/2900). Engines of TensorRT-RTX are made for several.
    """
    if here.backend == "rtx":
        return
    built_on = sidecar.gpu
    if built_on is None or built_on != here.gpu:
        raise UsageError(
            f"{name} was built for another GPU",
            expected=f"{here.gpu.words}, which is here",
            found="a GPU that its sidecar does not name" if built_on is None else built_on.words,
            remedy=REBUILD,
        )


@dataclass(frozen=True)
class _Judged:
    """What a report says of the files that engines are built from: digests by name, and how many
    weighted operators are INT8."""

    digests: Mapping[str, str]
    int8: int

    @classmethod
    def of(cls, report: Mapping[str, Any]) -> _Judged:
        try:
            return cls(
                {str(name): str(one["sha256"]) for name, one in report["artifacts"].items()},
                sum(int(count) for count in report["quantized"]["operators"].values()),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise NotTrusted(
                "the report of the conversion is not whole",
                expected="digests of its files, and the operators that are INT8",
                found=f"{type(error).__name__}: {error}",
                remedy="convert again: brakepoint convert MISSION --out DIR",
            ) from error


def _require_origin(sidecar: Sidecar, report: _Judged, name: str) -> None:
    """The engine was built from files of this conversion.

    A report that was written again for the same files counts: what it judges is what was built.
    """
    cache = sidecar.document["calibration_cache"]
    for built_from in (sidecar.document["model"], *([] if cache is None else [cache])):
        file, digest = str(built_from["file"]), str(built_from["sha256"])
        judged = report.digests.get(file)
        if digest != judged:
            raise NotTrusted(
                f"{name} was built from another conversion",
                expected=f"{file} with sha256 {judged}"
                if judged
                else f"a file of this conversion: {', '.join(report.digests)}",
                found=f"{file} with sha256 {digest}",
                remedy=REBUILD,
            )


def _require_precision(sidecar: Sidecar, report: _Judged, name: str) -> None:
    int8 = int(sidecar.document["precision"]["int8"])
    if int8 != report.int8:
        raise NotTrusted(
            f"{name} was not built in the precision that was judged",
            expected=f"{report.int8} convolutions and the like in INT8",
            found=str(int8),
            remedy=REBUILD,
        )


def _require_tensors(sidecar: Sidecar, name: str, *, inputs: Shapes, outputs: Shapes) -> None:
    profiles = sidecar.document["profiles"]
    for role, wanted in (("input", inputs), ("output", outputs)):
        found = [tensor for tensor in sidecar.tensors if tensor.role == role]
        fits = [tensor.name for tensor in found] == list(wanted) and all(
            _fits(tensor, wanted[tensor.name], profiles.get(tensor.name)) for tensor in found
        )
        if not fits:
            expected = (
                EngineTensor(one, "input", shape, TYPE, FORMAT) for one, shape in wanted.items()
            )
            raise UsageError(
                f"{name} has other {role}s than the mission",
                expected="; ".join(tensor.words for tensor in expected),
                found="; ".join(tensor.words for tensor in found) or "none",
                remedy="convert the mission again and build from that: an engine is built as its "
                "conversion says",
            )


def _fits(tensor: EngineTensor, wanted: tuple[int, ...], profile: Any) -> bool:
    """Whether a tensor can have the shape; open sizes only as far as its profile goes."""
    if (tensor.type, tensor.format) != (TYPE, FORMAT) or len(tensor.shape) != len(wanted):
        return False
    if any(size not in (-1, want) for size, want in zip(tensor.shape, wanted, strict=True)):
        return False
    if profile is None:
        return tensor.role == "output" or -1 not in tensor.shape
    least, _, largest = profile
    return all(low <= want <= high for low, want, high in zip(least, wanted, largest, strict=True))
