"""Renders the page from a report and pictures: one file, no network, the same for the same input.

Every text that comes from outside (labels, names, the canvas) is escaped by the template engine;
nothing is marked safe but this project's own style sheet.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from converters.report.page.charts import layer_chart, range_chart
from converters.report.page.narrow_tables import with_column_titles
from converters.report.page.tables import (
    NAMES,
    OUTPUTS,
    confusion,
    coverage,
    frames_side_by_side,
    latency_rows,
    mask_key,
    matrix,
    stop_rows,
    training_rows,
    worst_first,
)
from converters.report.page.verdict import verdict_of
from converters.report.page.worst_frames import Picture

TEMPLATES = Path(__file__).parent / "templates"

MOST_LETTERS = 60
"""Of a setting that is shown."""


def render(document: Mapping[str, Any], pictures: Mapping[str, Picture]) -> bytes:
    """The page of a report.json, with the pictures of its worst frames by name."""
    page = (
        environment_of()
        .get_template("page.html.jinja")
        .render(
            report=document,
            css=Markup((TEMPLATES / "page.css").read_text(encoding="utf-8")),
            verdict=verdict_of(document),
            outputs=OUTPUTS,
            names=NAMES,
            limits={gate["name"]: gate["limit"] for gate in document["gates"]},
            evaluations={
                output: {
                    **evaluation,
                    "confusion": confusion(evaluation),
                    "by_class": worst_first(evaluation["by_class"]),
                    "mask_key": mask_key(evaluation),
                    "frames_shown": frames_side_by_side(evaluation, pictures),
                }
                for output, evaluation in document["evaluation"].items()
            },
            layers=layer_chart(document),
            ranges=range_chart(document),
            latency=latency_rows(document),
            matrix=matrix(document),
            stops=stop_rows(document),
            training=training_rows(document),
            coverage=coverage(document),
        )
    )
    # A file name may hold bytes that are no text.
    return with_column_titles(page).encode("utf-8", errors="replace")


def environment_of() -> Environment:
    """The templates of this folder, with this project's filters; every text is escaped."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        percent=percent,
        number=number,
        figure=figure,
        megabytes=megabytes,
        ms=milliseconds,
        short=short,
        value=value_in_words,
    )
    return environment


def percent(share: float | None, digits: int = 1) -> str:
    """0.8108 -> "81.1 %"; a dash where there is no share."""
    return "–" if share is None else f"{100 * share:.{digits}f} %"


def number(value: float | None, digits: int = 3) -> str:
    """A plain number; a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}f}"


def figure(value: float | int | None) -> str:
    """A count as it is, a share with three digits; nothing where there is none."""
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.3f}"


def megabytes(size: float) -> str:
    """Bytes -> "3.68 MB"."""
    return f"{size / 1e6:.2f} MB"


def milliseconds(value: float) -> str:
    """Milliseconds with as many digits as are worth reading."""
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def short(digest: str) -> str:
    """The first twelve digits of a sha256."""
    return digest[:12]


def value_in_words(value: Any) -> str:
    """A setting or figure of a record: numbers with four digits, digests short; a dash for none."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    text = str(value)
    is_digest = len(text) == 64 and set(text) <= set("0123456789abcdef")
    if is_digest:
        return short(text)
    return text if len(text) <= MOST_LETTERS else f"{text[:MOST_LETTERS]}…"
