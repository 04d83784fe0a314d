"""How many gates a conversion was judged by: one count for the terminal, the report, its page, the
refusal and the records. A gate without a limit is none of them.
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
        """Of what each gate says: passed, failed, or None where the mission gives no limit."""
        told = list(verdicts)
        judged = [one for one in told if one is not None]
        return cls(len(judged), judged.count(False), len(told) - len(judged))

    @property
    def words(self) -> str:
        """ "3 of 3 gates hold", "1 of 3 gates failed", "no gate"."""
        if not self.judged:
            return "no gate"
        if self.failed:
            return f"{self.failed} of {self.judged} gates failed"
        return f"{self.judged} of {self.judged} gates hold"
