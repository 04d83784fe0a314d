"""Draws one turn of the loop onto its frame: areas, zones, tracks, the command, the action that the
microcontroller applies, latency against its budget.

In: a `Turn` with a new frame. Out: a picture, (H, W, 3) uint8 BGR. Opens and writes no file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edge.contract.mission.schema import Mission
from edge.contract.mission.sections.policy import Policy, Rule
from edge.perception.label_colors import label_colors
from edge.perception.opencv import quiet_opencv
from edge.perception.segmentation import frame_labels
from edge.perception.values import BgrImage, Classification, Known, LabelMap, Unknown
from edge.runtime.loop.decision_loop import Turn
from edge.runtime.policy.rule_matching import matching_tracks
from edge.runtime.tracking.track import Track
from firmware_bridge.link.states import LinkState
from firmware_bridge.protocol.messages import Action

Color = tuple[int, int, int]

WHITE: Color = (245, 245, 245)
GREY: Color = (170, 170, 170)
DARK: Color = (28, 24, 22)

ACTION_COLORS: Mapping[Action, Color] = {
    Action.NONE: (110, 180, 90),
    Action.NOTIFY: (200, 170, 60),
    Action.CAP_SPEED: (40, 190, 240),
    Action.SLOW_DOWN: (30, 130, 250),
    Action.COMFORT_STOP: (50, 60, 235),
    Action.EMERGENCY_STOP: (90, 20, 200),
}
"""Blue, green, red; from green over amber to red as actions get graver."""

SHOWN_TIME_TO_CONTACT_S = 10.0
"""Longer times are not written beside a box: no rule acts on them."""

TRACK_COLORS: Sequence[Color] = (
    (250, 200, 90),
    (130, 220, 130),
    (240, 150, 200),
    (200, 230, 80),
    (160, 190, 250),
    (250, 160, 150),
)


LEGIBLE_PX = 960
"""Width below which a frame is enlarged before text is drawn on it."""


class Painter:
    """Draws turns of one mission. Sizes follow the frame's height, so that text stays legible."""

    def __init__(self, *, labels: Sequence[str], policy: Policy, budget_ms: float) -> None:
        """`budget_ms` is the end-to-end budget."""
        self._cv2: Any = quiet_opencv()
        self._labels = labels
        self._policy = policy
        self._budget_ms = budget_ms
        self._colors = label_colors(len(labels))

    @staticmethod
    def of(mission: Mission) -> Painter:
        """The painter of a mission's turns."""
        return Painter(
            labels=mission.model.labels,
            policy=mission.policy,
            budget_ms=mission.budget.end_to_end_ms,
        )

    def draw(self, turn: Turn) -> BgrImage:
        """A new picture of the turn's frame, (H, W, 3) uint8 BGR; `turn.result` must not be None.

        A small frame is enlarged by a whole factor to at least LEGIBLE_PX.
        """
        assert turn.result is not None
        frame, perception = turn.result.frame.image, turn.result.perception
        if isinstance(perception, Known) and perception.areas is not None:
            frame = self._areas(frame, perception.areas)
        factor = max(1, math.ceil(LEGIBLE_PX / frame.shape[1]))
        image = np.repeat(np.repeat(frame, factor, axis=0), factor, axis=1)
        unit = max(0.6, image.shape[0] / 720.0)
        active = {demand.name for demand in turn.decision.demands}
        self._zones(image, active, unit)
        rules = self._rule_of_track(turn, active)
        for track in turn.result.tracks:
            if track.missed_frames == 0:
                self._track(image, track, rules.get(track.id), unit, factor)
        self._top_bar(image, turn, unit)
        if isinstance(perception, Known):
            self._scene(image, perception.scene, unit)
        self._bottom_bar(image, turn, unit)
        return image

    def _rule_of_track(self, turn: Turn, active: set[str]) -> dict[int, Rule]:
        """The gravest active rule that each track of this frame matches, by the track's id."""
        assert turn.result is not None
        width, height = turn.result.frame.size_px
        policy, found = self._policy, {}
        for rule in sorted(policy.rules, key=lambda rule: Action[rule.action]):
            if rule.name not in active:
                continue
            for track in matching_tracks(
                rule.when,
                turn.result.tracks,
                labels=self._labels,
                zones=policy.zones,
                frame_size=(width, height),
            ):
                found[track.id] = rule
        return found

    def _areas(self, image: BgrImage, areas: LabelMap) -> BgrImage:
        """The frame with every label's colour over it."""
        tinted = self._cv2.addWeighted(self._colors[frame_labels(areas)], 0.4, image, 0.6, 0.0)
        return np.asarray(tinted, np.uint8)

    def _zones(self, image: BgrImage, active: set[str], unit: float) -> None:
        height, width = image.shape[:2]
        policy = self._policy
        for name, corners in policy.zones.items():
            points = np.round(np.array(corners) * [width - 1, height - 1]).astype(np.int32)
            rules = [r for r in policy.rules if r.when.zone == name and r.name in active]
            color: Color = WHITE
            if rules:
                color = ACTION_COLORS[max(Action[rule.action] for rule in rules)]
                tinted = image.copy()
                self._cv2.fillPoly(tinted, [points], color)
                self._cv2.addWeighted(tinted, 0.22, image, 0.78, 0.0, dst=image)
            thickness = max(1, round((2 if rules else 1) * unit))
            self._cv2.polylines(image, [points], True, color, thickness, self._cv2.LINE_AA)
            x, y = (int(v) for v in points[int(np.argmax(points[:, 1] - points[:, 0]))])
            self._text(image, name, (x + round(8 * unit), y - round(8 * unit)), color, 0.5 * unit)

    def _track(
        self, image: BgrImage, track: Track, rule: Rule | None, unit: float, factor: int
    ) -> None:
        cv2 = self._cv2
        color = TRACK_COLORS[track.id % len(TRACK_COLORS)]
        if rule is not None:
            color = ACTION_COLORS[Action[rule.action]]
        x1, y1, x2, y2 = (round(v * factor) for v in track.box)
        thickness = max(1, round((3 if rule is not None else 2) * unit))
        cv2.rectangle(image, (x1, y1), (x2, y2), color, thickness, cv2.LINE_AA)
        label = self._labels[track.label]
        text = f"{label} #{track.id}  {track.score:.2f}"
        if track.time_to_contact_s <= SHOWN_TIME_TO_CONTACT_S:
            text += f"  {track.time_to_contact_s:.1f} s"
        if track.distance is not None and track.distance.near_m is not None:
            far_m = track.distance.far_m
            text += f"  {track.distance.near_m:.0f}-{'' if far_m is None else f'{far_m:.0f}'} m"
        self._tag(image, text, (x1, y1), color, unit)

    def _scene(self, image: BgrImage, scene: Sequence[Classification], unit: float) -> None:
        """The answer of each classification head, below the top bar."""
        top = round(64 * unit)
        for row, answer in enumerate(scene, start=1):
            color = GREY if answer.label is None else WHITE
            text = f"{answer.head}: {answer.label or 'not known'}  {answer.score:.2f}"
            place = (round(14 * unit), top + round(26 * unit * row))
            self._tag(image, text, place, color, unit)

    def _top_bar(self, image: BgrImage, turn: Turn, unit: float) -> None:
        """On the left the command and its reason, on the right what the microcontroller applies."""
        height, width = round(64 * unit), image.shape[1]
        _shade(image[:height])
        action = turn.decision.command.action
        edge = round(14 * unit)
        self._pill(image, f"{action.name}", (edge, round(10 * unit)), ACTION_COLORS[action], unit)
        winner = turn.decision.winner
        why = winner.name if winner is not None else "no rule active"
        result = turn.result
        if result is not None and isinstance(result.perception, Unknown):
            why = f"unknown: {result.perception.reason}"
        line = round(56 * unit)
        self._text(image, f"commanded: {why}", (edge, line), WHITE, 0.5 * unit)
        link = turn.link
        effective = link.effective_action
        if link.state is not LinkState.ESTABLISHED or effective is None:
            name, color, below = f"link {link.state.name.lower()}", GREY, "vehicle speed unknown"
        else:
            name, color = effective.name, ACTION_COLORS[effective]
            speed = link.vehicle_speed_mps
            below = "speed unknown" if speed is None else f"{speed:.1f} m/s"
            below = f"microcontroller: {below}" + ("  latched" if link.stop_latched else "")
        right = width - edge
        self._pill(image, name, (right, round(10 * unit)), color, unit, from_right=True)
        self._text(image, below, (right, line), WHITE, 0.5 * unit, from_right=True)

    def _bottom_bar(self, image: BgrImage, turn: Turn, unit: float) -> None:
        """Latency against its budget, mode, frame."""
        height, width = image.shape[:2]
        top = height - round(34 * unit)
        _shade(image[top:])
        edge, line = round(14 * unit), height - round(12 * unit)
        budget_ms = self._budget_ms
        spent_ms = turn.end_to_end_ms
        bar_left, bar_right = edge, edge + round(180 * unit)
        bar_top, bar_bottom = height - round(22 * unit), height - round(12 * unit)
        self._cv2.rectangle(image, (bar_left, bar_top), (bar_right, bar_bottom), (80, 80, 80), -1)
        if spent_ms is not None:
            share = min(1.0, spent_ms / budget_ms)
            over = spent_ms > budget_ms
            color = ACTION_COLORS[Action.COMFORT_STOP if over else Action.NONE]
            filled = bar_left + round(share * (bar_right - bar_left))
            self._cv2.rectangle(image, (bar_left, bar_top), (filled, bar_bottom), color, -1)
        spent = "not sent" if spent_ms is None else f"{spent_ms:.0f} ms"
        text = f"{spent} of {budget_ms:.0f} ms"
        self._text(image, text, (bar_right + edge, line), WHITE, 0.5 * unit)
        assert turn.result is not None
        text = f"{turn.mode.name}   frame {turn.result.frame.index}"
        self._text(image, text, (width - edge, line), WHITE, 0.5 * unit, from_right=True)

    def _pill(
        self,
        image: BgrImage,
        text: str,
        at: tuple[int, int],
        color: Color,
        unit: float,
        *,
        from_right: bool = False,
    ) -> None:
        text = text.replace("_", " ")
        (width, height), _ = self._size(text, 0.62 * unit, bold=True)
        pad = round(8 * unit)
        x = at[0] - width - 2 * pad if from_right else at[0]
        y = at[1]
        self._cv2.rectangle(
            image, (x, y), (x + width + 2 * pad, y + height + pad + pad // 2), color, -1
        )
        place = (x + pad, y + height + pad - pad // 4)
        self._text(image, text, place, _ink(color), 0.62 * unit, bold=True)

    def _tag(
        self, image: BgrImage, text: str, corner: tuple[int, int], color: Color, unit: float
    ) -> None:
        """A label on the upper edge of a box, inside the picture."""
        (width, height), _ = self._size(text, 0.48 * unit)
        pad = max(2, round(4 * unit))
        x = max(0, min(corner[0], image.shape[1] - width - 2 * pad))
        y = max(height + 2 * pad, corner[1])
        self._cv2.rectangle(image, (x, y - height - 2 * pad), (x + width + 2 * pad, y), color, -1)
        self._text(image, text, (x + pad, y - pad), _ink(color), 0.48 * unit)

    def _text(
        self,
        image: BgrImage,
        text: str,
        at: tuple[int, int],
        color: Color,
        scale: float,
        *,
        bold: bool = False,
        from_right: bool = False,
    ) -> None:
        cv2 = self._cv2
        x = at[0] - self._size(text, scale, bold=bold)[0][0] if from_right else at[0]
        font = cv2.FONT_HERSHEY_DUPLEX if bold else cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(image, text, (x, at[1]), font, scale, color, 1, cv2.LINE_AA)

    def _size(self, text: str, scale: float, *, bold: bool = False) -> Any:
        cv2 = self._cv2
        font = cv2.FONT_HERSHEY_DUPLEX if bold else cv2.FONT_HERSHEY_SIMPLEX
        return cv2.getTextSize(text, font, scale, 1)


def _ink(ground: Color) -> Color:
    """The colour of text that stands out on `ground` (weights of ITU-R BT.601 luma)."""
    blue, green, red = ground
    return DARK if 0.114 * blue + 0.587 * green + 0.299 * red > 110 else WHITE


def _shade(area: BgrImage) -> None:
    """Darkens a strip in place, so that light text is legible before any sky."""
    area[:] = (area * 0.35).astype(np.uint8)
