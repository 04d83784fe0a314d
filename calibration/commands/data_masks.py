"""The verb `data masks`: options and printing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from calibration.dataset.checks.inspection import plural
from calibration.dataset.polygon_masks.write import MaskSet, write_mask_set
from calibration.dataset.readers.formats import OUTLINED
from calibration.dataset.records.ground_truth import IGNORED
from edge.commands.options import JsonOption
from edge.progress import progress_bar
from edge.terminal import echo, new_console

NOT_JUDGED = "none"
"""The option's word for a background that is not judged."""


def data_masks(
    data: Annotated[str, typer.Argument(metavar="DATASET", help="folder, file or URL")],
    *,
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="a new or empty folder")],
    format_: Annotated[
        str | None,
        typer.Option("--format", help=f"{', '.join(OUTLINED)}; recognised when not given"),
    ] = None,
    background: Annotated[
        str,
        typer.Option(
            "--background",
            help=f"label of pixels that no outline covers; {NOT_JUDGED}: they are not judged",
        ),
    ] = "background",
    as_json: JsonOption = False,
) -> None:
    """Draw polygons as masks: a new data set that segmentation networks are judged by.

    Smaller objects lie over larger ones; what is not to be judged becomes 255.
    """
    label = background.strip()
    with progress_bar() as advance:
        written = write_mask_set(
            data,
            out,
            format_name=format_,
            background=None if label in ("", NOT_JUDGED) else label,
            progress=advance,
        )
    if as_json:
        echo(json.dumps({"folder": str(out), **facts(written)}, indent=1))
        return
    console = new_console(soft_wrap=True)
    console.print(_table(written))
    for line in _notes(written):
        console.print(line)
    console.print(f"{out}  {plural(written.pictures, 'picture')} with masks")


def facts(written: MaskSet) -> dict[str, object]:
    """The counts of a mask set for `--json`."""
    return {
        "pictures": written.pictures,
        "unlabelled": written.unlabelled,
        "labels": {
            label: {
                "id": number,
                "outlines": written.objects.get(label, 0),
                "pixels": int(written.pixels[number]),
            }
            for label, number in written.ids.items()
        },
        "ignored": {"regions": written.ignored, "pixels": int(written.pixels[IGNORED])},
        "beyond": written.beyond,
        "without_pixels": written.without_pixels,
        "hidden": written.hidden,
    }


def _table(written: MaskSet) -> Table:
    table = Table("id", "label", "outlines", "pixels")
    every = max(1, int(written.pixels.sum()))
    rows = [(label, number, written.objects.get(label, 0)) for label, number in written.ids.items()]
    for label, number, count in [*rows, ("not judged", IGNORED, written.ignored)]:
        share = f"{100 * int(written.pixels[number]) / every:.1f} %"
        table.add_row(str(number), label, str(count), share)
    return table


def _notes(written: MaskSet) -> list[str]:
    """Counts of outlines that are not whole in the masks, in sentences."""
    notes = (
        (written.beyond, "outline", "reached beyond the picture and was cut"),
        (written.without_pixels, "outline", "too thin to cover the centre of a pixel"),
        (written.hidden, "outline", "hidden under smaller ones"),
        (written.unlabelled, "picture", "without labels left out"),
    )
    return [f"{plural(count, thing)}: {what}" for count, thing, what in notes if count]
