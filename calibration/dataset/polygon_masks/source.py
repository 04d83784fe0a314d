"""Reads data sets whose objects have outlines in place of masks, and refuses what cannot be drawn.

In: a data set. Out: its labels and outlines, and ids for its labels. Verbs that need masks are
refused such a data set here, with the command that draws them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from calibration.dataset.lock.lock import Lock, first_lines
from calibration.dataset.readers import masks
from calibration.dataset.readers.formats import OUTLINED, format_of, recognised_formats
from calibration.dataset.records.ground_truth import IGNORED
from calibration.dataset.records.outlines import Outlines
from calibration.dataset.records.record import LabelReading
from calibration.dataset.storage.storage import Storage
from firmware_bridge.errors import UsageError


def read_outlined(storage: Storage, format_name: str | None) -> tuple[LabelReading, Outlines]:
    """The labels and the outlines of a data set.

    Raises:
        UsageError: a format without outlines, or labels that cannot be right, in one message.
    """
    name = format_of(storage, format_name)
    if name not in OUTLINED:
        raise UsageError(
            f"{storage.location} has no outlines to draw",
            expected="polygons, or other outlines of objects, in a format that tells them: "
            + ", ".join(OUTLINED),
            found=f"a data set of the format '{name}'",
            remedy="masks are judged by as they are; of boxes nobody knows which pixels are meant",
        )
    outlines = Outlines()
    reading = OUTLINED[name](storage, outlines)
    if problems := [*reading.problems, *outlines.problems]:
        raise cannot_draw(storage.location, [f"{one.where}: {one.what}" for one in problems])
    return reading, outlines


def ids_of_labels(source: str, objects: Iterable[str], background: str | None) -> dict[str, int]:
    """Label -> id: 0 is the background, the others follow in the order of their names.

    Raises:
        UsageError: no label, labels that are numbers, or more labels than a byte has ids.
    """
    labels = sorted({*objects} - {background})
    if not labels:
        raise UsageError(
            f"{source} has no outline to draw",
            expected="one object or more that is to be judged",
            found="none",
            remedy="choose another data set",
        )
    if numbers := [label for label in labels if label.isdecimal()]:
        raise UsageError(
            f"{source} has outlines of classes without a name",
            expected="the names of its classes, which the model's labels are found by",
            found=", ".join(numbers[:10]),
            remedy="name them: classes.txt, one name a line from 0, or `names` in data.yaml",
        )
    every = [*([] if background is None else [background]), *labels]
    if len(every) > IGNORED:
        raise UsageError(
            f"{source} has more labels than a mask can tell apart",
            expected=f"at most {IGNORED} with the background",
            found=str(len(every)),
            remedy="put labels together",
        )
    return {label: number for number, label in enumerate(every)}


def cannot_draw(source: str, faults: Sequence[str]) -> UsageError:
    """The refusal of labels and outlines that cannot be drawn."""
    return UsageError(
        f"{source} cannot be drawn: {len(faults)} labels cannot be meant",
        expected="an outline of 3 points or more for every object, in the picture that it is of",
        found=first_lines(faults),
        remedy="correct or remove them; what is not to be judged may be a box that says so "
        "(COCO's iscrowd, a flag `ignore` of labelme)",
    )


def require_masks(storage: Storage) -> None:
    """Refuses a data set with outlines where masks are needed, and says how to draw them."""
    if not masks.recognises(storage):
        _require_no_outlines(storage.location, recognised_formats(storage))


def require_locked_masks(lock: Lock) -> None:
    """As `require_masks`, for the data set of a lock."""
    if all(record.mask is None for record in lock.records):
        _require_no_outlines(lock.source, [lock.format])


def _require_no_outlines(source: str, formats: Sequence[str]) -> None:
    if found := [name for name in formats if name in OUTLINED]:
        raise UsageError(
            f"{source} cannot judge a segmentation network: it has no masks",
            expected="a mask for every picture",
            found=f"labels of the format '{' or '.join(found)}'",
            remedy=f"where they are polygons: brakepoint data masks {source} --out FOLDER, then "
            "--data FOLDER; or choose a data set with masks",
        )
