"""One rule over time: confirm k of n perceived frames, hold, clear as it says. Pure.

Never clears on what was not seen: an Unknown frame neither confirms nor clears anything.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from edge.contract.sections.policy import Rule


@dataclass(frozen=True)
class RuleState:
    """What a rule remembers.

    Attributes:
        window: for each of the last `confirm.of` perceived frames, whether it matched.
        active: the rule demands its action.
        last_match_ns: capture time of the last frame that matched.
    """

    window: tuple[bool, ...] = ()
    active: bool = False
    last_match_ns: int | None = None

    def saw(self, rule: Rule, *, matched: bool, captured_ns: int) -> RuleState:
        """After one more perceived frame."""
        window = (*self.window, matched)[-rule.confirm.of :]
        return RuleState(
            window=window,
            active=self.active or sum(window) >= rule.confirm.k,
            last_match_ns=captured_ns if matched else self.last_match_ns,
        )

    def cleared(
        self, rule: Rule, *, now_ns: int, known: bool, standstill: bool, operator: bool
    ) -> RuleState:
        """Not active any more, if the rule's own conditions for that hold now."""
        if not self.active or rule.clear == "never":
            return self
        held = self.last_match_ns is not None and (
            now_ns - self.last_match_ns < rule.hold_ms * 1_000_000
        )
        gone = known and len(self.window) == rule.confirm.of and not any(self.window)
        stands = standstill or rule.clear == "when_gone"
        asked = operator or rule.clear != "operator"
        if held or not (gone and stands and asked):
            return self
        return replace(self, active=False)
