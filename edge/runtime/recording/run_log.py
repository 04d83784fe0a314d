"""Turns of the loop into the story of the run: modes, commands, effective actions, tracks, timeline
and the events told meanwhile.

Listens only; nothing here changes what the loop does. Every list is bounded.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edge.contract.mission.sections.policy import Policy
from edge.perception.values import Detections, Unknown
from edge.runtime.loop.capture import CameraState
from edge.runtime.loop.decision_loop import Turn, effective_in
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

_KEPT = 4096


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
    """One track's life in seconds of the clip, and the least time to contact it came to, with what
    that was measured from."""

    id: int
    label: str
    first_s: float
    last_s: float
    hits: int
    least_time_to_contact_s: float
    least_from: Evidence


class RunLog:
    """Feed it every turn of one run."""

    def __init__(
        self,
        *,
        start_ns: int,
        source: SourceInfo,
        labels: tuple[str, ...],
        policy: Policy,
        faults: FaultLog,
        tell: Callable[[RunEvent], None],
    ) -> None:
        self._start_ns = start_ns
        self._source = source
        self._labels = labels
        self._rules = tuple(rule.name for rule in policy.rules)
        self._faults = faults
        self._tell = tell
        self._clip_start_ns: int | None = None
        self._frame: int | None = None
        self._camera = CameraState.OPEN
        self._link: LinkState | None = None
        self._command: tuple[Action, str] | None = None
        self._active: frozenset[str] = frozenset()
        self._seen: frozenset[str] = frozenset()
        self._unknown: str | None = None
        self.timeline = Timeline()
        self.modes: deque[tuple[Stamp, Mode]] = deque(maxlen=_KEPT)
        self.effective: deque[Effective] = deque(maxlen=_KEPT)
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
        """Takes one turn in."""
        frame_at = self._take_frame(turn)
        at = self._stamp(turn.now_ns)
        if not self.modes or self.modes[-1][1] is not turn.mode:
            self.modes.append((at, turn.mode))
            self._say("mode", at, f"mode {turn.mode.name}", mode=turn.mode.name)
        self._take_states(turn, at)
        self._take_decision(turn, at, frame_at)
        for event in turn.link_events:
            self._take_link_event(event)
        if frame_at is not None:
            of = self._source.frames
            text = f"frame {frame_at.frame}" + (f" of {of}" if of is not None else "")
            self._say("frame", at, text, index=frame_at.frame, of=of, clip_s=frame_at.clip_s)

    def _take_frame(self, turn: Turn) -> Stamp | None:
        """Counts the turn's new frame; the stamp of its capture."""
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
            self._take_crowd(perception.detections)
            self.areas.take(perception.areas)
            for said in self.scenes.take(perception.scene):
                text = f"{said.head} {said.label} ({said.score:.2f})"
                self._say("scene", at, text, head=said.head, label=said.label, score=said.score)
        for track in turn.result.tracks:
            if track.missed_frames == 0:
                self._take_track(track)
        return at

    def _take_crowd(self, seen: Detections) -> None:
        """Counts the frames in which a limit of work left detections out; tells the first of each
        row of them."""
        if seen.left_out and not self._crowded:
            more = f"{seen.left_out} more cells reach the threshold"
            self._faults.note("detections left out", f"{len(seen)} kept of a frame, {more}")
        self._crowded = seen.left_out > 0
        self.crowded += self._crowded

    def _take_track(self, track: Track) -> None:
        first = self._stamp(track.first_ns).clip_s
        last = self._stamp(track.last_ns).clip_s
        assert first is not None
        assert last is not None
        label = self._labels[track.label]
        before = self.tracks.get(track.id)
        least, source = track.time_to_contact_s, track.contact_from
        if before is not None and before.least_time_to_contact_s < least:
            least, source = before.least_time_to_contact_s, before.least_from
        self.tracks[track.id] = TrackSpan(track.id, label, first, last, track.hits, least, source)
        if len(self.tracks) > _KEPT:
            del self.tracks[next(iter(self.tracks))]

    def _take_states(self, turn: Turn, at: Stamp) -> None:
        """Changes of link and camera."""
        if self._link is None:
            self._take_first_facts(turn, at)
        if turn.link.state is not self._link:
            self._link = turn.link.state
            self._say("link", at, f"link {self._link.name.lower()}", state=self._link.name)
            if self._link is not LinkState.ESTABLISHED:
                why = turn.link.refusal or self._link.value
                self._faults.note("link lost", why)
        if turn.camera.camera is not self._camera:
            self._camera = turn.camera.camera
            text = f"{self._source.kind} {self._camera.value}"
            self._say("camera", at, text, state=self._camera.name)

    def _take_first_facts(self, turn: Turn, at: Stamp) -> None:
        """What was in force before this run's first event."""
        link = turn.link
        if link.effective_action is not None:
            self.timeline.effective(link.effective_action, turn.now_ns, at)
            self._note_effective(
                Effective(
                    at,
                    link.effective_action,
                    bool(link.stop_latched),
                    link.applied_ceiling_mps or 0.0,
                    link.applied_deceleration_mps2 or 0.0,
                    link.faults,
                )
            )

    def _take_decision(self, turn: Turn, at: Stamp, frame_at: Stamp | None) -> None:
        rules = zip(self._rules, turn.state.rules, strict=True)
        quiet = [name for name, rule in rules if not any(rule.window)]
        self.timeline.decided(turn.decision, quiet, at, frame_at)
        seen = (self._seen | set(turn.decision.matched)) - set(quiet)
        for name in sorted(seen - self._seen):
            self._say("rule", at, f"rule '{name}': first seen", rule=name, state="first_seen")
        active = frozenset(demand.name for demand in turn.decision.demands)
        for names, state in (
            (active - self._active, "confirmed"),
            (self._active - active, "cleared"),
        ):
            for name in sorted(names):
                kind = "rule" if name in self._rules else "fallback"
                self._say(kind, at, f"{kind} '{name}': {state}", rule=name, state=state)
        self._seen, self._active = seen, active
        self.unsure = turn.decision.unsure
        if turn.sent is None:
            return
        command, sent = turn.decision.command, turn.sent
        self.commands[command.action] += 1
        written = self._stamp(sent.written_ns)
        self.timeline.commanded(command.action, sent.counter, sent.sent_ns, written)
        told = (command.action, command.reason.name)
        if told != self._command:
            self._command = told
            text = f"commanded {command.action.name} ({command.reason.name.lower()})"
            self._say("command", at, text, action=command.action.name, reason=command.reason.name)

    def _take_link_event(self, event: LinkEvent) -> None:
        at, values = self._stamp(event.mono_ns), event.values
        action = effective_in(event)
        if event.kind == "ack" and isinstance(values["counter"], int):
            self.timeline.acknowledged(values["counter"], at)
        elif event.kind == "fault":
            self._faults.note("link", str(values["text"]))
        elif action is not None:
            self.timeline.effective(action, event.mono_ns, at)
            self._note_effective(_effective(at, action, values))

    def _note_effective(self, effective: Effective) -> None:
        before = self.effective[-1] if self.effective else None
        self.effective.append(effective)
        if before is None or (before.action, before.latched) != (
            effective.action,
            effective.latched,
        ):
            latched = " (latched)" if effective.latched else ""
            self._say(
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

    def _say(self, kind: str, at: Stamp, text: str, **values: Any) -> None:
        self._tell(RunEvent(kind, at.mono_ms, text, values))


def _effective(at: Stamp, action: Action, values: Any) -> Effective:
    return Effective(
        at,
        action,
        bool(values["latched"]),
        float(values["ceiling_mps"]),
        float(values["deceleration_mps2"]),
        tuple(values["faults"]),
    )
