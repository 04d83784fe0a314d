"""The link's own deadlines, in one place. Values only."""

from __future__ import annotations

from dataclasses import dataclass

_DEAF_AT_LEAST_MS = 500


@dataclass(frozen=True, kw_only=True)
class LinkTimes:
    """Deadlines in milliseconds on the host's clock, and the share of late commands to bear.

    Attributes:
        hello_period_ms: between two greetings.
        acknowledge_ms: a command acknowledged later than this is late, and stays late when its
            acknowledge does come. The mission's `link.acknowledge_within_ms` (docs/mission.md).
        late_share_max: share of the last 50 commands that may be late; `link.late_share_max`.
        silence_ms: without a valid frame for so long, the link is down and greets anew.
        report_max_age_ms: what the microcontroller last said of itself and the vehicle is not
            known any more when it is older.
    """

    hello_period_ms: int = 100
    acknowledge_ms: int = 100
    late_share_max: float = 0.2
    silence_ms: int = 500
    report_max_age_ms: int = 300

    @property
    def deaf_ms(self) -> int:
        """Without any acknowledge for so long, the session begins anew."""
        return max(_DEAF_AT_LEAST_MS, 2 * self.acknowledge_ms)
