"""The table of checks: a name, what it looks for, and what to do about it.

A finding of severity "error" makes `brakepoint data check` exit 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from calibration.dataset import checks_balance, checks_labels, checks_pictures
from calibration.dataset.examined import SEVERITIES, Examined, Said, Severity
from edge.perception.conditions import AXES


@dataclass(frozen=True)
class Check:
    """One row."""

    find: Callable[[Examined], Iterator[Said]]
    remedy: str


CONDITION_WORDS = "; ".join(f"{axis}: {', '.join(words)}" for axis, words in AXES.items())

CHECKS: dict[str, Check] = {
    "schema": Check(
        checks_labels.schema,
        f"correct or remove these labels; of conditions the words are {CONDITION_WORDS}",
    ),
    "lock": Check(
        checks_labels.locked,
        "restore the files, or lock the data set again and train again on the new version",
    ),
    "unreadable": Check(
        checks_pictures.unreadable,
        "copy them again, or remove them with their labels",
    ),
    "size": Check(
        checks_pictures.size,
        "use the pictures that the labels were made for",
    ),
    "stored": Check(
        checks_pictures.stored,
        "look whether the labels lie right; write pictures upright, in 8 bits",
    ),
    "labels": Check(
        checks_labels.label_set,
        "rename or merge the classes; move whole drives so that every part has every class",
    ),
    "boxes": Check(
        checks_labels.boxes,
        "draw these boxes again, or clip them",
    ),
    "masks": Check(
        checks_labels.masks,
        "write them again as 8-bit PNG of ids; name every id in class_names.csv",
    ),
    "duplicates": Check(
        checks_pictures.duplicates,
        "keep one of each, in one part only",
    ),
    "near duplicates": Check(
        checks_pictures.near_duplicates,
        "keep all of them in one part; take fewer frames of a standing vehicle",
    ),
    "leakage": Check(
        checks_labels.leakage,
        "split by whole drives: brakepoint data split does",
    ),
    "classes": Check(
        checks_balance.classes,
        "collect more of them, or weight them: train.class_weights = 'balanced'",
    ),
    "conditions": Check(
        checks_balance.conditions,
        "collect drives in these conditions, or say in the mission that it is not meant for them",
    ),
    "constant": Check(checks_pictures.constant, "remove them: they say nothing"),
    "random": Check(checks_pictures.random, "remove them: ranges taken on noise are wrong"),
    "licence": Check(
        checks_labels.licence,
        "find it out, then lock the data set with --licence TEXT",
    ),
}


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        about: records, files or label lines, all of them.
    """

    check: str
    severity: Severity
    sentence: str
    about: tuple[str, ...]
    remedy: str


def findings(data: Examined) -> list[Finding]:
    """What all checks find, the worst first, then in the order of CHECKS."""
    found = [
        Finding(name, said.severity, said.sentence, said.about, check.remedy)
        for name, check in CHECKS.items()
        for said in check.find(data)
    ]
    return sorted(found, key=lambda finding: -SEVERITIES.index(finding.severity))
