"""The verbs `data lock`, `data check`, `data diff` and `data split`: options and printing."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from calibration.dataset.checks.inspection import inspect_dataset, plural
from calibration.dataset.checks.page import page_of
from calibration.dataset.checks.table import CHECKS, Finding, findings
from calibration.dataset.lock.diff import (
    Difference,
    condition_counts,
    difference,
    label_counts,
)
from calibration.dataset.lock.lock import Lock, lock_dataset, read_lock, write_lock
from calibration.dataset.readers.formats import READERS
from calibration.dataset.splits.divide import STRATA, Division, divide, write_division
from edge.commands.options import JsonOption
from edge.contract.artifact import write_atomic
from edge.progress import progress_bar
from edge.terminal import echo, new_console
from firmware_bridge.errors import GateFailed, UsageError

FormatOption = Annotated[
    str | None,
    typer.Option("--format", help=f"one of: {', '.join(READERS)}; recognised when not given"),
]
FpsOption = Annotated[float, typer.Option("--fps", help="frames a second taken from videos")]
LicenceOption = Annotated[
    str | None, typer.Option("--licence", help="of the data; else what the data set says of it")
]


def data_lock(
    root: Annotated[str, typer.Argument(help="folder, file or URL (s3://, memory://, file://)")],
    *,
    format_: FormatOption = None,
    out: Annotated[Path, typer.Option("--out", metavar="FILE")] = Path("dataset.lock.json"),
    fps: FpsOption = 1.0,
    licence: LicenceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write dataset.lock.json: every record with its digest; their digest is the data version."""
    check_rate(fps)
    with progress_bar() as advance:
        lock = lock_dataset(root, format_name=format_, fps=fps, licence=licence, progress=advance)
    write_lock(out, lock)
    if as_json:
        echo(json.dumps({"lock": str(out), **summary(lock)}, indent=1))
        return
    facts = summary(lock)
    console = new_console(soft_wrap=True)
    console.print(f"{out}  {len(lock.records)} records, {facts['groups']} groups, {lock.format}")
    console.print(f"version  {lock.version}")
    if lock.licence is None:
        console.print("licence  none stated: name it with --licence")


