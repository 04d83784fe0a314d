"""Renders the page of `data check`: findings, the matrix of conditions, labels, sample pictures.

In: an inspection and the findings. Out: HTML, one file that needs nothing else. Reads the few
pictures that it shows.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

import cv2
import jinja2

from calibration.dataset.checks.coverage import AXES, Cell, matrix_of
from calibration.dataset.checks.inspection import Inspection
from calibration.dataset.checks.table import CHECKS, Finding
from calibration.dataset.lock.diff import labels_of
from calibration.dataset.pictures.descriptors import shrink
from calibration.dataset.scan import pictures
from edge.perception.values import BgrImage

SIDE_PX = 176
"""Longer side of a sample picture."""

SAMPLES = 4
"""Pictures shown of one finding."""

LINES = 200
"""Names listed of one finding; the others are counted, `--json` has them all."""


@dataclass(frozen=True)
class FindingSamples:
    """One finding with the names of records whose pictures are shown beside it."""

    finding: Finding
    samples: tuple[str, ...]


@dataclass(frozen=True)
class Field:
    """One cell of the matrix; `share`, its count as a share of the largest, gives its colour."""

    cell: Cell
    share: float


@dataclass(frozen=True)
class Grid:
    """The matrix of one kind of road: rows weather, columns light."""

    road: str
    rows: tuple[tuple[str, tuple[Field, ...]], ...]


def page_of(data: Inspection, found: Sequence[Finding]) -> str:
    """The whole page as HTML."""
    names = {record.name for record in data.records}
    shown = [FindingSamples(finding, _samples(finding, names)) for finding in found]
    matrix = matrix_of(data.records)
    roads = [
        road
        for road in matrix.words["road"]
        if "road" in matrix.named_axes or matrix.total("road", road)
    ]
    most = max((cell.count for cell in matrix.cells.values()), default=1)
    grids = [
        Grid(
            road,
            tuple(
                (
                    weather,
                    tuple(
                        Field(cell, cell.count / most)
                        for light in matrix.words["light"]
                        for cell in [matrix.cells.get((weather, light, road), Cell())]
                    ),
                )
                for weather in matrix.words["weather"]
            ),
        )
        for road in roads
    ]
    wanted = {name for one in shown for name in one.samples}
    wanted |= {cell.example for cell in matrix.cells.values()}
    entries = [one.entry for one in data.scanned if one.entry.name in wanted]
    labels = Counter(label for record in data.records for label in labels_of(record))
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = files("calibration.dataset.checks").joinpath("page.html").read_text("utf-8")
    return environment.from_string(template).render(
        source=data.storage.location,
        format=data.format,
        licence=data.licence,
        version=data.lock.version if data.lock is not None else None,
        records=len(data.records),
        groups=len({record.group for record in data.records}),
        parts=Counter(record.split for record in data.records if record.split),
        shown=shown,
        passed=[name for name in CHECKS if name not in {finding.check for finding in found}],
        grids=grids,
        lights=matrix.words["light"],
        said=[axis for axis in AXES if axis in matrix.named_axes],
        labels=labels.most_common(),
        lines=LINES,
        pictures={entry.name: _embedded(image) for entry, image in pictures(data.storage, entries)},
    )


def _samples(finding: Finding, names: set[str]) -> tuple[str, ...]:
    """The first records that a finding is about."""
    found: list[str] = []
    for line in finding.about:
        found += [name for name in line.split(" = ") if name in names and name not in found]
        if len(found) >= SAMPLES:
            break
    return tuple(found[:SAMPLES])


def _embedded(image: BgrImage) -> str:
    """A small JPEG as a data URL."""
    _, data = cv2.imencode(".jpg", shrink(image, SIDE_PX), [cv2.IMWRITE_JPEG_QUALITY, 80])
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()
