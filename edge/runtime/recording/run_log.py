"""Logs a run: modes, commands, effective actions, tracks and timeline.

In: every `Turn` of the loop. Out: the parts of the run's report, and events as they happen. Never
changes what the loop does. Every list is bounded.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edge.contract.mission.sections.policy import Policy
from edge.perception.values import Detections, Unknown
from edge.runtime.loop.capture import CameraState
from edge.runtime.loop.decision_loop import Turn
from edge.runtime.recording.area_log import AreaLog
from edge.runtime.recording.events import RunEvent
from edge.runtime.recording.fault_log import FaultLog
from edge.runtime.recording.scene_log import SceneLog
from edge.runtime.recording.timeline import Stamp, Timeline
from edge.runtime.sources.source import SourceInfo
from edge.runtime.tracking.time_to_contact import Evidence
from edge.runtime.tracking.track import Track
from firmware_bridge.link.facts import LinkEvent
from firmware_bridge.link.states import LinkState
from firmware_bridge.protocol.messages import Action, Mode

_CAPACITY = 4096


@dataclass(frozen=True)
class Effective:
    """What the microcontroller applied from this moment on."""

    at: Stamp
    action: Action
    latched: bool
    ceiling_mps: float
    deceleration_mps2: float
    faults: tuple[str, ...]


@dataclass(frozen=True)
class TrackSpan:
    """First and last time of one track, in seconds of the clip, its least time to contact, with
    what that was measured from, and the near end of its distance where that was least; None where
    no distance was known."""

    id: int
    label: str
    first_s: float
    last_s: float
    hits: int
    least_time_to_contact_s: float
    least_from: Evidence
    nearest_m: float | None


class RunLog:
    """The log of one run, turn by turn."""

    def __init__(
        self,
        *,
        start_ns: int,
        source: SourceInfo,
        labels: tuple[str, ...],
        policy: Policy,
        faults: FaultLog,
        on_event: Callable[[RunEvent], None],
    ) -> None:
        self._start_ns = start_ns
        self._source = source
        self._labels = labels
        self._rules = tuple(rule.name for rule in policy.rules)
        self._faults = faults
        self._on_event = on_event
        self._clip_start_ns: int | None = None
        self._frame: int | None = None
        self._camera = CameraState.OPEN
        self._link: LinkState | None = None
        self._command: tuple[Action, str] | None = None
        self._active: frozenset[str] = frozenset()
        self._matching: frozenset[str] = frozenset()
        self._unknown: str | None = None
        self.timeline = Timeline()
        self.modes: deque[tuple[Stamp, Mode]] = deque(maxlen=_CAPACITY)
        self.effective: deque[Effective] = deque(maxlen=_CAPACITY)
        self.tracks: dict[int, TrackSpan] = {}
        self.scenes = SceneLog()
        self.areas = AreaLog(labels)
        self.commands: Counter[Action] = Counter()
        self.unsure: tuple[str, ...] = ()
        self.inferred = 0
        self.unknown = 0
        self.crowded = 0
        self._crowded = False

    def on_turn(self, turn: Turn) -> None:
        """Logs one turn."""
        frame_at = self._record_frame(turn)
        at = self._stamp(turn.now_ns)
        if not self.modes or self.modes[-1][1] is not turn.mode:
            self.modes.append((at, turn.mode))
            self._emit("mode", at, f"mode {turn.mode.name}", mode=turn.mode.name)
        self._record_states(turn, at)
        self._record_decision(turn, at, frame_at)
        for event in turn.link_events:
            self._record_link_event(event)
        if frame_at is not None:
            of = self._source.frames
            text = f"frame {frame_at.frame}" + (f" of {of}" if of is not None else "")
            self._emit("frame", at, text, index=frame_at.frame, of=of, clip_s=frame_at.clip_s)

    def _record_frame(self, turn: Turn) -> Stamp | None:
        """Logs the turn's new frame; returns the stamp of its capture, None without a frame."""
        if turn.result is None:
            return None
        frame = turn.result.frame
        if self._clip_start_ns is None:
            into = frame.clip_ns
            if into is None:
                into = round(frame.index * 1e9 / self._source.fps)
            self._clip_start_ns = frame.captured_ns - into
        self._frame = frame.index
        self.inferred += 1
        perception = turn.result.perception
        reason = perception.reason if isinstance(perception, Unknown) else None
        self.unknown += reason is not None
        if reason is not None and reason != self._unknown:
            self._faults.note("perception unknown", reason)
        self._unknown = reason
        at = self._stamp(frame.captured_ns)
        if not isinstance(perception, Unknown):
            self._record_crowd(perception.detections)
            self.areas.add(perception.areas)
            for new in self.scenes.add(perception.scene):
                text = f"{new.head} {new.label} ({new.score:.2f})"
                self._emit("scene", at, text, head=new.head, label=new.label, score=new.score)
        for track in turn.result.tracks:
            if track.missed_frames == 0:
                self._record_track(track)
        return at

    def _record_crowd(self, found: Detections) -> None:
        """Counts the frames in which a limit of work left detections out; of successive ones only
        the first is a fault."""
        if found.left_out and not self._crowded:
            more = f"{found.left_out} more cells reach the threshold"
            self._faults.note("detections left out", f"{len(found)} kept of a frame, {more}")
        self._crowded = found.left_out > 0
        self.crowded += self._crowded

    def _record_track(self, track: Track) -> None:
        first = self._stamp(track.first_ns).clip_s
        last = self._stamp(track.last_ns).clip_s
        assert first is not None
        assert last is not None
        label = self._labels[track.label]
        before = self.tracks.get(track.id)
        least, source = track.time_to_contact_s, track.contact_from
        if before is not None and before.least_time_to_contact_s < least:
            least, source = before.least_time_to_contact_s, before.least_from
        near_m = None if track.distance is None else track.distance.near_m
        nearest_m = None if before is None else before.nearest_m
        if nearest_m is None or (near_m is not None and near_m < nearest_m):
            nearest_m = near_m
        self.tracks[track.id] = TrackSpan(
            track.id, label, first, last, track.hits, least, source, nearest_m
        )
        if len(self.tracks) > _CAPACITY:
            del self.tracks[next(iter(self.tracks))]

    def _record_states(self, turn: Turn, at: Stamp) -> None:
        """Logs changes of link and camera."""
        if self._link is None:
            self._record_initial_action(turn, at)
        if turn.link.state is not self._link:
            self._link = turn.link.state
            self._emit("link", at, f"link {self._link.name.lower()}", state=self._link.name)
            if self._link is not LinkState.ESTABLISHED:
                why = turn.link.refusal or self._link.value
                self._faults.note("link lost", why)
        if turn.camera.camera is not self._camera:
            self._camera = turn.camera.camera
            text = f"{self._source.kind} source {self._camera.value}"
            self._emit("camera", at, text, state=self._camera.name)

    def _record_initial_action(self, turn: Turn, at: Stamp) -> None:
        """Logs the action that the microcontroller applied before this run's first event."""
        link = turn.link
        if link.effective_action is not None:
            self.timeline.on_effective(link.effective_action, turn.now_ns, at)
            self._record_effective(
                Effective(
                    at,
                    link.effective_action,
                    bool(link.stop_latched),
                    link.applied_ceiling_mps or 0.0,
                    link.applied_deceleration_mps2 or 0.0,
                    link.faults,
                )
            )

    def _record_decision(self, turn: Turn, at: Stamp, frame_at: Stamp | None) -> None:
        rules = zip(self._rules, turn.state.rules, strict=True)
        quiet = [name for name, rule in rules if not any(rule.window)]
        self.timeline.on_decision(turn.decision, quiet, at, frame_at)
        matching = (self._matching | set(turn.decision.matched)) - set(quiet)
        for name in sorted(matching - self._matching):
            self._emit("rule", at, f"rule '{name}': first seen", rule=name, state="first_seen")
        active = frozenset(demand.name for demand in turn.decision.demands)
        for names, state in (
            (active - self._active, "confirmed"),
            (self._active - active, "cleared"),
        ):
            for name in sorted(names):
                kind = "rule" if name in self._rules else "fallback"
                self._emit(kind, at, f"{kind} '{name}': {state}", rule=name, state=state)
        self._matching, self._active = matching, active
        self.unsure = turn.decision.unsure
        if turn.sent is None:
            return
        command, sent = turn.decision.command, turn.sent
        self.commands[command.action] += 1
        written = self._stamp(sent.written_ns)
        self.timeline.on_command(command.action, sent.counter, sent.sent_ns, written)
        key = (command.action, command.reason.name)
        if key != self._command:
            self._command = key
            text = f"commanded {command.action.name} ({command.reason.name.lower()})"
            self._emit("command", at, text, action=command.action.name, reason=command.reason.name)

    def _record_link_event(self, event: LinkEvent) -> None:
        at, values = self._stamp(event.mono_ns), event.values
        action = _effective_action_of(event)
        if event.kind == "ack" and isinstance(values["counter"], int):
            self.timeline.on_acknowledge(values["counter"], at)
        elif event.kind == "fault":
            self._faults.note("link", str(values["text"]))
        elif action is not None:
            self.timeline.on_effective(action, event.mono_ns, at)
            self._record_effective(_effective(at, action, values))

    def _record_effective(self, effective: Effective) -> None:
        before = self.effective[-1] if self.effective else None
        self.effective.append(effective)
        if before is None or (before.action, before.latched) != (
            effective.action,
            effective.latched,
        ):
            latched = " (latched)" if effective.latched else ""
            self._emit(
                "effective",
                effective.at,
                f"microcontroller applies {effective.action.name}{latched}",
                action=effective.action.name,
                latched=effective.latched,
            )

    def _stamp(self, mono_ns: int) -> Stamp:
        start = self._clip_start_ns
        clip_s = None if start is None else (mono_ns - start) / 1e9
        return Stamp((mono_ns - self._start_ns) / 1e6, clip_s, self._frame)

    def _emit(self, kind: str, at: Stamp, text: str, **values: Any) -> None:
        self._on_event(RunEvent(kind, at.mono_ms, text, values))


def _effective(at: Stamp, action: Action, values: Any) -> Effective:
    return Effective(
        at,
        action,
        bool(values["latched"]),
        float(values["ceiling_mps"]),
        float(values["deceleration_mps2"]),
        tuple(values["faults"]),
    )


def _effective_action_of(event: LinkEvent) -> Action | None:
    """The action of an "effective" event; None for any other."""
    action = event.values.get("action")
    return action if event.kind == "effective" and isinstance(action, Action) else None
