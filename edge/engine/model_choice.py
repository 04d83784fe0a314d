"""Chooses the files of a conversion for a build, by release and lowering.

A conversion's folder, checked against its report, or a single ONNX file, unchecked, goes in; a
`ModelSource` comes out. Never falls back to another lowering: a refusal names the missing file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.contract.artifact import digest_file, read_json
from edge.contract.artifact_names import DLA_BODY, FLOAT, IMPLICIT, INT8, STRONG
from edge.contract.conversion_output import REPORT_SCHEMA
from edge.contract.gate_verdicts import require_gates
from edge.engine.build_request import Shape
from edge.engine.releases import CACHE_RELEASES, LOWERINGS, Lowering, Release
from firmware_bridge.errors import GateFailed, Missing, NotTrusted, UsageError

FILES: dict[Lowering, str] = {"qdq": INT8, "strong": STRONG, "ranges": IMPLICIT}
"""Lowering -> artifact of a conversion."""


def batched_name(name: str) -> str:
    """The name of an artifact's form with a dynamic batch."""
    return name.replace(".onnx", ".batch.onnx")


CONVERT = "convert again: brakepoint convert MISSION --out DIR"
WITHOUT_DLA = "build for the GPU, without --dla: it takes another form"


@dataclass(frozen=True)
class ModelSource:
    """The network to build, and the files and names that the lowering `ranges` needs beside it.

    Attributes:
        cache: the calibration cache.
        kept_float: names of weighted operators that must not be INT8.
        profiles: by input, the least, usual and largest shape; None where no size is open.
        int8: how many weighted operators are INT8 by the report; None for a file by itself.
        sha256: digest of `model` by the report; None for a file by itself.
        report: digest of the report and of the mission's contract in it; None for a file by itself.
    """

    model: Path
    cache: Path | None = None
    kept_float: tuple[str, ...] = ()
    profiles: Mapping[str, tuple[Shape, Shape, Shape]] | None = None
    int8: int | None = None
    sha256: str | None = None
    report: Mapping[str, str | None] | None = None


def cache_name(release: Release) -> str:
    """The calibration cache of a conversion for one release."""
    return f"calibration-{release}.cache"


def choose_source(source: Path, lowering: Lowering, release: Release) -> ModelSource:
    """The files in `source` (a conversion's folder, or an ONNX file) for one lowering.

    Raises:
        Missing: the folder has no report or not the file; no such file.
        NotTrusted: a file has changed since its gates were measured.
        GateFailed: the INT8 gates of the conversion failed, or this form does not agree.
        UsageError: a file by itself, where ranges are needed beside it.
    """
    if not source.is_dir():
        if not source.is_file():
            raise Missing(
                f"no model at {source}",
                expected="an ONNX file, or the folder of a conversion",
                found="no such file",
                remedy="correct the path, or write it first: brakepoint convert MISSION --out DIR",
            )
        if lowering == "ranges":
            raise UsageError(
                f"{source} alone is not enough for DLA",
                expected=f"the folder of a conversion, which holds {IMPLICIT} and "
                f"{cache_name(release)}",
                found="a file",
                remedy="brakepoint engine build DIR --dla --out FILE",
            )
        return ModelSource(source)
    report = read_json(source / "report.json", REPORT_SCHEMA)
    origin = {
        "sha256": digest_file(source / "report.json"),
        "contract": report.get("contract"),
    }
    try:
        require_gates(
            report,
            source,
            (INT8, FLOAT),
            mission=None,
            remedy="mend the model or the calibration and convert again",
        )
        profiles = {
            str(name): (tuple(least), tuple(usual), tuple(largest))
            for name, (least, usual, largest) in report.get("profiles", {}).items()
        }
        several = profiles and lowering != "ranges"  # DLA accepts no open sizes
        wanted = batched_name(FILES[lowering]) if several else FILES[lowering]
        cut = report.get("dla") if lowering == "ranges" else None
        model = _vouched(report, source, DLA_BODY if cut else wanted, lowering)
        int8 = sum(int(count) for count in report["quantized"]["operators"].values())
        vouched = {"sha256": report["artifacts"][model.name]["sha256"], "report": origin}
        if lowering != "ranges":
            return ModelSource(model, profiles=profiles or None, int8=int8, **vouched)
        cache = _vouched(report, source, cache_name(release), lowering)
        elsewhere = cut["head"] if cut else ()
        left = [str(one["node"]) for one in report["quantized"]["left_float"]]
        kept = tuple(name for name in left if name not in elsewhere)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise NotTrusted(
            f"{source / 'report.json'} is not whole",
            expected=f"a report of schema {REPORT_SCHEMA}",
            found=f"{type(error).__name__}: {error}",
            remedy=CONVERT,
        ) from error
    # The report does not count the layers of a network without its head.
    return ModelSource(model, cache, kept, int8=None if cut else int8, **vouched)


def _vouched(report: dict[str, Any], folder: Path, name: str, lowering: Lowering) -> Path:
    artifacts = report["artifacts"]
    if name not in artifacts:
        failures = report.get("lowerings", {}).get(lowering, {}).get("failures", [])
        if failures:
            raise GateFailed(
                f"the conversion in {folder} has no {name}: that form does not agree",
                expected=f"{LOWERINGS[lowering]}, computing what int8.onnx computes",
                found="; ".join(failures),
                remedy=WITHOUT_DLA if lowering == "ranges" else f"see {folder / 'report.json'}",
            )
        raise Missing(
            f"the conversion in {folder} has no {name}",
            expected=f"{name}, which this TensorRT wants",
            found=", ".join(artifacts),
            remedy=f"caches are written for {', '.join(map(str, CACHE_RELEASES))}; {WITHOUT_DLA}"
            if name.endswith(".cache")
            else CONVERT,
        )
    found = digest_file(folder / name)
    if found != artifacts[name]["sha256"]:
        raise NotTrusted(
            f"{folder / name} is not the file that was judged",
            expected=f"sha256 {artifacts[name]['sha256']}",
            found=f"sha256 {found}",
            remedy=CONVERT,
        )
    return folder / name