def data_check(
    data: Annotated[str, typer.Argument(help="folder, file or URL; or a dataset.lock.json")],
    *,
    format_: FormatOption = None,
    fps: FpsOption = 1.0,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="write a page with pictures")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Look at every picture and label; exit 1 when one of the findings is an error."""
    check_rate(fps)
    with progress_bar() as advance:
        examined = inspect_dataset(data, format_name=format_, fps=fps, progress=advance)
        found = findings(examined)
    if html is not None:
        write_atomic(html, page_of(examined, found).encode("utf-8", "replace"))
    if as_json:
        rows = [dataclasses.asdict(finding) for finding in found]
        echo(json.dumps({"records": len(examined.records), "findings": rows}, indent=1))
    else:
        _print_findings(found, records=len(examined.records))
        if html is not None:
            echo(str(html))
    if errors := [finding for finding in found if finding.severity == "error"]:
        raise GateFailed(
            f"{data} has {plural(len(errors), 'error')}",
            expected="a data set without any",
            found="; ".join(finding.sentence for finding in errors),
            remedy="; ".join(dict.fromkeys(finding.remedy for finding in errors)),
        )


def data_diff(
    before: Annotated[Path, typer.Argument(metavar="A", help="a dataset.lock.json")],
    after: Annotated[Path, typer.Argument(metavar="B", help="another one")],
    *,
    as_json: JsonOption = False,
) -> None:
    """Show what changed from lock A to lock B; exit 1 when they are not the same data."""
    found = difference(read_lock(before), read_lock(after))
    if as_json:
        echo(json.dumps({"same": found.same, **dataclasses.asdict(found)}, indent=1))
    else:
        _print_difference(found)
    raise typer.Exit(0 if found.same else 1)


def data_split(
    lock: Annotated[Path, typer.Argument(metavar="LOCK", help="a dataset.lock.json")],
    *,
    parts: Annotated[
        str, typer.Option("--parts", help="names and shares")
    ] = "train=70,val=15,test=15",
    folds: Annotated[int | None, typer.Option("--folds", help="equal folds instead")] = None,
    by: Annotated[
        str, typer.Option("--by", help=f"spread evenly: some of {', '.join(STRATA)}")
    ] = "label,weather",
    seed: Annotated[int, typer.Option("--seed", min=0, help="another seed, another split")] = 0,
    out: Annotated[Path, typer.Option("--out", metavar="FILE")] = Path("dataset.split.json"),
    as_json: JsonOption = False,
) -> None:
    """Part a locked data set by whole drives or tracks, classes and conditions spread evenly."""
    shares = _shares(parts) if folds is None else _folds(folds)
    named = [word.strip() for word in by.split(",") if word.strip()]
    division = divide(read_lock(lock), shares, seed=seed, by=named)
    write_division(out, division)
    if as_json:
        echo(json.dumps({"split": str(out), **dataclasses.asdict(division)}, indent=1))
    else:
        _print_division(division)
        echo(str(out))


def _shares(text: str) -> dict[str, float]:
    """Parses "train=70,val=30"."""
    found: dict[str, float] = {}
    for word in text.split(","):
        name, _, share = word.partition("=")
        try:
            found[name.strip()] = float(share)
        except ValueError:
            found = {}
            break
    if not found or len(found) < len(text.split(",")) or "" in found:
        raise UsageError(
            f"--parts {text} cannot be meant",
            expected="names with shares, for example train=70,val=15,test=15",
            found=text,
            remedy="correct it",
        )
    return found


def _folds(count: int) -> dict[str, float]:
    if count < 2:
        raise UsageError(
            f"{count} folds cannot be made",
            expected="2 or more",
            found=str(count),
            remedy="ask for 2 or more folds",
        )
    return {f"fold {number}": 1.0 for number in range(1, count + 1)}


def check_rate(fps: float) -> None:
    """Refuses a rate that samples nothing."""
    if not 0.0 < fps <= 1000.0:
        raise UsageError(
            f"--fps {fps:g} cannot be meant",
            expected="more than 0 and at most 1000 frames a second",
            found=f"{fps:g}",
            remedy="for example --fps 5",
        )


def summary(lock: Lock) -> dict[str, object]:
    """A lock in short, for people and for `--json`."""
    return {
        "version": lock.version,
        "source": lock.source,
        "format": lock.format,
        "licence": lock.licence,
        "records": len(lock.records),
        "groups": len({record.group for record in lock.records}),
        "bytes": sum(file.size_bytes for file in lock.files)
        + sum(record.size_bytes for record in lock.records if record.row is None),
        "labels": dict(sorted(label_counts(lock).items())),
        "conditions": dict(sorted(condition_counts(lock).items())),
    }


def _print_difference(found: Difference) -> None:
    console = new_console(soft_wrap=True)
    if found.same:
        console.print(f"the same data, version {found.before}")
        return
    console.print(f"from version {found.before}\nto version   {found.after}")
    for word in ("added", "removed", "changed", "relabelled"):
        names = getattr(found, word)
        if names:
            console.print(f"{word}: {len(names)}")
            for name in names[:20]:
                console.print(f"  {name}")
            if len(names) > 20:
                console.print(f"  and {len(names) - 20} more: --json lists all")
    if found.licence[0] != found.licence[1]:
        console.print(f"licence: {found.licence[0]} -> {found.licence[1]}")
    rows = {**found.labels, **found.conditions}
    if rows:
        table = Table("label or condition", "before", "after")
        for word, (old, new) in rows.items():
            table.add_row(word, str(old), str(new))
        console.print(table)


def _print_findings(found: list[Finding], *, records: int) -> None:
    console = new_console(soft_wrap=True)
    colours = {"error": "bold red", "warning": "yellow", "note": "dim"}
    for finding in found:
        console.print(finding.severity, style=colours[finding.severity], end="")
        console.print(f"  {finding.check}: {finding.sentence}")
        for line in finding.about[:3]:
            console.print(f"    {line}")
        if len(finding.about) > 3:
            console.print(f"    and {len(finding.about) - 3} more: --json lists all")
    console.print(f"{records} records, {len(CHECKS)} checks, {len(found)} findings")


def _print_division(division: Division) -> None:
    table = Table("part", "records", "groups", "share", "asked", "furthest off")
    for name, part in division.parts.items():
        worst = "" if part.worst is None else f"{part.worst[0]}: {100 * part.worst[1]:.0f} %"
        table.add_row(
            name,
            str(len(part.records)),
            str(part.groups),
            f"{100 * part.share:.1f} %",
            f"{100 * part.wanted:.1f} %",
            worst,
        )
    new_console().print(table)
