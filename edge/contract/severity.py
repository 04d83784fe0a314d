"""The severities of findings in their one order, for every verb that lists findings."""

from __future__ import annotations

from typing import Literal

Severity = Literal["note", "warning", "error"]
SEVERITIES: tuple[Severity, ...] = ("note", "warning", "error")
"""Later means worse."""
