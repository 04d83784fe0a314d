"""Writes the text of a first mission for a model file: the template, filled with what the file says
and with guesses that are marked as such.

Takes a model path, labels and a size; returns a `FirstMission`. Writes no file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from converters.sources.first_mission.decoder_guess import (
    DecoderGuess,
    guess_decoder,
    why_no_decoder,
)
from converters.sources.first_mission.rules import rules_for, toml_list, toml_text
from converters.sources.first_mission.signature import Signature, Size, signature_of
from edge.contract.mission.loading import small_text
from edge.contract.mission.sections.field_types import unwritable
from edge.contract.mission.template import mission_template
from firmware_bridge.errors import Missing, UsageError


@dataclass(frozen=True)
class FirstMission:
    """The text of a mission.

    Attributes:
        text: TOML.
        summary: one line: kind of file, decoder, number of labels, size.
        unknown: what the mission says and the file does not, a sentence each.
    """

    text: str
    summary: str
    unknown: tuple[str, ...]


@dataclass(frozen=True)
class UsualSettings:
    """Usual preprocess and thresholds of networks with one kind of decoder.

    Attributes:
        preprocess: lines of `[model.preprocess]`.
        whose: whose preprocess it is, for a sentence.
    """

    preprocess: str
    score_threshold: float
    iou_threshold: float | None
    whose: str


IMAGENET = "mean = [123.675, 116.28, 103.53]\nstd = [58.395, 57.12, 57.375]"

USUAL: dict[str, UsualSettings] = {
    "roadnet": UsualSettings(
        'fit = "letterbox"\nanchor = "center"\npad_value = 114\ncolor = "rgb"\n'
        "mean = [127.5, 127.5, 127.5]\nstd = [64.0, 64.0, 64.0]",
        0.45,
        0.5,
        "RoadNet's",
    ),
    "yolox": UsualSettings(
        'fit = "letterbox"\nanchor = "top_left"\npad_value = 114\ncolor = "bgr"\n'
        "mean = [0.0, 0.0, 0.0]\nstd = [1.0, 1.0, 1.0]",
        0.3,
        0.45,
        "YOLOX's",
    ),
    "fastestdet": UsualSettings(
        'fit = "stretch"\ncolor = "bgr"\nmean = [0.0, 0.0, 0.0]\nstd = [255.0, 255.0, 255.0]',
        0.5,
        0.45,
        "FastestDet's",
    ),
    "classify": UsualSettings(
        f'fit = "stretch"\ncolor = "rgb"\n{IMAGENET}', 0.5, None, "ImageNet's"
    ),
    "segment": UsualSettings(
        f'fit = "stretch"\ncolor = "rgb"\n{IMAGENET}', 0.5, None, "ImageNet's"
    ),
}
"""By kind of decoder; a test compares it with the table of decoders."""


def first_mission(model: Path, path: Path, *, labels: str | None, size: str | None) -> FirstMission:
    """The mission of the model in a file; the caller writes it at `path`.

    Args:
        labels: names separated by commas, or a text file with one a line; None: those in the
            model's file, or placeholders.
        size: "WIDTHxHEIGHT" of the picture; None: that in the file, or the first that runs.

    Raises:
        Missing: no such file.
        UsageError: it holds no network, no decoder reads its outputs, or `labels` has another
            number of names.
    """
    seen = signature_of(model, _size(size))
    reading = guess_decoder(seen)
    if reading is None:
        raise UsageError(
            f"no decoder reads what {model} puts out",
            expected="an output as docs/mission.md lists them: " + ", ".join(USUAL),
            found=why_no_decoder(seen),
            remedy="export the network with such an output; its training code knows how",
        )
    names, from_where = _names(reading.labels, labels, seen.labels)
    usual = USUAL[reading.kind]
    unknown = [*reading.unsure]
    if not seen.size_in_file and size is None:
        tried = f"{seen.size[0]} x {seen.size[1]}"
        unknown.append(f"model.input: the file tells no size; {tried} is the first that runs")
    if from_where is None:
        unknown.append("model.labels: the file names none; placeholders stand there")
    unknown.append(f"model.preprocess: no file tells it; it is {usual.whose}")
    unknown.append(
        "purpose, camera, budget, policy: yours to say; what stands there is the template's"
    )
    if reading.conditions:
        unknown.append("model.condition.labels: placeholders")
    text = _written(model, path, seen, reading, names)
    found = f"decoder '{reading.kind}', {len(names)} labels, {seen.size[0]} x {seen.size[1]} pixels"
    return FirstMission(text, f"{seen.kind}: {found}", tuple(unknown))


def _size(text: str | None) -> Size | None:
    if text is None:
        return None
    if (found := re.fullmatch(r"(\d{1,4})x(\d{1,4})", text)) is None or "0" in found.groups():
        raise UsageError(
            "--size cannot be read",
            expected="width and height in pixels, such as 640x384",
            found=text,
            remedy="--size 640x384",
        )
    return int(found[1]), int(found[2])


def _names(count: int, given: str | None, in_file: Sequence[str]) -> tuple[list[str], str | None]:
    """`count` labels and their origin in words; placeholders with None where there are none."""
    if given is not None:
        listed = _listed(given)
        names = [name.strip() for name in listed if name.strip()]
        if len(names) != count:
            raise UsageError(
                "the model has another number of labels than were named",
                expected=f"{count}, by the shape of its output",
                found=f"{len(names)} in --labels {given}",
                remedy="give them all, in the order of the training",
            )
        return names, "--labels"
    names = [name.strip() for name in in_file]
    fit = len(names) == len(set(names)) == count
    if fit and all(0 < len(name) <= 200 and unwritable(name) is None for name in names):
        return names, "the file"
    return [f"label {row}" for row in range(count)], None


def _listed(given: str) -> list[str]:
    path = Path(given)
    if not path.exists() and "/" not in given and path.suffix not in (".txt", ".names"):
        return given.split(",")
    try:
        return small_text(path).splitlines()
    except (OSError, ValueError) as error:
        raise Missing(
            f"cannot read the labels {path}",
            expected="a text file with one label a line, or names with commas between",
            found=getattr(error, "strerror", None) or str(error),
            remedy="correct --labels",
        ) from error


def _written(
    model: Path, path: Path, seen: Signature, reading: DecoderGuess, names: list[str]
) -> str:
    """The template with its sections on model, data and rules replaced, and without `[train]`."""
    template = mission_template()
    blocks = re.split(r"^(?=\[)", template, flags=re.M)
    made = [blocks[0].replace('name = "my-mission"', f"name = {toml_text(_slug(model.stem))}")]
    for block in blocks[1:]:
        header = block.split("]")[0].lstrip("[")
        if header == "model":
            made.append(_model(model, path, seen, reading, names))
        elif header == "data":
            made.append(DATA)
        elif header == "policy.rules":
            if made[-1] != RULES_HERE:
                made.append(RULES_HERE)
        elif header == "policy.zones" and reading.kind == "classify":
            continue  # a classifier labels the whole frame: it needs no zones
        elif header.split(".")[0] not in ("model", "train"):
            made.append(block)
    return "".join(made).replace(RULES_HERE, rules_for(reading, names))


RULES_HERE = "\0rules\0"

DATA = """[data]
kind = "images"
root = "frames"           # a folder of road frames as the camera sees them; or kind = "scenes"
# table = "labels.csv"    # a CSV in root whose first column is the file name
# group = "drive"         # its column by which whole groups are held back
# lock = "dataset.lock.json"  # from `brakepoint data lock`; data that differ are refused

