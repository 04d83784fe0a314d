"""The tables of the page, from report.json: what is shown, in which order."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from calibration.evaluation.mask_overlays import colour_words, overlay
from calibration.evaluation.stops import StopFigures
from converters.report.page.label_layout import Place, places
from converters.report.page.worst_frames import Picture
from converters.verification.latency import STAGES
from edge.contract.artifact_names import CPU, FLOAT, INT8
from edge.perception.conditions import LIGHTS, WEATHERS

NAMES = {FLOAT: "float", INT8: "INT8", CPU: "on CPU"}
"""Artifact -> its name on the page; its share in INT8 stands beside it."""

OUTPUTS = {
    "detections": ("Detections", "detections", "finds again"),
    "classes": ("Label of the frame", "frames", "names the same"),
    "mask": ("Labels of pixels", "pixels", "names the same"),
    "condition": ("Condition of the road", "frames", "names the same"),
}
"""Output -> title, what is counted, what a quantized network does with it."""

MOST_CLASSES = 12
MOST_CONFUSED = 6
MOST_TOLD = 3
LONGEST_TAG = 28


def worst_first(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Classes that float sees most, and the rest, which the page folds away."""

    def weight(row: Mapping[str, Any]) -> tuple[int, int]:
        networks = row["networks"].values()
        most = max((one["of"] for one in networks), default=0)
        return (-max(most, row["objects"] or 0), -sum(one["added"] for one in networks))

    ordered = sorted(rows, key=weight)
    return {"shown": ordered[:MOST_CLASSES], "folded": ordered[MOST_CLASSES:]}


