"""The page of two networks on the same frames: one file, no network, worst frames side by side."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from converters.report.page.render import TEMPLATES, environment_of
from converters.report.page.tables import OUTPUTS, frames_side_by_side, mask_key
from converters.report.page.worst_frames import Picture
from converters.verification.agreement.agreement import IOU_MIN, SCORE_MIN
from converters.verification.comparison.result import A, B, FileComparison, OutputMap


@dataclass(frozen=True)
class MapPicture:
    """An output as a picture, a PNG in base64."""

    title: str
    png: str


def render_comparison(found: FileComparison, pictures: Mapping[str, Picture]) -> bytes:
    """The page; `pictures` by the name of a frame."""
    page = (
        environment_of()
        .get_template("compare.html.jinja")
        .render(
            found=found.to_json(),
            names={A: f"A: {Path(found.first).name}", B: f"B: {Path(found.second).name}"},
            css=Markup((TEMPLATES / "page.css").read_text(encoding="utf-8")),
            outputs=OUTPUTS,
            iou_min=IOU_MIN,
            score_min=SCORE_MIN,
            shown={
                output: frames_side_by_side(one, pictures)
                for output, one in found.evaluations.items()
            },
            keys={output: mask_key(one) for output, one in found.evaluations.items()},
            pictures=pictures,
            maps={name: _pictures(one) for name, one in found.maps.items()},
        )
    )
    # A file name may hold bytes that are no text.
    return page.encode("utf-8", errors="replace")


def _pictures(given: OutputMap) -> Sequence[MapPicture]:
    """A, B and their difference; the first two on one scale."""
    least, most = (float(f(np.stack([given.a, given.b]))) for f in (np.min, np.max))
    apart = np.abs(given.a - given.b)
    return [
        MapPicture(f"A: {given.output}", _png(given.a, least, most)),
        MapPicture(f"B: {given.output}", _png(given.b, least, most)),
        MapPicture(f"difference, up to {apart.max():.3g}", _png(apart, 0.0, float(apart.max()))),
    ]


def _png(values: NDArray[np.float32], least: float, most: float) -> str:
    scaled = np.clip((values - least) / max(most - least, 1e-12), 0.0, 1.0)
    coloured = cv2.applyColorMap((255.0 * scaled).astype(np.uint8), cv2.COLORMAP_VIRIDIS)
    _, data = cv2.imencode(".png", coloured)
    return base64.b64encode(data.tobytes()).decode("ascii")
