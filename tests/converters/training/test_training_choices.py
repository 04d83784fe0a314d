"""Cross-validation and the search: groups stay together, no example is both fitted and judged, the
stated rule picks, and both resume after an interruption.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_pictures import ROOT, picture_mission, write_pictures

from converters.training.architecture_search import (
    LATENCY_WEIGHT,
    Candidate,
    Trial,
    best_trials,
    candidates,
    latency_ms,
    pareto_front,
    rungs,
    search,
)
from converters.training.cross_validation import cross_validate, partitions
from converters.training.fit import hold_out, require_trainable, task_of
from converters.training.tasks.task import Task
from edge.contract.mission.loading import load_mission
from edge.contract.mission.schema import Mission
from edge.contract.run_record import read_run
from firmware_bridge.errors import UsageError


def silent(_what: str, _done: int, _of: int) -> None:
    """No progress."""


@pytest.fixture
def mission(tmp_path: Path) -> Mission:
    return picture_mission(
        write_pictures(tmp_path / "pictures"), 'train.search=["tiny_pictures:other_classifier"]'
    )


def task(mission: Mission) -> Task:
    return task_of(mission, require_trainable(mission)[0])


def test_folds_judge_every_example_once_and_share_no_track(mission: Mission) -> None:
    given = task(mission)
    rows = given.rows()
    every = partitions(given, 4, seed=0)
    assert sorted(row for one in every for row in one.validation) == list(range(128))
    for one in every:
        fitted, judged = (
            {rows[row].group for row in some} for some in (one.training, one.validation)
        )
        assert not fitted & judged
        assert set(Counter(rows[row].stratum for row in one.validation)) == set("0123")
    assert every != partitions(given, 4, seed=1)


def test_scenes_are_folded_by_road_condition() -> None:
    mission = load_mission(
        ROOT / "examples" / "roadnet",
        ["train.scenes=30", "train.validation_scenes=10"],
    )
    given = task(mission)
    rows = given.rows()
    whole = Counter(row.stratum for row in rows)
    for one in partitions(given, 2, seed=0):
        half = Counter(rows[row].stratum for row in one.validation)
        assert all(abs(half[name] - whole[name] / 2) <= 1 for name in whole)


def test_what_is_held_out_is_whole_tracks_of_the_training_part(mission: Mission) -> None:
    given = task(mission)
    rows = given.rows()
    held = hold_out(given, given.partition, 0.25, seed=0)
    assert sorted((*held.training, *held.watched)) == sorted(given.partition.training)
    assert not {rows[r].group for r in held.training} & {rows[r].group for r in held.watched}
    assert {rows[row].stratum for row in held.watched} == set("0123")


def test_cross_validation_reports_the_spread(mission: Mission, tmp_path: Path) -> None:
    report = cross_validate(mission, 3, progress=silent)
    spread = report.spread["accuracy"]
    assert len(spread.each) == 3
    assert min(spread.each) <= spread.mean <= max(spread.each)
    assert sum(judged for _, judged in report.sizes) == 128
    kept = read_run(report.record).run
    assert kept.kind == "folds"
    assert kept.metrics["accuracy"] == spread.mean
    assert kept.details["spread"]["accuracy"]["mean"] == spread.mean
    out = tmp_path / "pictures" / "out"
    assert [path.name for path in out.iterdir()] == ["runs"], "weights or checkpoints are left"


def test_one_fold_is_none(mission: Mission) -> None:
    with pytest.raises(UsageError, match="1 folds"):
        cross_validate(mission, 1, progress=silent)


class Cut(Exception):
    """Somebody stops it."""


def cut(at: str) -> Callable[[str, int, int], None]:
    def advance(what: str, done: int, _of: int) -> None:
        if what.startswith(at) and done == 12:
            raise Cut

    return advance


def test_cross_validation_goes_on_where_it_was_cut_off(mission: Mission) -> None:
    expected = cross_validate(mission, 2, progress=silent)
    with pytest.raises(Cut):
        cross_validate(mission, 2, progress=cut("fold 2"))
    met: list[tuple[str, int]] = []
    resumed = cross_validate(mission, 2, progress=lambda what, done, _of: met.append((what, done)))
    assert not [row for row in met if row[0] == "fold 1 of 2"], "the first fold was fitted again"
    assert ("fold 2 of 2", 10) not in met
    assert resumed.judgements == expected.judgements


def trial(name: str, accuracy: float, latency: float) -> Trial:
    return Trial(Candidate(name, 0.01), 10, accuracy, latency, 40.0, 1000)


def test_the_rule_weighs_accuracy_against_latency() -> None:
    slow, quick, late = (
        trial("slow", 0.90, 36.0),
        trial("quick", 0.85, 4.0),
        trial("late", 1.0, 41.0),
    )
    assert slow.score == pytest.approx(0.90 - LATENCY_WEIGHT * 0.9)
    assert best_trials([slow, late, quick], 2) == [quick, slow]
    assert best_trials([slow, late], 1) == [slow], "what is over the budget never wins"
    same = trial("same", 0.85, 4.0)
    assert best_trials([quick, same], 1) == [quick]


def test_the_front_holds_what_nothing_beats() -> None:
    best, quick, beaten = trial("a", 0.9, 20.0), trial("b", 0.8, 5.0), trial("c", 0.8, 6.0)
    assert pareto_front([best, beaten, quick]) == [best, quick]


def test_rungs_halve_the_candidates_and_double_the_steps() -> None:
    assert rungs(8, 400) == [(8, 100), (4, 200), (2, 400)]
    assert rungs(4, 400) == [(4, 100), (2, 200)]
    assert rungs(2, 400) == [(2, 100)]


def test_candidates_begin_with_the_missions_own(mission: Mission) -> None:
    found = candidates(mission, 4)
    assert found[0].settings == (
        "model.factory=tiny_pictures:classifier",
        "train.learning_rate=0.01",
    )
    assert [one.name for one in found[1:]] == [
        "other_classifier-0.01",
        "classifier-0.005",
        "other_classifier-0.005",
    ]
    with pytest.raises(UsageError, match="finds nothing"):
        candidates(mission, 1)


def test_the_search_takes_the_quick_one_when_accuracy_is_no_different(mission: Mission) -> None:
    def measured(given: Mission) -> float:
        return 35.0 if given.model.factory == "tiny_pictures:classifier" else 1.0

    one_step = mission.model_copy(update={"train": mission.train.model_copy(update={"steps": 4})})
    report = search(one_step, 2, progress=silent, measure=measured)
    assert {trial.latency_ms for trial in report.trials} == {35.0, 1.0}
    assert report.chosen == best_trials(report.trials, 1)[0]
    assert report.chosen.candidate.factory == "tiny_pictures:other_classifier"


def test_the_search_measures_latency_and_leaves_a_record(mission: Mission, tmp_path: Path) -> None:
    assert latency_ms(mission) > 0.0
    report = search(mission, 4, progress=silent)
    assert [trial.steps for trial in report.trials] == [7, 7, 7, 7, 15, 15]
    assert report.chosen in report.trials[-2:]
    kept = read_run(report.record).run
    assert kept.kind == "search"
    assert kept.details["chosen"] == list(report.chosen.candidate.settings)
    assert "accuracy - 0.1 x latency" in kept.details["rule"]
    assert [path.name for path in (tmp_path / "pictures" / "out").iterdir()] == ["runs"]


def test_a_learning_rate_that_breaks_a_network_has_lost(mission: Mission) -> None:
    assert mission.train is not None
    wild = mission.model_copy(
        update={"train": mission.train.model_copy(update={"learning_rate": 1e25})}
    )
    report = search(wild, 2, progress=silent, measure=lambda _mission: 1.0)
    assert report.chosen.accuracy <= 0.5
