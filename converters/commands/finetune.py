"""Verb `finetune` on the command line: progress on stderr, the result on stdout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from converters.commands.gate_summary import VERDICTS, Given, require_passed, show_advice
from converters.finetuning.finetune import FinetuneReport
from converters.finetuning.finetune import finetune as finetune_mission
from converters.report.report import PAGE
from edge.commands.options import JsonOption, MissionArgument, SetOption
from edge.contract.mission.loading import load_mission
from edge.progress import progress_bar
from edge.terminal import echo, new_console


def finetune(
    mission: MissionArgument,
    *,
    from_: Annotated[Path, typer.Option("--from", metavar="DIR", help="a conversion")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="folder for the new one")],
    steps: Annotated[
        int | None, typer.Option("--steps", metavar="N", help="in place of finetune.steps")
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="start anew, even where one was cut off")
    ] = False,
    set_: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fit the weights to the INT8 of a conversion and convert anew; exit 1 when a gate fails.

    Goes on where a fine-tuning was cut off.
    """
    more = [] if steps is None else [f"finetune.steps={steps}"]
    loaded = load_mission(mission, [*(set_ or []), *more])
    with progress_bar() as advance:
        done = finetune_mission(loaded, from_, out, progress=advance, fresh=fresh)
    given = Given(mission, out, set_ or [], parent=from_)
    if as_json:
        echo(json.dumps(done.to_json(), indent=1))
    else:
        _print(done, given)
    require_passed(done.after, given)


def _print(done: FinetuneReport, given: Given) -> None:
    """Each gate before and after, and what the fine-tuning did on the frames it watched."""
    out = given.out
    console = new_console()
    was = {gate["name"]: gate for gate in done.before["gates"]}
    gates = Table(
        "gate",
        "limit",
        "before",
        "after",
        "",
        title=f"{done.after.gate_count.words} in {out}",
        title_justify="left",
    )
    for gate in done.after.gates:
        former = was.get(gate.name, {}).get("measured")
        gates.add_row(
            gate.name,
            gate.limit_text,
            _number(former),
            _number(gate.measured),
            VERDICTS[gate.passed],
        )
    console.print(gates)
    show_advice(console, done.after, given)
    facts: dict[str, Any] = done.facts
    frames, task_loss = facts["frames"], facts["task_loss"]
    resumed = f", taken up again at {list(done.resumed_at)}" if done.resumed_at else ""
    console.print(
        f"task loss on {frames['watched']} watched frames: {task_loss['before']:.4f} before, "
        f"{task_loss['after']:.4f} after (step {facts['best_step']} of {facts['steps']}, "
        f"{frames['fitted']} frames, {done.seconds:.0f} s{resumed})"
    )
    if not facts["best_step"]:
        console.print("no step did less task loss than the weights it began with: those were kept")
    if done.state["file"]:
        console.print(f"state dict {out / done.state['file']}", soft_wrap=True)
    else:
        console.print(f"no state dict: {done.state['why']}")
    console.print(f"the page  {out / PAGE}", soft_wrap=True)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
