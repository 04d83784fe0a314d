"""Verb `scenes`: write a generated road clip."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge.progress import progress_bar
from edge.scenes.stories import FPS, STORIES, write_clip
from firmware_bridge.errors import UsageError


def scenes(
    path: Annotated[Path, typer.Argument(help="the clip to write (.mp4)")],
    *,
    story: Annotated[
        str, typer.Option("--story", help=f"one of: {', '.join(STORIES)}")
    ] = "pedestrian_steps_out",
    seed: Annotated[int, typer.Option("--seed", help="fixes colours, light and clutter")] = 0,
) -> None:
    """Write a generated road clip: same story and seed, same pixels."""
    if story not in STORIES:
        raise UsageError(
            f"no story '{story}'",
            expected=", ".join(STORIES),
            found=story,
            remedy="choose one of them",
        )
    with progress_bar() as advance:
        frames = write_clip(path, story, seed=seed, progress=advance)
    typer.echo(f"{path}  {frames} frames, {frames / FPS:g} s, {story}")
