"""Prints the gates of a conversion and what to try next; exits 1 when one failed."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from converters.report.page.advice import Advice
from converters.report.report import PAGE, Report
from edge.terminal import styled
from firmware_bridge.errors import GateFailed

VERDICTS = {
    True: styled(("passed", "green")),
    False: styled(("failed", "bold red")),
    None: styled(("not gated", "dim")),
}
"""Words for `GateResult.passed`."""


@dataclass(frozen=True)
class Given:
    """The arguments of a verb, from which further commands are written.

    Attributes:
        settings: of `--set`, KEY=VALUE each.
        parent: the conversion that was fine-tuned, where one was.
    """

    mission: Path
    out: Path
    settings: Sequence[str] = field(default=())
    parent: Path | None = None

    def command(self, advised: str) -> str:
        """An advised command with paths for its placeholders, and the settings that were given
        except those that it sets anew."""
        places = {
            "MISSION": str(self.mission),
            "DIR": str(self.out),
            "ANOTHER": f"{self.out}-tuned",
            "PARENT": "PARENT" if self.parent is None else str(self.parent),
        }
        words, anew = list[str](), list[str]()
        tokens = iter(shlex.split(advised))
        for token in tokens:
            if token == "--set":
                anew.append(next(tokens))
            else:
                words.append(places.get(token, token))
        keys = {one.partition("=")[0] for one in anew}
        kept = [one for one in self.settings if one.partition("=")[0] not in keys]
        return shlex.join([*words, *(part for one in (*kept, *anew) for part in ("--set", one))])


def show_advice(console: Console, report: Report, given: Given) -> None:
    """What to do about failed gates, the first to try first; nothing where all hold."""
    if not report.advice:
        return
    console.print("what to try next, most useful first:")
    for number, one in enumerate(report.advice, start=1):
        console.print(f"  {number}. {one.text}", soft_wrap=True)
        if one.command:
            console.print(f"     {given.command(one.command)}", soft_wrap=True)


def require_passed(report: Report, given: Given) -> None:
    """Nothing where every gate of the conversion holds.

    Raises:
        GateFailed: one does not.
    """
    if failed := [gate for gate in report.gates if gate.passed is False]:
        raise GateFailed(
            f"{report.mission}: {report.gate_count.words}",
            expected="; ".join(f"{gate.name} {gate.limit_text}" for gate in failed),
            found="; ".join(gate.sentence for gate in failed),
            remedy=f"{_try(report.advice, given)}; see {given.out / PAGE}: all files are written, "
            "and `brakepoint run` refuses a model whose gates failed",
        )


def _try(advice: Sequence[Advice], given: Given) -> str:
    """The first command that is advised, or the first advice where none is a command."""
    commands = [given.command(one.command) for one in advice if one.command]
    return f"try next: {commands[0]}" if commands else advice[0].text.rstrip(".")