"""


def _model(
    model: Path, path: Path, seen: Signature, reading: DecoderGuess, names: list[str]
) -> str:
    usual = USUAL[reading.kind]
    folder = path.resolve().parent
    place = os.path.relpath(model.resolve(), folder)
    place = str(model.resolve()) if place.startswith("..") else place
    lines = [
        "[model]",
        f"file = {toml_text(place)}",
        "# In the order of the network's outputs; or the name of a text file with one a line.",
        f"labels = {toml_list(names)}",
        "",
        "[model.input]            # of the network, not of the camera",
        f"width_px = {seen.size[0]}",
        f"height_px = {seen.size[1]}",
        "",
        f"[model.preprocess]       # not in the file: {usual.whose}, ask who trained it",
        usual.preprocess,
        "",
        "[model.decode]            # see docs/mission.md",
        f'kind = "{reading.kind}"',
    ]
    if reading.output is not None:
        lines.append(f"output = {toml_text(reading.output)}")
    if reading.strides:
        lines.append(f"strides = {list(reading.strides)}  # network pixels a cell, in output order")
    lines.append(f"score_threshold = {_threshold(usual.score_threshold, len(names), reading.kind)}")
    if usual.iou_threshold is not None:
        lines += [
            f"iou_threshold = {usual.iou_threshold}     # boxes of one label that overlap more",
            "max_detections = 100     # of a frame, the best; 300 at most",
        ]
    if reading.conditions:
        lines += [
            "",
            "[model.condition]",
            f"labels = {toml_list([f'condition {row}' for row in range(reading.conditions)])}",
            f"score_threshold = {_threshold(0.5, reading.conditions, 'classify')}",
        ]
    return "\n".join([*lines, "", ""])


def _threshold(usual: float, labels: int, kind: str) -> float:
    """For softmax shares of n labels, above 1/n: below that, no frame is ever unknown."""
    return 0.6 if kind in ("classify", "segment") and labels == 2 else usual


def _slug(stem: str) -> str:
    return re.sub(r"[^a-z0-9_.-]+", "-", stem.lower()).strip("-._")[:100] or "my-mission"
