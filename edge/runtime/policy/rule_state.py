"""One rule over time: confirm k of n perceived frames, hold, clear.

In: for each frame, whether the rule matches, or None where the frame does not tell what the rule
asks (an inconclusive frame). Out: the rule's state after it, as a new value. Pure. An Unknown frame
and an inconclusive one neither confirm nor clear; frames from before a gap never prove that the
road is clear.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from edge.contract.mission.checks.policy_checks import STOPS
from edge.contract.mission.sections.policy import Rule
from firmware_bridge.protocol.messages import Action


@dataclass(frozen=True)
class RuleState:
    """One rule's state.

    Attributes:
        window: for each of the last `confirm.of` conclusive frames, whether it matched; those from
            before a gap in perception still confirm.
        active: the rule demands its action.
        last_match_ns: capture time of the last frame that matched.
        conclusive_since_gap: conclusive frames since the last gap, `confirm.of` at most. A gap is
            an Unknown frame, a turn without camera, frames captured too far apart, and for a rule
            that stops the vehicle an inconclusive frame (R-RUN-14, R-RUN-23).
        newest_conclusive: the newest frame is conclusive, so the last entry of `window` is of its
            moment.
    """

    window: tuple[bool, ...] = ()
    active: bool = False
    last_match_ns: int | None = None
    conclusive_since_gap: int = 0
    newest_conclusive: bool = False

    def after_frame(self, rule: Rule, *, matched: bool | None, captured_ns: int) -> RuleState:
        """The state after one more perceived frame; `matched` None: an inconclusive one."""
        if matched is None:
            return replace(
                self,
                conclusive_since_gap=self._count_after_inconclusive(rule),
                newest_conclusive=False,
            )
        window = (*self.window, matched)[-rule.confirm.of :]
        return RuleState(
            window=window,
            active=self.active or sum(window) >= rule.confirm.k,
            last_match_ns=captured_ns if matched else self.last_match_ns,
            conclusive_since_gap=min(self.conclusive_since_gap + 1, rule.confirm.of),
            newest_conclusive=True,
        )

    def _count_after_inconclusive(self, rule: Rule) -> int:
        """`conclusive_since_gap` after an inconclusive frame. For a rule that stops the vehicle the
        frame is a gap; for one that only notifies it counts, so that a scene which the network
        cannot name delays no release."""
        action = Action[rule.action]
        if action is Action.NOTIFY:
            return min(self.conclusive_since_gap + 1, rule.confirm.of)
        return 0 if action in STOPS else self.conclusive_since_gap

    def after_repeat(self, rule: Rule, *, matched: bool | None, captured_ns: int) -> RuleState:
        """The state after another frame of the same moment as the last one: only a match in it
        changes anything (R-RUN-11)."""
        if not matched:
            return self
        before = replace(self, window=self.window[:-1] if self.newest_conclusive else self.window)
        after = before.after_frame(rule, matched=True, captured_ns=captured_ns)
        return replace(after, conclusive_since_gap=self.conclusive_since_gap)

    def after_gap(self) -> RuleState:
        """The state after a gap in perception."""
        return replace(self, conclusive_since_gap=0)

    def gone(self, rule: Rule) -> bool:
        """Whether the confirm window is full without a gap and holds no match."""
        return self.conclusive_since_gap == rule.confirm.of and not any(self.window)

    def permits_release(self, rule: Rule) -> bool:
        """Whether this rule lets a stop be released: its confirm window is full without a gap, and
        where the rule stops the vehicle, holds no match."""
        if Action[rule.action] in STOPS:
            return self.gone(rule)
        return self.conclusive_since_gap == rule.confirm.of

    def cleared(
        self, rule: Rule, *, now_ns: int, known: bool, standstill: bool, operator: bool
    ) -> RuleState:
        """The state with `active` cleared where the rule's conditions for that hold now.

        Args:
            rule: the rule of this state.
            now_ns: monotonic time of the turn.
            known: perception is KNOWN.
            standstill: the microcontroller reports standstill.
            operator: the operator requests release.
        """
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
