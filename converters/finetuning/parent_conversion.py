"""Reads the conversion that a fine-tuning starts from: float.onnx, ranges and placement.

Takes its folder, the mission and the source; returns a `Parent`. Files are read only with the
digests in report.json. The folder is not written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx
from onnx import ModelProto

from calibration.ranges.ranges import NAME as RANGES
from calibration.ranges.ranges import Ranges, read_ranges
from converters.quantization.placement import MEASURED, QdqPlacement, place
from converters.quantization.range_scaling import scaled_ranges
from converters.sources.source import Source
from edge.contract.artifact import digest_file, digest_json, read_json
from edge.contract.artifact_names import FLOAT
from edge.contract.conversion_output import REPORT_SCHEMA
from edge.contract.mission.digest import contract_digest
from edge.contract.mission.schema import Mission
from firmware_bridge.errors import NotTrusted

REPORT = "report.json"
AGAIN = "convert again: brakepoint convert MISSION --out DIR"


@dataclass(frozen=True)
class Parent:
    """The conversion that is fine-tuned.

    Attributes:
        folder: of the conversion.
        model: float.onnx.
        model_sha256, ranges_sha256: of the files, as hex.
        ranges: of every Q/DQ pair, scaled as in int8.onnx.
        range_scale: factor from ranges.json to `ranges`.
        kept_float: operators that the search kept in float -> the reason.
        placement: of Q/DQ pairs.
        report: report.json as JSON values.
    """

    folder: Path
    model: ModelProto
    model_sha256: str
    ranges: Ranges
    ranges_sha256: str
    range_scale: float
    kept_float: Mapping[str, str]
    placement: QdqPlacement
    report: Mapping[str, Any]

    @property
    def search(self) -> str:
        """`precision.search` of the conversion."""
        tuned = self.report.get("finetuning")
        if tuned is not None:
            return str(tuned["search"])
        return "none" if self.report["search"] is None else "mixed"

    @property
    def placement_sha256(self) -> str:
        """sha256 of the placement's quantized reads, as hex."""
        reads = sorted([read.node, read.slot, read.tensor] for read in self.placement.reads)
        return digest_json([reads, sorted(self.placement.weights.items())])


def read_parent(folder: Path, mission: Mission, source: Source) -> Parent:
    """The conversion in `folder`, which must be of this mission and this source.

    Raises:
        Missing: no such folder, or not all of its files.
        NotTrusted: of another mission or network, or with files that differ from its report.
    """
    report = read_json(folder / REPORT, REPORT_SCHEMA)
    try:
        of = {
            "mission": (report["contract"], contract_digest(mission.model)),
            "network": (report["source"]["sha256"], source.sha256),
            "opset": (report["opset"], mission.precision.opset),
        }
        written = {name: report["artifacts"][name]["sha256"] for name in (FLOAT, RANGES)}
        left, range_scale = (
            report["quantized"]["left_float"],
            float(report["quantized"]["range_scale"]),
        )
        kept = {one["node"]: one["why"] for one in left if one["rule"] == MEASURED}
    except (KeyError, TypeError) as error:
        raise NotTrusted(
            f"{folder / REPORT} is not whole",
            expected=f"a report of schema {REPORT_SCHEMA}",
            found=f"{type(error).__name__}: {error}",
            remedy=AGAIN,
        ) from error
    if other := [name for name, (there, here) in of.items() if there != here]:
        raise NotTrusted(
            f"{folder} is the conversion of another {' and '.join(other)}",
            expected="; ".join(f"{name} {str(of[name][1])[:12]}" for name in other),
            found="; ".join(f"{name} {str(of[name][0])[:12]}" for name in other),
            remedy=AGAIN,
        )
    there = {name: digest_file(folder / name) for name in written}
    if changed := [name for name in written if there[name] != written[name]]:
        raise NotTrusted(
            f"{folder / changed[0]} is not the file of its report",
            expected=f"sha256 {written[changed[0]]}",
            found=f"sha256 {there[changed[0]]}",
            remedy=AGAIN,
        )
    model = onnx.load_from_string((folder / FLOAT).read_bytes())
    ranges = read_ranges(folder / RANGES, model=there[FLOAT])
    return Parent(
        folder=folder,
        model=model,
        model_sha256=there[FLOAT],
        ranges=replace(ranges, tensors=scaled_ranges(ranges.tensors, range_scale)),
        ranges_sha256=there[RANGES],
        range_scale=range_scale,
        kept_float=kept,
        placement=place(model, kept_float=kept),
        report=report,
    )
