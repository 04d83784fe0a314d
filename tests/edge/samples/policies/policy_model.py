"""A reference model of decisions, written from the numbered requirements of docs/runtime.md alone.

It keeps the whole history and evaluates it anew at every turn, where the policy keeps a bounded
state. It shares only inputs with edge/runtime/policy/policy.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from edge.runtime.policy.facts import Facts
from edge.runtime.policy.settings import PolicySettings
from firmware_bridge.protocol.limits import LIMITS
from firmware_bridge.protocol.messages import Action

MS = 1_000_000
GAP, DOUBT, TOLD = "gap", "doubt", "told"


@dataclass(frozen=True)
class Expected:
    """The whole command, and the verdict of the heartbeat."""

    action: Action
    speed_ceiling_mps: float
    deceleration_mps2: float
    release: bool
    known: bool


@dataclass(frozen=True)
class Wish:
    """What one rule or failure asks for."""

    action: Action
    braking_mps2: float
    ceiling_mps: float = 60.0


@dataclass
class StrictModel:
    """Feed it every turn's facts, and of a perceived frame whether each rule matches in it."""

    settings: PolicySettings
    sight: list[list[str]] = field(default_factory=list)
    bits: list[list[bool]] = field(default_factory=list)
    fired: list[bool] = field(default_factory=list)
    matched_ns: list[int] = field(default_factory=list)
    perceived_ns: list[int] = field(default_factory=list)
    moment_told: list[bool] = field(default_factory=list)
    captured_ns: list[int] = field(default_factory=list)
    unknown: list[bool] = field(default_factory=list)
    late: list[bool] = field(default_factory=list)
    too_old: list[tuple[int, bool]] = field(default_factory=list)
    held: Wish | None = None

    def __post_init__(self) -> None:
        count = len(self.settings.policy.rules)
        self.sight = [[] for _ in range(count)]
        self.bits = [[] for _ in range(count)]
        self.fired = [False] * count
        self.moment_told = [False] * count
        self.matched_ns = [-(10**18)] * count
        self.held = self._stop()

    def turn(self, now_ns: int, facts: Facts, matches: Sequence[bool | None]) -> Expected:
        """The command after this turn; `matches` counts only where the turn has a frame."""
        self._hear(now_ns, facts, matches)
        age_ns = now_ns - self.perceived_ns[-1] if self.perceived_ns else None
        known = (
            age_ns is not None
            and age_ns < self.settings.unknown_after_ns
            and not (self.unknown and self.unknown[-1])
        )
        self.too_old.append(
            (now_ns, age_ns is not None and age_ns >= self.settings.slow_down_after_ns)
        )
        stands, asked = facts.standstill is True, facts.operator_request is True
        for at, rule in enumerate(self.settings.policy.rules):
            allowed = {
                "when_gone": True,
                "standstill": stands,
                "operator": stands and asked,
                "never": False,
            }
            over = now_ns - self.matched_ns[at] >= rule.hold_ms * MS
            if known and over and allowed[rule.clear] and self._gone(at):
                self.fired[at] = False
        wishes = [
            Wish(
                Action[rule.action],
                0.0 if rule.action == "NOTIFY" else rule.deceleration_mps2 or 0.0,
                60.0 if rule.speed_ceiling_mps is None else rule.speed_ceiling_mps,
            )
            for at, rule in enumerate(self.settings.policy.rules)
            if self.fired[at]
        ]
        wishes += self._failures(facts, age_ns)
        wishes += self._unacknowledged(facts, wishes)
        release = stands and known and all(map(self._enough, range(len(self.bits))))
        return self._command(wishes, release=release, known=known)

    def _hear(self, now_ns: int, facts: Facts, matches: Sequence[bool | None]) -> None:
        seen = facts.frame
        if seen is not None:
            share, most = facts.late_share, self.settings.policy.fallbacks.late_share_max
            self.late.append(share is not None and share > most)
            newest_ns = self.perceived_ns[-1] if self.perceived_ns else None
            goes_back = any(seen.captured_ns < earlier_ns for earlier_ns in self.captured_ns)
            wrong_time = seen.captured_ns > now_ns or goes_back
            if seen.captured_ns <= now_ns:
                self.captured_ns.append(seen.captured_ns)
            self.unknown.append(not seen.known or wrong_time)
            if self.unknown[-1]:
                self._gap()
            elif newest_ns is not None and seen.captured_ns - newest_ns < MS:
                self._same_moment(seen.captured_ns, matches)
            else:
                apart_ns = 0 if newest_ns is None else seen.captured_ns - newest_ns
                if apart_ns >= self.settings.unknown_after_ns:
                    self._gap()
                self._moment(seen.captured_ns, matches)
        if facts.camera_gone:
            self._gap()

    def _gap(self) -> None:
        for row in self.sight:
            row.append(GAP)

    def _moment(self, captured_ns: int, matches: Sequence[bool | None]) -> None:
        self.perceived_ns.append(captured_ns)
        for at, match in enumerate(matches):
            self.sight[at].append(DOUBT if match is None else TOLD)
            self.moment_told[at] = match is not None
            if match is not None:
                self.bits[at].append(match)
                self._fire(at, captured_ns, match=match)

    def _same_moment(self, captured_ns: int, matches: Sequence[bool | None]) -> None:
        for at, match in enumerate(matches):
            if match:
                # A moment that began with a doubt has no bit of its own yet.
                before = self.bits[at][:-1] if self.moment_told[at] else self.bits[at]
                self.bits[at] = [*before, True]
                self.moment_told[at] = True
                self._fire(at, captured_ns, match=True)

    def _fire(self, at: int, captured_ns: int, *, match: bool) -> None:
        if match:
            self.matched_ns[at] = captured_ns
        if sum(self._window(at)) >= self.settings.policy.rules[at].confirm.k:
            self.fired[at] = True

    def _window(self, at: int) -> list[bool]:
        """The last n frames that told, from before gaps too."""
        return self.bits[at][-self.settings.policy.rules[at].confirm.of :]

    def _looked(self, at: int) -> bool:
        """Whether the last n frames told without a gap; what a doubt is depends on the rule."""
        rule = self.settings.policy.rules[at]
        stops = rule.action in ("COMFORT_STOP", "EMERGENCY_STOP")
        left_out = () if stops or rule.action == "NOTIFY" else (DOUBT,)
        last = [one for one in self.sight[at] if one not in left_out][-rule.confirm.of :]
        counts = {TOLD, DOUBT} if rule.action == "NOTIFY" else {TOLD}
        return len(last) == rule.confirm.of and set(last) <= counts

    def _enough(self, at: int) -> bool:
        rule = self.settings.policy.rules[at]
        stops = rule.action in ("COMFORT_STOP", "EMERGENCY_STOP")
        return self._looked(at) and not (stops and any(self._window(at)))

    def _gone(self, at: int) -> bool:
        return self._looked(at) and not any(self._window(at))

    def _stop(self) -> Wish:
        return Wish(Action.COMFORT_STOP, self.settings.policy.fallbacks.deceleration_mps2, 0.0)

    def _slow(self) -> Wish:
        fallbacks = self.settings.policy.fallbacks
        return Wish(Action.SLOW_DOWN, fallbacks.deceleration_mps2, fallbacks.speed_ceiling_mps)

    def _failures(self, facts: Facts, age_ns: int | None) -> list[Wish]:
        stops = [facts.ending, facts.camera_gone, facts.inference_hung, age_ns is None]
        stops.append(age_ns is not None and age_ns >= self.settings.comfort_stop_after_ns)
        slows = [
            _counted(self.unknown, self.settings.policy.fallbacks.slow_down_after_periods),
            _counted(self.late, 25.0),
            self._stale(),
        ]
        return [self._stop()] * any(stops) + [self._slow()] * any(slows)

    def _stale(self) -> bool:
        """Four times as long as the frame was too old, which counts up to where a stop begins."""
        most = self.settings.comfort_stop_after_ns - self.settings.slow_down_after_ns
        owed, before_ns = 0.0, self.too_old[0][0]
        for now_ns, bad in self.too_old:
            owed += (now_ns - before_ns) * (1.0 if bad else -0.25)
            owed, before_ns = min(max(owed, 0.0), float(most)), now_ns
        return self.too_old[-1][1] or owed > 0.0

    def _unacknowledged(self, facts: Facts, wishes: list[Wish]) -> list[Wish]:
        often = [self._slow()] * facts.commands_often_late
        steps = facts.unacknowledged_in_a_row // self.settings.commands_a_step
        gravest = max((wish.action for wish in wishes), default=Action.NONE)
        raised = Action(min(gravest + steps, Action.COMFORT_STOP))
        if steps < 1:
            return often
        wish = {Action.COMFORT_STOP: self._stop(), Action.SLOW_DOWN: self._slow()}
        if raised is Action.CAP_SPEED:
            return [*often, Wish(raised, self._slow().braking_mps2, self._slow().ceiling_mps)]
        return [*often, wish.get(raised, Wish(raised, 0.0))]

    def _command(self, wishes: list[Wish], *, release: bool, known: bool) -> Expected:
        stops = [wish for wish in wishes if wish.action >= Action.COMFORT_STOP]
        if stops or not release:
            held = stops + ([self.held] if self.held is not None else [])
            if held:
                self.held = Wish(
                    max(wish.action for wish in held), max(wish.braking_mps2 for wish in held), 0.0
                )
        else:
            self.held = None
        everything = wishes + ([self.held] if self.held is not None else [])
        action = max((wish.action for wish in everything), default=Action.NONE)
        hardest = max((wish.braking_mps2 for wish in everything), default=0.0)
        limits = LIMITS.action[action]
        hardest = max(hardest, limits.deceleration_min_cmps2 / 100.0)
        stopping = action >= Action.COMFORT_STOP
        return Expected(
            action=action,
            speed_ceiling_mps=0.0
            if stopping
            else min((wish.ceiling_mps for wish in everything), default=60.0),
            deceleration_mps2=min(hardest, limits.deceleration_max_cmps2 / 100.0),
            release=release and not stopping,
            known=known,
        )


def _counted(results: Sequence[bool], limit: float) -> bool:
    """Whether a fault that rises by 1 and recovers by a quarter has fired and not recovered."""
    level, active = 0.0, False
    for bad in results:
        level = min(limit, level + 1.0) if bad else max(0.0, level - 0.25)
        active = level >= limit or (active and level > 0.0)
    return active