def confusion(evaluation: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Network -> labels most frequent with float, and a square of frames (or pixels); others left
    out and counted."""
    shown = {}
    for name, pairs in evaluation["confusions"].items():
        often: Counter[str] = Counter()
        for pair in pairs:
            often[pair["float"]] += _count(pair)
            often[pair["said"]] += 0 if pair["float"] == pair["said"] else _count(pair)
        labels = [label for label, _ in sorted(often.items(), key=lambda row: (-row[1], row[0]))]
        labels = labels[:MOST_CONFUSED]
        cells = {(pair["float"], pair["said"]): _count(pair) for pair in pairs}
        square = [[cells.get((row, column), 0) for column in labels] for row in labels]
        inside = sum(map(sum, square))
        shown[name] = {
            "labels": labels,
            "square": square,
            "most": max((max(row) for row in square), default=0),
            "outside": sum(map(_count, pairs)) - inside,
        }
    return shown


def _count(pair: Mapping[str, Any]) -> int:
    """Unit of a count: frames, or pixels of a segmentation network."""
    count: int = pair["frames"] if "frames" in pair else pair["pixels"]
    return count


@dataclass(frozen=True)
class Box:
    """One answer on a picture.

    Attributes:
        fate: "kept", "lost" (on float's picture), "missing" (on another's) or "added".
        told: whether its label is drawn; of kept ones only where there are few.
    """

    label: str
    score: float
    box: Sequence[float] | None
    fate: str
    told: bool = True


@dataclass(frozen=True)
class Label:
    """A label on a picture: what it says, of a box of which fate, and where it stands."""

    text: str
    fate: str
    place: Place


@dataclass(frozen=True)
class Panel:
    """One network's view of a frame; of a segmentation network `lost` is pixels that changed, `of`
    all of them, and `mask` a PNG in colours. `labels` stand on the picture, `beside` are those for
    which there is no room on it."""

    name: str
    boxes: Sequence[Box]
    lost: int
    added: int
    of: int = 0
    mask: str = ""
    labels: tuple[Label, ...] = ()
    beside: tuple[str, ...] = ()


def frames_side_by_side(
    evaluation: Mapping[str, Any], pictures: Mapping[str, Picture]
) -> list[dict[str, Any]]:
    """The worst frames with a picture: the first network, that the others are held against, the
    second, and each further one where that loses too."""
    shown = []
    for frame in evaluation["worst_frames"]:
        picture = pictures.get(frame["name"])
        if picture is None:
            continue
        networks = dict(frame["networks"])
        if "iou_mean" in evaluation:
            count = len(evaluation["labels"])
            masks = [_mask_panel(name, one, count) for name, one in networks.items()]
            shown.append({**frame, "picture": picture, "panels": masks})
            continue
        reference, second, *_ = networks
        wanted = networks.pop(reference)
        panels = [_reference_panel(reference, wanted)]
        panels += [
            _panel(name, wanted, answers)
            for name, answers in networks.items()
            if name == second or any(name in one["lost_by"] for one in wanted)
        ]
        size = picture.width_px / (46 if len(panels) < 3 else 32)
        panels = [_labelled(panel, picture, size=size) for panel in panels]
        shown.append({**frame, "picture": picture, "panels": panels, "font_px": size})
    return shown


def _labelled(panel: Panel, picture: Picture, *, size: float) -> Panel:
    """The panel with its labels placed on the picture; what was lost or is new comes first."""
    boxes = sorted((box for box in panel.boxes if box.told), key=lambda box: box.fate == "kept")
    written = [(box, box.box, _tag(box)) for box in boxes if box.box is not None]
    spots = places(
        [(corners, text) for _, corners, text in written],
        size=size,
        width=picture.width_px,
        height=picture.height_px,
    )
    pairs = list(zip(written, spots, strict=True))
    return replace(
        panel,
        labels=tuple(Label(text, box.fate, at) for (box, _, text), at in pairs if at is not None),
        beside=tuple(text for (_, _, text), at in pairs if at is None),
    )


def _tag(box: Box) -> str:
    label = box.label if len(box.label) <= LONGEST_TAG else box.label[: LONGEST_TAG - 1] + "…"
    return f"{label} {box.score:.2f}"


def mask_key(evaluation: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Colour and label, of labels of pixels that any network gives; none for other outputs."""
    labels = evaluation.get("labels", [])
    met = {row["label"] for row in evaluation["by_class"]}
    colours = zip(colour_words(len(labels)), labels, strict=True)
    return [(colour, label) for colour, label in colours if label in met]


def worst_names(document: Mapping[str, Any]) -> set[str]:
    """Names of every frame that the page shows."""
    return {
        frame["name"]
        for evaluation in document["evaluation"].values()
        for frame in evaluation["worst_frames"]
    }


def _reference_panel(name: str, wanted: Sequence[Mapping[str, Any]]) -> Panel:
    boxes = [
        Box(one["label"], one["score"], one["box"], "lost" if one["lost_by"] else "kept")
        for one in wanted
    ]
    return Panel(name, _legible(boxes), 0, 0)


def _mask_panel(name: str, told: Mapping[str, Any], labels: int) -> Panel:
    mask = overlay(base64.b64decode(told["mask"]), labels)
    return Panel(name, (), told["changed"], 0, told["pixels"], mask)


def _panel(
    name: str, wanted: Sequence[Mapping[str, Any]], own: Sequence[Mapping[str, Any]]
) -> Panel:
    boxes = [
        Box(one["label"], one["score"], one["box"], "added" if one["added"] else "kept")
        for one in own
    ]
    gone = [
        Box(one["label"], one["score"], one["box"], "missing")
        for one in wanted
        if name in one["lost_by"]
    ]
    added = sum(box.fate == "added" for box in boxes)
    return Panel(name, _legible([*boxes, *gone]), len(gone), added)


def _legible(boxes: Sequence[Box]) -> list[Box]:
    """Kept ones first, so that lost ones are drawn over them."""
    crowded = len(boxes) > MOST_TOLD
    told = [replace(box, told=not crowded or box.fate != "kept") for box in boxes]
    return sorted(told, key=lambda box: box.fate != "kept")


def latency_rows(document: Mapping[str, Any]) -> dict[str, Any]:
    """Stages of each file with start and width of their part of the bar, in percent."""
    stages = document["latency"]["stages"]
    longest = max((sum(row[s]["median_ms"] for s in STAGES) for row in stages.values()), default=1)
    rows = []
    for name, row in stages.items():
        begin, parts = 0.0, []
        for stage in STAGES:
            wide = 100.0 * row[stage]["median_ms"] / longest
            parts.append({"stage": stage, "begin": begin, "wide": wide, **row[stage]})
            begin += wide
        rows.append({"name": name, "parts": parts, "all": row["all"]})
    return {"rows": rows, "stages": STAGES, "budget_ms": document["budget_ms"]}


def stop_rows(document: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the policy does on labelled clips: its figures, and each clip's stops as parts of a bar;
    None where the mission names no clips."""
    stops = document["stops"]
    if stops["state"] == "not asked":
        return None
    if stops["state"] == "unknown":
        return dict(stops)
    seconds = sum(clip["seconds"] for clip in stops["clips"])
    clips = []
    for clip in stops["clips"]:
        lanes = [("what is there", _bars(clip["stops"], clip["seconds"], "left"))]
        for name, own in clip["networks"].items():
            colour = name.removesuffix(".onnx")
            lanes.append((NAMES[name], _bars(own, clip["seconds"], colour)))
        clips.append({**clip, "lanes": lanes})
    none_per_hour = StopFigures(0, 0, (), 0, seconds).false_per_hour_95[1]
    return {**stops, "clips": clips, "seconds": seconds, "none_per_hour": none_per_hour}


def _bars(
    stops: Sequence[Mapping[str, float]], seconds: float, colour: str
) -> list[dict[str, float | str]]:
    """Each stop as a part of a bar 100 wide; one of a single frame can still be seen."""
    return [
        {
            "begin": 100.0 * stop["begin_s"] / seconds,
            "wide": max(0.6, 100.0 * (stop["end_s"] - stop["begin_s"]) / seconds),
            "colour": colour,
            "says": f"{stop['begin_s']:.2f} to {stop['end_s']:.2f} s",
        }
        for stop in stops
    ]


def training_rows(document: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the weights were judged by when they were trained: figures of all, by label and by
    condition, with the columns that any of them has."""
    training = document["training"]
    judged = (training or {}).get("judgement")
    if not isinstance(judged, Mapping):
        return None
    tables = []
    for title, rows in (
        ("label", judged.get("by_label") or {}),
        ("condition", judged.get("by_condition") or {}),
    ):
        columns = list(dict.fromkeys(key for row in rows.values() for key in row))
        if columns:
            tables.append({"title": title, "columns": columns, "rows": rows})
    return {"facts": training, "figures": judged.get("figures") or {}, "tables": tables}


def matrix(document: Mapping[str, Any]) -> dict[str, Any]:
    """Weather x light: frames calibrated on and held back; words that occur, not known last."""
    cells: dict[str, Counter[tuple[str | None, str | None]]] = {}
    for side in ("calibration", "held_back"):
        cells[side] = Counter()
        for row in document["data"][side]["conditions"]:
            cells[side][row["weather"], row["light"]] += row["frames"]
    met = {key for side in cells.values() for key in side}
    weathers = [*WEATHERS, *([None] if any(w is None for w, _ in met) else [])]
    lights = [*LIGHTS, *([None] if any(light is None for _, light in met) else [])]
    return {
        "lights": lights,
        "rows": [
            {
                "weather": weather,
                "cells": [
                    {side: cells[side][weather, light] for side in cells} for light in lights
                ],
            }
            for weather in weathers
        ],
        "known": any(weather or light for weather, light in met),
    }


def coverage(document: Mapping[str, Any]) -> list[str]:
    """Sentences on conditions that the frames do not contain."""
    lines, never, unjudged, uncalibrated = [], [], [], []
    for kind, words in (("weather", WEATHERS), ("light", LIGHTS)):
        calibrated, judged = (
            {row[kind] for row in document["data"][side]["conditions"]}
            for side in ("calibration", "held_back")
        )
        if not (calibrated | judged) & set(words):
            lines.append(f"The data does not tell the {kind} of any frame.")
            continue
        never += [word for word in words if word not in calibrated | judged]
        unjudged += [word for word in words if word in calibrated - judged]
        uncalibrated += [word for word in words if word in judged - calibrated]
    if never:
        lines.append(f"No frame shows {_or(never)}: nothing is known there.")
    if unjudged:
        lines.append(f"Calibrated on but never judged: {_or(unjudged)}.")
    if uncalibrated:
        lines.append(f"Judged but never calibrated on: {_or(uncalibrated)}.")
    return lines


def _or(words: Sequence[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
