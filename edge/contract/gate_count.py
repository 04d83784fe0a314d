"""Counts the gates of a conversion: with a limit, failed, and without a limit.

One count for the terminal, the report, its page, the refusal and the records.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class GateCount:
    """Gates with a limit, those of them that failed, and figures without a limit."""

    judged: int
    failed: int
    not_gated: int

    @classmethod
    def of(cls, verdicts: Iterable[bool | None]) -> GateCount:
        """The count of these verdicts: passed, failed, or None where the mission sets no limit."""
        verdict_list = list(verdicts)
        judged = [one for one in verdict_list if one is not None]
        return cls(len(judged), judged.count(False), len(verdict_list) - len(judged))

    @property
    def words(self) -> str:
        """ "3 of 3 gates hold", "1 of 3 gates failed", "no gate"."""
        if not self.judged:
            return "no gate"
        if self.failed:
            return f"{self.failed} of {self.judged} gates failed"
        return f"{self.judged} of {self.judged} gates hold"
