"""Chooses the frames of an evaluation: of a locked data set, of another one, or generated scenes.

In: a mission and the options of `evaluate`. Out: an `EvaluationSet`, which also counts what is left
out. Refuses a set without labels and a split that is not there.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from calibration.dataset.lock.lock import first_lines, is_lock, read_lock
from calibration.dataset.polygon_masks.source import require_locked_masks, require_masks
from calibration.dataset.readers.formats import READERS, format_of
from calibration.dataset.records.record import Entry, Mask
from calibration.dataset.records.record_faults import box_fault
from calibration.dataset.splits.split_file import declared_split
from calibration.dataset.storage.open_storage import open_storage
from calibration.dataset.storage.storage import Storage
from calibration.evaluation.data.doubts import doubts_of
from calibration.evaluation.data.ground_truth_kinds import BOXES, LABEL, MASKS, truth_for
from calibration.evaluation.data.label_mapping import LabelMapping, map_labels
from calibration.evaluation.data.labelled_frames import Source, StorageSource, cannot_judge, scenes
from edge.contract.mission.schema import Mission
from edge.contract.urls import without_secrets
from edge.scenes.world import SCENE_LABELS
from firmware_bridge.errors import Missing, UsageError

FITTED = "train"
"""The split that networks are trained on: left out where there are others, unless asked for."""

ALL = "all"


@dataclass(frozen=True)
class EvaluationSet:
    """The frames of an evaluation, and what a reader of the figures must know of them.

    Attributes:
        source: the frames.
        mapping: the data set's words in the model's labels.
        data_name: name of the folder, file or lock without its path; a URL; or "generated scenes".
        version: data version of the lock; None without one.
        split: the part.
        left_out: word that the model has no label for -> how many objects, pictures or masks have
            it; 0 where they are not counted.
        unlabelled: records without the labels that are needed.
        ignored: boxes that are not judged.
        doubts: what biases the figures, see `doubts.py`.
    """

    source: Source
    mapping: LabelMapping
    data_name: str
    version: str | None
    split: str
    left_out: dict[str, int]
    unlabelled: int
    ignored: int = 0
    doubts: tuple[str, ...] = ()


def choose_frames(
    mission: Mission,
    *,
    data: str | None,
    split: str | None,
    scene_count: int,
    only: Sequence[str] = (),
) -> EvaluationSet:
    """Frames with labels of the mission's model.

    Args:
        data: path or URL of a data set, or a lock; None for the mission's own data.
        split: a part or "all"; None for the default.
        scene_count: number of generated scenes, where the mission's data are scenes.
        only: labels of the model to judge; empty for all.

    Raises:
        Missing: no data set, or no such file.
        UsageError: no labels, none that the model knows, or no such split.
        NotTrusted: a damaged lock.
    """
    if data is None and mission.data.kind == "scenes":
        return _scenes(mission, scene_count, split, only)
    parted = declared_split(mission.data) if data is None else None
    given = data if data is not None else mission.data.location
    if parted is not None:
        given = str(mission.data.lock)
    kind = mission.model.decode.kind
    masks = kind == "segment"
    storage, entries, version, digests = _read(given, MASKS if masks else None)
    # A lock names every id that occurs in a mask, so a mask without names labels nothing.
    truth = truth_for(kind, len(mission.model.labels) if version is None else 0)
    if parted is not None:
        storage = open_storage(mission.data.location)
        entries = [replace(entry, split=parted.part_of.get(entry.name)) for entry in entries]
        split = split or parted.part_for("judge")
    of_all = entries
    part, entries = _part(given, entries, split)
    labelled = [entry for entry in entries if truth.there(entry)]
    words = Counter(word for entry in labelled for word in truth.words(entry))
    if not words:
        raise UsageError(
            f"{given} cannot judge {mission.name}",
            expected=truth.what,
            found=f"{len(entries)} records without any",
            remedy="choose a labelled data set: --data ROOT",
        )
    if truth.name == BOXES:
        _require_fit(given, labelled)
        _require_names(given, words, labelled, mission.model.labels)
    boxes = [box for entry in labelled for box in entry.boxes or () if truth.name == BOXES]
    regions = {box.label for box in boxes if box.ignored}
    every = map_labels(words, mission.model.labels, regions=regions)
    mapping = _only(every, mission.model.labels, only)
    unlabelled = len(entries) - len(labelled)
    if truth.name == LABEL:
        labelled = [entry for entry in labelled if entry.label in mapping.rows]
    return EvaluationSet(
        # A wrong label of a pixel counts whatever it is, so masks keep every label.
        source=StorageSource(storage, tuple(labelled), every if masks else mapping, digests, masks),
        mapping=mapping,
        data_name=without_secrets(given) if "://" in given else Path(given).name,
        version=version,
        split=part,
        # Only a lock knows which ids occur in a mask.
        left_out={word: words[word] if digests or not masks else 0 for word in mapping.left_out},
        unlabelled=unlabelled,
        ignored=sum(bool(mapping.regions(box)) for box in boxes),
        doubts=doubts_of(of_all, labelled, digests),
    )


def _require_fit(given: str, entries: Sequence[Entry]) -> None:
    """Refuses, before a picture is read, boxes that do not fit the size in labels or lock. Whether
    pictures have that size is checked when they are read."""
    faults = []
    for entry in entries:
        if entry.boxes_are_shares:
            continue
        size = (entry.width_px, entry.height_px)
        width_px, height_px = (math.inf if one is None else one for one in size)
        found = dict.fromkeys(box_fault(box, width_px, height_px) for box in entry.boxes or ())
        faults += [f"{entry.name}: {fault}" for fault in found if fault]
    if faults:
        raise cannot_judge(given, faults)


def _require_names(
    given: str, words: Iterable[str], entries: Sequence[Entry], labels: Sequence[str]
) -> None:
    """Refuses boxes whose class is a number without a name: it could be any label."""
    strange = {word for word in words if word.isdecimal() and word not in labels}
    numbers = sorted(strange, key=lambda word: (len(word), word))
    if numbers:
        first = next(
            entry.name
            for entry in entries
            if any(box.label in numbers for box in entry.boxes or ())
        )
        raise UsageError(
            f"{given} has boxes of classes without a name",
            expected="the names of its classes, which the model's labels are found by",
            found=f"{', '.join(numbers[:10])}; first in {first}",
            remedy="name them: classes.txt, one name a line from 0, or `names` in data.yaml",
        )


def _read(
    given: str, format_name: str | None
) -> tuple[Storage, Sequence[Entry], str | None, dict[str, str]]:
    """Storage, records, data version and the digests of a lock."""
    if is_lock(given):
        lock = read_lock(Path(given))
        if format_name == MASKS:
            require_locked_masks(lock)
        entries = [
            Entry(
                name=record.name,
                file=record.file,
                group=record.group,
                row=record.row,
                label=record.label,
                boxes=record.boxes,
                conditions=record.conditions,
                split=record.split,
                mask=None if record.mask is None else Mask(record.mask.file, record.mask.names),
                width_px=record.label_width_px or record.width_px,
                height_px=record.label_height_px or record.height_px,
            )
            for record in lock.records
        ]
        digests = {record.name: record.sha256 for record in lock.records}
        digests |= {one.mask.file: one.mask.sha256 for one in lock.records if one.mask is not None}
        return open_storage(lock.source), entries, lock.version, digests
    storage = open_storage(given)
    if format_name == MASKS:
        require_masks(storage)
    reading = READERS[format_of(storage, format_name)].read(storage, 1.0)
    if reading.problems:
        raise UsageError(
            f"{given} has {len(reading.problems)} labels that cannot be meant",
            expected="labels as its format has them, each with its picture",
            found=first_lines([f"{problem.where}: {problem.what}" for problem in reading.problems]),
            remedy=f"correct them; all findings: brakepoint data check {given}",
        )
    return storage, reading.entries, None, {}


def _part(given: str, entries: Sequence[Entry], split: str | None) -> tuple[str, list[Entry]]:
    """Name of the part, and its records."""
    found = Counter(entry.split for entry in entries if entry.split is not None)
    if split is None:
        others = [entry for entry in entries if entry.split != FITTED]
        if found[FITTED] and others:
            return f"all but {FITTED}", others
        return ALL, list(entries)
    if split == ALL:
        return ALL, list(entries)
    if split not in found:
        raise UsageError(
            f"{given} has no split '{split}'",
            expected=", ".join((*sorted(found), ALL)),
            found=split,
            remedy="name one of them, or leave out --split",
        )
    return split, [entry for entry in entries if entry.split == split]


def _only(mapping: LabelMapping, labels: Sequence[str], only: Sequence[str]) -> LabelMapping:
    """The mapping with only the labels in `only`."""
    there = {labels[row] for row in mapping.judged}
    if missing := [label for label in only if label not in there]:
        raise UsageError(
            f"'{missing[0]}' cannot be judged",
            expected=f"labels that the data set and the model have: {', '.join(sorted(there))}",
            found=missing[0],
            remedy="correct --labels",
        )
    if not only:
        return mapping
    return mapping.only(row for row, label in enumerate(labels) if label in only)


def _scenes(mission: Mission, count: int, split: str | None, only: Sequence[str]) -> EvaluationSet:
    if split is not None:
        raise UsageError(
            "generated scenes have no splits",
            expected="no --split: all of them are unseen",
            found=split,
            remedy="leave out --split, or choose a data set: --data ROOT",
        )
    if count < 1:
        raise Missing(
            "there is nothing to evaluate on",
            expected="one scene or more",
            found=str(count),
            remedy="for example --scenes 200",
        )
    if mission.model.decode.kind == "segment":
        raise UsageError(
            f"generated scenes cannot judge {mission.name}",
            expected="a label of every pixel",
            found="boxes: scenes have no masks",
            remedy="choose a data set with masks: --data ROOT",
        )
    labels = mission.model.labels
    mapping = _only(map_labels(SCENE_LABELS, labels), labels, only)
    camera = mission.camera
    return EvaluationSet(
        source=scenes(count, width_px=camera.width_px, height_px=camera.height_px, mapping=mapping),
        mapping=mapping,
        data_name="generated scenes",
        version=None,
        split=ALL,
        left_out=dict.fromkeys(mapping.left_out, 0),
        unlabelled=0,
    )
