"""How bad a finding is: the one order of severities, for every verb that lists findings."""

from __future__ import annotations

from typing import Literal

Severity = Literal["note", "warning", "error"]
SEVERITIES: tuple[Severity, ...] = ("note", "warning", "error")
"""Later means worse."""
