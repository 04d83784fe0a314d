"""One rule over time: confirm k of n perceived frames, hold, clear as it says. Pure.

Never clears on what was not seen: an Unknown frame, and one that does not tell what the rule asks,
neither confirms nor clears anything, and what was seen before it is no sign that the road is clear.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from edge.contract.mission.policy_checks import STOPS
from edge.contract.mission.sections.policy import Rule
from firmware_bridge.protocol.messages import Action


@dataclass(frozen=True)
class RuleState:
    """What a rule remembers.

    Attributes:
        window: for each of the last `confirm.of` frames that told, whether it matched; those from
            before a gap in perception still confirm.
        active: the rule demands its action.
        last_match_ns: capture time of the last frame that matched.
        looked: frames that told since the last gap, `confirm.of` at most. A gap is an Unknown
            frame, a camera that went away, frames captured too far apart, and for a rule that stops
            the vehicle a frame that does not tell.
        told: the newest frame told, so that the last entry of `window` is of its moment.
    """

    window: tuple[bool, ...] = ()
    active: bool = False
    last_match_ns: int | None = None
    looked: int = 0
    told: bool = False

    def saw(self, rule: Rule, *, matched: bool | None, captured_ns: int) -> RuleState:
        """After one more perceived frame; `matched` None: the frame does not tell."""
        if matched is None:
            return replace(self, looked=self._looked_in_doubt(rule), told=False)
        window = (*self.window, matched)[-rule.confirm.of :]
        return RuleState(
            window=window,
            active=self.active or sum(window) >= rule.confirm.k,
            last_match_ns=captured_ns if matched else self.last_match_ns,
            looked=min(self.looked + 1, rule.confirm.of),
            told=True,
        )

    def _looked_in_doubt(self, rule: Rule) -> int:
        """`looked` after a frame that does not tell: a gap of what may stop the vehicle; and a rule
        that only notifies holds up nobody for a scene that the network cannot name."""
        action = Action[rule.action]
        if action is Action.NOTIFY:
            return min(self.looked + 1, rule.confirm.of)
        return 0 if action in STOPS else self.looked

    def saw_again(self, rule: Rule, *, matched: bool | None, captured_ns: int) -> RuleState:
        """After another frame of the moment of the last one: only a match in it is news."""
        if not matched:
            return self
        before = replace(self, window=self.window[:-1] if self.told else self.window)
        after = before.saw(rule, matched=True, captured_ns=captured_ns)
        return replace(after, looked=self.looked)

    def lost_sight(self) -> RuleState:
        """After a gap in perception."""
        return replace(self, looked=0)

    def gone(self, rule: Rule) -> bool:
        """The whole confirm window was looked at without a gap and holds no match."""
        return self.looked == rule.confirm.of and not any(self.window)

    def lets_go(self, rule: Rule) -> bool:
        """Whether this rule has seen enough for a stop to be released: its whole window, and where
        it would stop the vehicle again no match in it."""
        if Action[rule.action] in STOPS:
            return self.gone(rule)
        return self.looked == rule.confirm.of

    def cleared(
        self, rule: Rule, *, now_ns: int, known: bool, standstill: bool, operator: bool
    ) -> RuleState:
        """Not active any more, if the rule's own conditions for that hold now."""
        if not self.active or rule.clear == "never":
            return self
        held = self.last_match_ns is not None and (
            now_ns - self.last_match_ns < rule.hold_ms * 1_000_000
        )
        gone = known and self.gone(rule)
        stands = standstill or rule.clear == "when_gone"
        asked = operator or rule.clear != "operator"
        if held or not (gone and stands and asked):
            return self
        return replace(self, active=False)
