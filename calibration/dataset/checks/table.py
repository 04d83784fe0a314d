"""The table of checks of `data check`, each with its remedy, and the function that runs them.

In: an inspection. Out: findings. With a finding of severity "error" `data check` exits 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from calibration.dataset.checks import coverage_checks, label_checks, picture_checks
from calibration.dataset.checks.inspection import Inspection, Remark
from edge.contract.severity import SEVERITIES, Severity
from edge.perception.conditions import AXES


@dataclass(frozen=True)
class Check:
    """One row."""

    find: Callable[[Inspection], Iterator[Remark]]
    remedy: str


CONDITION_WORDS = "; ".join(f"{axis}: {', '.join(words)}" for axis, words in AXES.items())

CHECKS: dict[str, Check] = {
    "schema": Check(
        label_checks.schema,
        f"correct or remove these labels; of conditions the words are {CONDITION_WORDS}",
    ),
    "lock": Check(
        label_checks.locked,
        "restore the files, or lock the data set again and train again on the new version",
    ),
    "unreadable": Check(
        picture_checks.unreadable,
        "copy them again, or remove them with their labels",
    ),
    "size": Check(
        picture_checks.size,
        "use the pictures that the labels were made for",
    ),
    "stored": Check(
        picture_checks.stored,
        "look whether the labels lie right; write pictures upright, in 8 bits",
    ),
    "labels": Check(
        label_checks.label_set,
        "rename or merge the classes; move whole drives so that every part has every class",
    ),
    "boxes": Check(
        label_checks.boxes,
        "draw these boxes again, or clip them",
    ),
    "masks": Check(
        label_checks.masks,
        "write them again as 8-bit PNG of ids; name every id in class_names.csv",
    ),
    "duplicates": Check(
        picture_checks.duplicates,
        "keep one of each, in one part only",
    ),
    "near duplicates": Check(
        picture_checks.near_duplicates,
        "keep all of them in one part; take fewer frames of a standing vehicle",
    ),
    "leakage": Check(
        label_checks.leakage,
        "split by whole drives: brakepoint data split does",
    ),
    "classes": Check(
        coverage_checks.classes,
        "collect more of them, or weight them: train.class_weights = 'balanced'",
    ),
    "conditions": Check(
        coverage_checks.conditions,
        "collect drives in these conditions, or say in the mission that it is not meant for them",
    ),
    "constant": Check(picture_checks.constant, "remove them: they say nothing"),
    "random": Check(picture_checks.random, "remove them: ranges taken on noise are wrong"),
    "licence": Check(
        label_checks.licence,
        "find it out, then lock the data set with --licence TEXT",
    ),
}


@dataclass(frozen=True)
class Finding:
    """A remark with the name and the remedy of its check.

    Attributes:
        about: records, files or label lines, all of them.
    """

    check: str
    severity: Severity
    sentence: str
    about: tuple[str, ...]
    remedy: str


def findings(data: Inspection) -> list[Finding]:
    """The findings of all checks, the most severe first, then in the order of CHECKS."""
    found = [
        Finding(name, said.severity, said.sentence, said.about, check.remedy)
        for name, check in CHECKS.items()
        for said in check.find(data)
    ]
    return sorted(found, key=lambda finding: -SEVERITIES.index(finding.severity))
