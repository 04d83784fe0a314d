"""The link's deadlines as one frozen dataclass."""

from __future__ import annotations

from dataclasses import dataclass

_DEAF_AT_LEAST_MS = 500


@dataclass(frozen=True, kw_only=True)
class LinkTimes:
    """Deadlines in milliseconds on the host's clock, and the tolerated share of late commands.

    Attributes:
        hello_period_ms: between two greetings.
        acknowledge_ms: a command acknowledged later than this is late, and stays late when its
            acknowledge does come. The mission's `link.acknowledge_within_ms` (docs/mission.md).
        late_share_max: share of the last 50 commands that may be late; `link.late_share_max`.
        silence_ms: after so long without a valid frame, the link is down and greets anew.
        report_max_age_ms: an older Status or VehicleState no longer counts as known.
    """

    hello_period_ms: int = 100
    acknowledge_ms: int = 100
    late_share_max: float = 0.2
    silence_ms: int = 500
    report_max_age_ms: int = 300

    @property
    def deaf_ms(self) -> int:
        """After so long without any acknowledge, the session begins anew."""
        return max(_DEAF_AT_LEAST_MS, 2 * self.acknowledge_ms)
