"""How the verbs that convert show their gates, and end when one failed.

Judges nothing: the report has done that.
"""

from __future__ import annotations

from pathlib import Path

from converters.report import PAGE, Report
from firmware_bridge.errors import GateFailed

VERDICTS = {True: "[green]passed[/]", False: "[bold red]failed[/]", None: "[dim]not gated[/]"}
"""What `GateResult.passed` says, in the terminal's markup."""


def demand_passed(report: Report, out: Path) -> None:
    """Nothing where every gate of the conversion in `out` holds.

    Raises:
        GateFailed: one does not.
    """
    if failed := [gate for gate in report.gates if gate.passed is False]:
        raise GateFailed(
            f"{report.mission}: {len(failed)} of {len(report.gates)} gates failed",
            expected="; ".join(f"{gate.name} {gate.limit_text}" for gate in failed),
            found="; ".join(gate.sentence for gate in failed),
            remedy=f"see {out / PAGE}: all files are written, and `brakepoint run` "
            "refuses a model whose gates failed",
        )
