"""Gates on accuracy: a verdict and a sentence for each limit and network.

Takes the mission's gates and `Accuracy`; a figure that is unknown fails its gate. The point
estimate decides; the sentence gives the interval too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from converters.verification.gates.result import GateResult, judge_limit
from converters.verification.labelled_accuracy import Accuracy, Score, Scores
from edge.contract.artifact_names import CPU, FLOAT, INT8
from edge.contract.mission.sections.conversion import Gates

SHORT = {INT8: "int8", CPU: "cpu"}
"""Artifact -> its short name in the names of gates."""

UNKNOWN = "unknown"
"""The end of a condition's name where the data set does not give it; it is no condition."""


def accuracy_gates(limits: Gates, seen: Accuracy) -> Iterator[GateResult]:
    """Verdicts of each quantized network: `accuracy_min` always, the others where they have a
    limit."""
    for artifact in SHORT:
        scores = None if seen.networks is None else seen.networks[artifact]
        overall = None if scores is None else scores.overall
        yield _least(_Of("accuracy_min", artifact), limits.accuracy_min, overall, seen)
        if limits.accuracy_drop_max is not None:
            yield _drop(artifact, limits.accuracy_drop_max, seen)
        if limits.worst_condition_min is not None:
            word, worst = _worst(scores)
            of = _Of("worst_condition_min", artifact, f" in '{word}', its worst condition,")
            yield _least(of, limits.worst_condition_min, worst, seen)
        for label, limit in limits.class_accuracy_min.items():
            found = None if scores is None else scores.by_class.get(label)
            of = _Of("class_accuracy_min", artifact, f" of '{label}'", f": {label}")
            yield _least(of, limit, found, seen)
        for word, limit in limits.condition_accuracy_min.items():
            found = None if scores is None else _condition(scores.by_condition, word)
            of = _Of("condition_accuracy_min", artifact, f" in '{word}'", f": {word}")
            yield _least(of, limit, found, seen)


@dataclass(frozen=True)
class _Of:
    """What a gate judges: its kind, the file, and which of the frames, in words."""

    kind: str
    artifact: str
    where: str = ""
    part: str = ""

    @property
    def name(self) -> str:
        return f"{self.kind} {SHORT[self.artifact]}{self.part}"


def _least(of: _Of, limit: float | None, found: Score | None, seen: Accuracy) -> GateResult:
    value = None if found is None else found.value
    if seen.state == "not asked":
        sentence = "not measured: no gate asks for it"
    elif found is None or value is None:
        why = seen.why if seen.state == "unknown" else f"{seen.why} show none of it"
        sentence = f"the accuracy of {of.artifact}{of.where} is unknown: {why}"
    else:
        score = seen.score
        if of.kind == "class_accuracy_min" and seen.score == "mean IoU":
            score = "IoU"
        shown = seen.why if not of.where else f"{found.frames} of {seen.why}"
        sentence = f"{of.artifact} has {score} {value:.3f}{_interval(found)}{of.where} on {shown}"
    return judge_limit(
        of.name, of.artifact, limit, measured=value, bound="least", sentence=sentence
    )


def _drop(artifact: str, limit: float, seen: Accuracy) -> GateResult:
    name = f"accuracy_drop_max {SHORT[artifact]}"
    pair = (
        (None, None)
        if seen.networks is None
        else (seen.networks[FLOAT].overall.value, seen.networks[artifact].overall.value)
    )
    was, now = pair
    if was is None or now is None:
        drop, sentence = None, f"what {artifact} loses against labels is unknown: {seen.why}"
    else:
        drop = was - now
        sentence = (
            f"{artifact} has {seen.score} {now:.3f} where float has {was:.3f}, "
            f"{abs(drop):.3f} {'less' if drop >= 0 else 'more'}, on {seen.why}"
        )
    return judge_limit(name, artifact, limit, measured=drop, bound="most", sentence=sentence)


def _worst(scores: Scores | None) -> tuple[str, Score | None]:
    """The condition with the lowest score, of those that the data set gives."""
    if scores is None:
        return UNKNOWN, None
    known = {
        word: found
        for word, found in scores.by_condition.items()
        if found.value is not None and not word.endswith(f" {UNKNOWN}")
    }
    if not known:
        return UNKNOWN, None
    word = min(known, key=lambda one: (known[one].value or 0.0, one))
    return word, known[word]


def _condition(conditions: Mapping[str, Score], word: str) -> Score | None:
    """By "fog" or "weather fog"; "fog (measured)" only by its full name."""
    if word in conditions:
        return conditions[word]
    named = [name for name in conditions if name.split(" ", 1)[1] == word]
    return conditions[named[0]] if len(named) == 1 else None


def _interval(found: Score) -> str:
    if found.interval is None:
        return ""
    low, high = found.interval
    return f" ({low:.3f} to {high:.3f})"
