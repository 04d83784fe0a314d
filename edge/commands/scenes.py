"""Verb `scenes`: write a generated road clip, or labelled stills as a data set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from edge.perception.conditions import LIGHTS, ROADS, WEATHERS, Conditions
from edge.perception.opencv import quiet_opencv
from edge.progress import progress_bar
from edge.scenes.clips import write_clip
from edge.scenes.dataset import FORMATS, write_dataset
from edge.scenes.painting.atmosphere import with_defaults
from edge.scenes.stories import FPS, STORIES
from edge.terminal import echo
from firmware_bridge.errors import UsageError


def scenes(
    path: Annotated[Path, typer.Argument(help="the clip to write (.mp4), or a folder for stills")],
    *,
    story: Annotated[
        str | None,
        typer.Option("--story", help=f"one of: {', '.join(STORIES)}; pedestrian_steps_out if none"),
    ] = None,
    stills: Annotated[
        int | None, typer.Option("--stills", min=1, max=100_000, help="how many, into a folder")
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", min=0, max=999, help="fixes everything that is left open")
    ] = 0,
    weather: Annotated[str | None, typer.Option(help=", ".join(WEATHERS))] = None,
    light: Annotated[str | None, typer.Option(help=", ".join(LIGHTS))] = None,
    road: Annotated[str | None, typer.Option(help=", ".join(ROADS))] = None,
    truth: Annotated[
        Path | None, typer.Option("--truth", help="with a clip: its boxes and distances as JSON")
    ] = None,
    format_: Annotated[
        str | None, typer.Option("--format", help=f"of stills: {', '.join(FORMATS)}; png if none")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print facts as JSON")] = False,
) -> None:
    """Write a generated clip, or with --stills a data set (COCO and CSV): same seed, same pixels.

    Conditions that are not given: a clip takes clear, day, city; stills draw them from the seed.
    """
    quiet_opencv()
    given = Conditions(
        _one_of(weather, WEATHERS, "--weather"),
        _one_of(light, LIGHTS, "--light"),
        _one_of(road, ROADS, "--road"),
    )
    if stills is not None:
        if story is not None or truth is not None:
            raise UsageError(
                "--stills writes a data set",
                expected="a clip (--story, --truth) or stills (--stills)",
                found="both",
                remedy="leave one out",
            )
        suffix = _one_of(format_, FORMATS, "--format") or "png"
        with progress_bar() as advance:
            objects = write_dataset(
                path, stills, seed=seed, conditions=given, suffix=suffix, progress=advance
            )
        facts: dict[str, Any] = {
            "folder": str(path), "stills": stills, "seed": seed, "objects": objects
        }  # fmt: skip
        found = ", ".join(f"{count} x {label}" for label, count in objects.items())
        echo(json.dumps(facts) if as_json else f"{path}  {stills} stills, {found}")
        return
    if format_ is not None:
        raise UsageError(
            "--format is of stills",
            expected="--stills N with it",
            found="a clip",
            remedy="leave it out: a clip is MPEG-4",
        )
    if truth is not None and truth.absolute() == path.absolute():
        raise UsageError(
            "the clip and its truth have one name",
            expected="two files",
            found=str(path),
            remedy="name the truth .json",
        )
    name = _one_of(story, tuple(STORIES), "--story") or "pedestrian_steps_out"
    with progress_bar() as advance:
        frames = write_clip(
            path, name, seed=seed, conditions=with_defaults(given), truth=truth, progress=advance
        )
    facts = {
        "clip": str(path), "story": name, "seed": seed, "frames": frames, "fps": FPS,
        "conditions": dict(with_defaults(given).__dict__), "truth": str(truth) if truth else None,
    }  # fmt: skip
    conditions = with_defaults(given)
    where = f"{conditions.weather}, {conditions.light}, {conditions.road}"
    text = f"{path}  {frames} frames, {frames / FPS:g} s, {name}, {where}"
    echo(json.dumps(facts) if as_json else text)


def _one_of(value: str | None, words: tuple[str, ...], option: str) -> str | None:
    if value is None or value in words:
        return value
    raise UsageError(
        f"no {option.removeprefix('--')} '{value}'",
        expected=", ".join(words),
        found=value,
        remedy=f"choose one of them for {option}",
    )
