"""Verb `compare`: two evaluations, or two ONNX files on frames without labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from calibration.commands.compare import compare_verb as compare_evaluations
from calibration.dataset.frames.images import image_frames
from converters.report.page.compare_page import render_comparison
from converters.report.page.worst_frames import pictures_of
from converters.verification.comparison.any_network import feeds_of, open_network, require_same
from converters.verification.comparison.compare import compare_files, compare_for_mission
from converters.verification.comparison.result import FileComparison
from edge.commands.options import JsonOption, SetOption
from edge.contract.artifact import write_atomic
from edge.contract.mission.loading import load_mission
from edge.progress import progress_bar
from edge.terminal import echo, new_console
from firmware_bridge.errors import GateFailed, UsageError

THREADS = 2
"""Threads of a session where no mission sets them."""

COLORS = ("rgb", "bgr")

SHOWN = 5
"""Frames named on the terminal; the page and `--json` have more."""


def compare(
    first: Annotated[
        Path, typer.Argument(metavar="A", help="an evaluation (or folder of them), or an ONNX file")
    ],
    second: Annotated[Path | None, typer.Argument(metavar="B", help="another one")] = None,
    *,
    frames: Annotated[
        Path | None, typer.Option("--frames", metavar="FOLDER", help="pictures for two ONNX files")
    ] = None,
    mission: Annotated[
        Path | None,
        typer.Option("--mission", metavar="MISSION", help="feed and read both as it says"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE.html", help="worst frames side by side, as a page"),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(metavar="WxH", help="of the picture, where the files leave it open"),
    ] = None,
    color: Annotated[str, typer.Option(help="order of channels: rgb or bgr")] = "rgb",
    mean: Annotated[float | None, typer.Option(help="taken from every pixel, 0..255")] = None,
    std: Annotated[float | None, typer.Option(help="by which it is then divided")] = None,
    max_loss: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="largest loss allowed, 0..1"),
    ] = None,
    set_: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Hold B against A: two evaluations, or two ONNX files on the pictures of --frames.

    Exit 1 when B loses more than --max-loss.
    """
    files = [one for one in (first, second) if one is not None and _is_network(one)]
    if not files and frames is None:
        compare_evaluations(first, second, max_loss=max_loss, as_json=as_json)
        return
    if second is None or frames is None or (files and len(files) < 2):
        given = " ".join(str(one) for one in (first, second) if one is not None)
        raise UsageError(
            "two ONNX files are compared on pictures",
            expected="two ONNX files and a folder of pictures",
            found=given + ("" if frames is not None else " without --frames"),
            remedy="brakepoint compare A.onnx B.onnx --frames FOLDER; evaluations are compared "
            "with brakepoint compare A.json B.json",
        )
    if max_loss is not None and mission is None:
        raise UsageError(
            "what B loses of A's answers is not known without a mission",
            expected="--mission beside --max-loss",
            found="raw outputs",
            remedy="say how outputs are read: --mission MISSION",
        )
    loaded = None if mission is None else load_mission(mission, set_ or [])
    threads = THREADS if loaded is None else loaded.target.threads
    asked = _size(size)
    if loaded is not None:
        asked = (loaded.model.input.width_px, loaded.model.input.height_px)
    a, b = (open_network(path, threads=threads, size=asked) for path in (first, second))
    pictures = image_frames(frames, table=None, group=None)
    with progress_bar() as advance:
        if loaded is None:
            require_same(a, b)
            feeds = feeds_of(a, b, size=asked, color=_color(color), mean=mean, std=std)
            found = compare_files(a, b, pictures, feeds, progress=advance)
        else:
            found = compare_for_mission(a, b, pictures, loaded, progress=advance)
        if out is not None:
            page = render_comparison(found, pictures_of(pictures, _shown(found)))
            write_atomic(out, page)
    if as_json:
        echo(json.dumps(found.to_json(), indent=1, allow_nan=False))
    else:
        _show(found, out)
    if max_loss is not None:
        _demand(found, max_loss)


def _shown(found: FileComparison) -> set[str]:
    """Names of the frames on the page."""
    lost = (frame for one in found.evaluations.values() for frame in one["worst_frames"])
    return {one.name for one in found.worst} | {frame["name"] for frame in lost}


def _is_network(path: Path) -> bool:
    return path.suffix.lower() == ".onnx"


def _size(given: str | None) -> tuple[int, int] | None:
    if given is None:
        return None
    wide, cross, high = given.lower().partition("x")
    if cross and wide.isdecimal() and high.isdecimal() and int(wide) > 0 and int(high) > 0:
        return int(wide), int(high)
    raise UsageError(
        "--size is no size",
        expected="width and height in pixels, such as 640x384",
        found=given,
        remedy="--size 640x384",
    )


def _color(given: str) -> str:
    if given not in COLORS:
        raise UsageError(
            "no such order of channels",
            expected=", ".join(COLORS),
            found=given,
            remedy="--color rgb",
        )
    return given


def _show(found: FileComparison, out: Path | None) -> None:
    console = new_console()
    console.print(f"B: {found.second}\nagainst A: {found.first}", soft_wrap=True)
    console.print(f"{found.frames} frames, {found.fed}", soft_wrap=True)
    table = Table("output", "largest difference", "dB", "same largest value")
    for one in found.outputs:
        ratio = "equal" if one.snr_db is None else f"{one.snr_db:.1f}"
        same = "" if one.same_top is None else f"{one.same_top:.1%}"
        table.add_row(Text(one.name), f"{one.max_abs:.4g}", ratio, same)
    console.print(table)
    for name, kept in found.kept.items():
        if kept.share is None:
            console.print(f"{name}: A gives no answer, so what B keeps is not known")
            continue
        interval = f"95 % {kept.low:.1%} to {kept.high:.1%}"
        iou = interval if kept.mean_iou is None else f"mean IoU {kept.mean_iou:.3f}"
        console.print(f"{name}: B keeps {kept.found} of A's {kept.of} ({kept.share:.1%}; {iou})")
    for frame in found.worst[:SHOWN]:
        apart = ", ".join(f"{name} {ratio:.3g}" for name, ratio in frame.apart.items())
        console.print(f"  {frame.name}: noise by signal {apart}", soft_wrap=True)
    if not found.worst:
        console.print("all outputs are equal in every bit")
    if out is not None:
        console.print(f"the page  {out}", soft_wrap=True)


def _demand(found: FileComparison, max_loss: float) -> None:
    """Raises GateFailed where a head keeps less; what cannot be known fails."""
    for name, kept in found.kept.items():
        share = kept.share if kept.mean_iou is None else kept.mean_iou
        if share is None or 1.0 - share > max_loss:
            raise GateFailed(
                f"{found.second} loses too much of {found.first}",
                expected=f"{name}: at most {max_loss:.1%} lost",
                found="A gives no answer" if share is None else f"{1.0 - share:.1%} lost",
                remedy="look at the worst frames: --out FILE.html",
            )
