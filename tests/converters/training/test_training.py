"""`brakepoint train`: the same weights whatever interrupts it, early stop, records, figures, and
one message for every kind of bad input."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from checkout import HARNESS, ROOT, samples
from tiny_pictures import LABELS, picture_mission, pictures, settings, write_pictures

from calibration.dataset.frames.open_frames import frames_of
from calibration.dataset.records.ground_truth import Truth
from converters.training.run_record import SCHEMA
from converters.training.schedule import learning_rate_of, rows_of
from converters.training.tasks.metrics import class_judgement, detection_figures
from converters.training.tasks.task import balanced
from converters.training.train import train
from edge.contract.artifact import read_json
from edge.contract.mission.loading import MissionInvalid
from edge.contract.run_record import read_run
from edge.perception.values import Detections
from firmware_bridge.errors import GateFailed, Missing, Refusal, UsageError

State = dict[str, torch.Tensor]


def silent(_what: str, _done: int, _of: int) -> None:
    """No progress."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "pictures")


def state_of(path: Path) -> State:
    loaded: State = torch.load(path, weights_only=True)
    return loaded


def same(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def child(folder: Path, *overrides: str) -> subprocess.Popen[str]:
    """`brakepoint train` in a process of its own."""
    sets = [word for one in (*settings(folder), *overrides) for word in ("--set", one)]
    return subprocess.Popen(
        [sys.executable, "-m", "edge.cli", "train", str(ROOT / "examples" / "signs"), *sets],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{HARNESS}:{samples('converters')}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


# the schedule


def test_every_epoch_meets_every_row_once_and_in_another_order() -> None:
    rows = list(range(10, 20))
    seen = [rows_of(step, rows, batch=4, seed=3) for step in range(5)]
    flat = [row for some in seen for row in some]
    assert sorted(flat[:10]) == rows
    assert sorted(flat[10:]) == rows
    assert flat[:10] != flat[10:]
    assert (
        rows_of(1, rows, batch=25, seed=3)[:5]
        == rows_of(6, rows, batch=4, seed=3)[1:] + (rows_of(7, rows, batch=4, seed=3)[:2])
    )


def test_the_learning_rate_rises_to_its_peak_and_falls_to_nothing() -> None:
    rates = [learning_rate_of(step, steps=100, peak=0.01) for step in range(100)]
    assert max(rates) == pytest.approx(0.01)
    assert rates.index(max(rates)) == 20
    assert rates[0] < 0.001
    assert rates[-1] < 0.0001


# the same weights


def test_a_seed_gives_the_same_weights_and_another_seed_others(folder: Path) -> None:
    mission = picture_mission(folder)
    first = state_of(train(mission, progress=silent).weights)
    torch.rand(5)
    assert same(first, state_of(train(mission, progress=silent).weights))
    other = picture_mission(folder, "train.seed=1")
    assert not same(first, state_of(train(other, progress=silent).weights))


def test_training_leaves_the_callers_chance_and_threads_alone(folder: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    threads = torch.get_num_threads()
    train(picture_mission(folder, "train.steps=2"), progress=silent)
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()


def test_killed_and_taken_up_again_it_ends_with_the_same_weights(folder: Path) -> None:
    steps = "train.steps=60"
    straight = picture_mission(folder, steps, f"model.weights={folder / 'straight' / 'weights.pt'}")
    expected = train(straight, progress=silent)
    weights = folder / "out" / "weights.pt"
    checkpoint = folder / "out" / "weights.checkpoint.pt"
    weights.parent.mkdir()
    weights.write_bytes(b"former")
    running = child(folder, steps)
    deadline = time.monotonic() + 120
    while running.poll() is None and time.monotonic() < deadline:
        if checkpoint.exists() and _step_of(checkpoint) >= 5:
            break
        time.sleep(0.002)
    running.send_signal(signal.SIGKILL)
    running.communicate()
    assert weights.read_bytes() == b"former"
    resumed = train(picture_mission(folder, steps), progress=silent)
    assert len(resumed.resumed_at) == 1
    assert 5 <= resumed.resumed_at[0] < 60
    assert same(state_of(expected.weights), state_of(weights))
    assert resumed.curve == expected.curve
    assert resumed.judgement == expected.judgement
    assert not checkpoint.exists()


def _step_of(checkpoint: Path) -> int:
    loaded = torch.load(checkpoint, weights_only=True)
    step: int = loaded["progress"]["step"]
    return step


class Cut(Exception):
    """Somebody stops the training."""


def cut_at(step: int) -> Callable[[str, int, int], None]:
    def advance(what: str, done: int, _of: int) -> None:
        if what == "train" and done == step:
            raise Cut

    return advance


def interrupted(folder: Path, *overrides: str, step: int = 12) -> Path:
    """A training cut off at a step, with its checkpoint."""
    with pytest.raises(Cut):
        train(picture_mission(folder, *overrides), progress=cut_at(step))
    checkpoint = folder / "out" / "weights.checkpoint.pt"
    assert checkpoint.exists()
    return checkpoint


def test_early_stop_is_taken_up_again_too(folder: Path) -> None:
    watch = ("train.patience=2", "train.judge_every=4", "train.steps=80")
    straight = picture_mission(folder, *watch, f"model.weights={folder / 's' / 'weights.pt'}")
    expected = train(straight, progress=silent)
    assert expected.steps < 80, "patience was never over"
    assert expected.best_step == expected.steps - 8
    interrupted(folder, *watch, step=11)
    resumed = train(picture_mission(folder, *watch), progress=silent)
    assert resumed.resumed_at == (10,)
    assert (resumed.steps, resumed.best_step) == (expected.steps, expected.best_step)
    assert same(state_of(expected.weights), state_of(resumed.weights))


def test_what_early_stop_watches_is_neither_fitted_on_nor_the_judgement(folder: Path) -> None:
    report = train(picture_mission(folder, "train.patience=3", "train.steps=5"), progress=silent)
    assert report.examples + len(LABELS) * 4 * 2 >= 96
    assert report.examples < 96
    assert report.validation_examples == 32


def test_fresh_starts_anew(folder: Path) -> None:
    interrupted(folder)
    report = train(picture_mission(folder), progress=silent, fresh=True)
    assert report.resumed_at == ()


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("model.factory=tiny_pictures:other_classifier", "architecture"),
        ("train.learning_rate=0.02", "train.learning_rate: 0.01 there, 0.02 here"),
        ("train.seed=9", "train.seed"),
    ],
)
def test_a_checkpoint_of_another_training_is_refused(
    folder: Path, override: str, named: str
) -> None:
    checkpoint = interrupted(folder)
    before = checkpoint.read_bytes()
    with pytest.raises(UsageError, match="another training") as refused:
        train(picture_mission(folder, override), progress=silent)
    assert named in refused.value.found
    assert "--fresh" in refused.value.remedy
    assert checkpoint.read_bytes() == before


def test_other_pictures_are_another_training(folder: Path) -> None:
    interrupted(folder)
    write_pictures(folder, images=pictures(24, seed=7, first_track=0)["images"])
    with pytest.raises(UsageError, match="another training") as refused:
        train(picture_mission(folder), progress=silent)
    assert "data" in refused.value.found


@pytest.mark.parametrize("content", [b"", b"no checkpoint at all", None])
def test_a_broken_checkpoint_is_refused(folder: Path, content: bytes | None) -> None:
    checkpoint = interrupted(folder)
    checkpoint.write_bytes(checkpoint.read_bytes()[:-500] if content is None else content)
    with pytest.raises(UsageError, match="not a whole checkpoint"):
        train(picture_mission(folder), progress=silent)


def test_how_often_checkpoints_are_written_does_not_change_the_recipe(folder: Path) -> None:
    interrupted(folder)
    report = train(picture_mission(folder, "train.checkpoint_every=50"), progress=silent)
    assert report.resumed_at == (10,)


# bad input


def refused(folder: Path, *overrides: str) -> Refusal:
    with pytest.raises(Refusal) as caught:
        train(picture_mission(folder, *overrides), progress=silent)
    assert not (folder / "out" / "weights.pt").exists()
    return caught.value


def test_missing_labels(folder: Path) -> None:
    write_pictures(folder, labels=None)
    assert "labels: none" in refused(folder).found


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        (np.zeros(7, np.int16), "`labels` (7,) for 96 images"),
        (np.full(96, np.nan), "labels: float64"),
        (np.full(96, -1, np.int16), "-1"),
        (np.full(96, 4, np.int16), "4"),
    ],
)
def test_labels_that_are_none(folder: Path, labels: np.ndarray, found: str) -> None:
    write_pictures(folder, labels=labels)
    with pytest.raises(UsageError) as caught:
        train(picture_mission(folder), progress=silent)
    assert found in caught.value.found


def test_a_label_without_a_picture_is_named(folder: Path) -> None:
    write_pictures(folder, **pictures(0, seed=1, first_track=0, counts=(9, 9, 0, 9)))
    assert "no training example of: block" in refused(folder).what


def test_a_track_in_both_parts_is_refused(folder: Path) -> None:
    np.savez(folder / "val.npz", **pictures(8, seed=2, first_track=3))
    assert "track is in training and in validation" in refused(folder).what


def test_the_same_picture_in_both_parts_is_refused(folder: Path) -> None:
    np.savez(folder / "val.npz", **pictures(24, seed=1, first_track=50))
    assert "picture is in training and in validation" in refused(folder).what


@pytest.mark.parametrize("part", ["train.npz", "val.npz"])
def test_a_missing_or_cut_file_is_named(folder: Path, part: str) -> None:
    whole = (folder / part).read_bytes()
    (folder / part).write_bytes(whole[: len(whole) // 2])
    assert part in refused(folder).what
    (folder / part).unlink()
    missing = refused(folder)
    assert isinstance(missing, Missing)
    assert part in missing.what


def test_pictures_of_another_size_are_brought_to_the_networks(folder: Path) -> None:
    given = pictures(24, seed=1, first_track=0)
    large = np.array([cv2.resize(image, (50, 40)) for image in given["images"]])
    write_pictures(folder, images=large)
    report = train(picture_mission(folder, "train.steps=60"), progress=silent)
    assert report.judgement.score > 0.8


def test_pictures_that_are_none_are_refused(folder: Path) -> None:
    write_pictures(folder, images=np.zeros((96, 24, 24, 4), np.uint8))
    assert "(96, 24, 24, 4)" in refused(folder).found


def test_grey_pictures_are_pictures(folder: Path) -> None:
    grey = np.load(folder / "train.npz")["images"][:, :, :, 0]
    write_pictures(folder, images=grey)
    assert train(picture_mission(folder, "train.steps=2"), progress=silent).steps == 2


@pytest.mark.parametrize(
    ("factory", "found"),
    [
        ("tiny_pictures:fails", "RuntimeError: no such weights"),
        ("tiny_pictures:no_network", "int"),
        ("tiny_pictures:one_label_more", "5 labels"),
        ("tiny_pictures:for_larger_pictures", "RuntimeError"),
    ],
)
def test_a_factory_or_network_that_does_not_fit(folder: Path, factory: str, found: str) -> None:
    assert found in refused(folder, f"model.factory={factory}").found
    assert not (folder / "out").exists()


def test_a_refused_training_leaves_nothing_that_blocks_the_next_one(folder: Path) -> None:
    write_pictures(folder, **pictures(0, seed=1, first_track=0, counts=(9, 9, 0, 9)))
    refused(folder)
    write_pictures(folder)
    assert train(picture_mission(folder), progress=silent).resumed_at == ()


def test_a_checkpoint_before_the_first_step_loses_nothing(folder: Path) -> None:
    interrupted(folder, step=2)
    other = picture_mission(folder, "train.learning_rate=0.02")
    assert train(other, progress=silent).resumed_at == ()


def test_a_loss_that_leaves_the_numbers_is_refused(folder: Path) -> None:
    mission = picture_mission(folder)
    assert mission.train is not None
    settings = mission.train.model_copy(update={"learning_rate": 1e30})  # no file may say so
    with pytest.raises(GateFailed, match="finite"):
        train(mission.model_copy(update={"train": settings}), progress=silent)


def test_a_full_disk_is_one_message_and_leaves_what_was_there(folder: Path) -> None:
    weights = folder / "out" / "weights.pt"
    weights.parent.mkdir()
    weights.write_bytes(b"former")
    sets = [word for one in settings(folder) for word in ("--set", one)]
    done = subprocess.run(
        [sys.executable, "-m", "edge.cli", "train", str(ROOT / "examples" / "signs"), *sets],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{HARNESS}:{samples('converters')}"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 5
    assert "the system refused a file operation" in done.stderr
    assert "Traceback" not in done.stderr
    assert weights.read_bytes() == b"former"
    assert [path.name for path in weights.parent.iterdir()] == ["weights.pt"]


# folders of pictures


def test_folders_named_after_the_labels(folder: Path) -> None:
    for part, seed, track in (("train", 1, 0), ("val", 2, 100)):
        given = pictures(12, seed=seed, first_track=track)
        for row, (image, label) in enumerate(zip(given["images"], given["labels"], strict=True)):
            path = folder / part / LABELS[label] / f"track{given['tracks'][row]}" / f"{row}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), image)
    report = train(picture_mission(folder, "data.kind=images", "train.steps=60"), progress=silent)
    assert (report.examples, report.validation_examples) == (48, 48)
    assert report.judgement.score > 0.7
    (folder / "train" / "cone").mkdir()
    cv2.imwrite(str(folder / "train" / "cone" / "x.png"), given["images"][0])
    with pytest.raises(UsageError, match=r"cone.x\.png has no label"):
        train(picture_mission(folder, "data.kind=images"), progress=silent)


# figures and records


def test_class_weights_help_the_rare_label(folder: Path) -> None:
    weights = balanced([0] * 80 + [1] * 10 + [2] * 10, ["a", "b", "c"], what="labels", remedy="-")
    assert weights[1] == weights[2] > 1 > weights[0]
    with pytest.raises(UsageError, match="no training example of: b"):
        balanced([0, 2], ["a", "b", "c"], what="labels", remedy="-")
    write_pictures(folder, **pictures(0, seed=1, first_track=0, counts=(60, 60, 60, 8)))
    recall = {
        kind: train(
            picture_mission(folder, f"train.class_weights={kind}", "train.steps=60"),
            progress=silent,
        ).judgement.by_label["ring"]["recall"]
        for kind in ("none", "balanced")
    }
    assert recall["balanced"] > recall["none"]


def test_a_balanced_draw_helps_it_too_and_does_not_count_twice(folder: Path) -> None:
    write_pictures(folder, **pictures(0, seed=1, first_track=0, counts=(60, 60, 60, 8)))
    alone = ("train.class_weights=none", "train.steps=60")
    recall = {
        draw: train(
            picture_mission(folder, f"train.draw={draw}", *alone), progress=silent
        ).judgement.by_label["ring"]["recall"]
        for draw in ("shuffled", "balanced")
    }
    assert recall["balanced"] > recall["shuffled"]
    with pytest.raises(MissionInvalid, match="count twice"):
        picture_mission(folder, "train.draw=balanced")


def test_an_epoch_of_a_balanced_draw_has_every_label_equally_often() -> None:
    rows, strata = list(range(100, 140)), ["a"] * 30 + ["b"] * 8 + ["c"] * 2
    shown = [
        row for step in range(10) for row in rows_of(step, rows, batch=4, seed=3, strata=strata)
    ]
    counts = [sum(strata[row - 100] == name for row in shown) for name in "abc"]
    assert counts == [14, 13, 13]
    again = rows_of(7, rows, batch=4, seed=3, strata=strata)
    assert again == shown[28:32]


def test_classes_in_figures() -> None:
    truth, answer = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    judged = class_judgement(truth, answer, labels=["a", "b", "c"])
    assert judged.score == 0.75
    assert judged.by_label["a"] == {"precision": 1.0, "recall": 0.5, "f1": 2 / 3, "examples": 2}
    assert judged.by_label["b"]["precision"] == pytest.approx(2 / 3)
    assert judged.by_label["c"] == {"precision": None, "recall": None, "f1": None, "examples": 0}
    assert judged.confusion == ((1, 1, 0), (0, 2, 0), (0, 0, 0))


def test_detections_in_figures() -> None:
    box = np.array([[0, 0, 10, 10], [20, 20, 30, 30]], np.float32)
    truth = [Truth(box, np.array([0, 1]))]
    seen = [Detections(box, np.array([0.9, 0.2], np.float32), np.array([0, 1]))]
    figures = detection_figures(truth, seen, classes=2, score_min=0.5)
    assert figures["ap50"] == pytest.approx(1.0)
    assert (figures["precision"], figures["recall"]) == (1.0, 0.5)
    assert figures["f1"] == pytest.approx(2 / 3)


def test_every_run_leaves_a_record(folder: Path) -> None:
    mission = picture_mission(folder)
    report = train(mission, progress=silent)
    beside = read_json(folder / "out" / "weights.json", SCHEMA)
    (record,) = (folder / "out" / "runs").iterdir()
    kept = read_run(record).run
    for document in (beside, kept.details):
        assert document["weights_sha256"] == report.weights_sha256
        assert document["recipe"]["train"]["seed"] == 0
        assert document["environment"]["torch"] == torch.__version__
        assert document["judgement"]["figures"]["accuracy"] == report.judgement.score
        assert document["curve"][-1]["step"] == 30
    assert (kept.kind, kept.mission) == ("train", mission.name)
    assert kept.outputs == {"weights": report.weights_sha256}
    assert kept.parameters["train.seed"] == 0
    assert kept.metrics["accuracy"] == report.judgement.score


def test_pictures_are_road_frames_too(folder: Path) -> None:
    frames = frames_of(picture_mission(folder))
    assert len(frames) == 128
    assert len({frame.name for frame in frames}) == 128
    assert max(Counter(frame.group for frame in frames).values()) == 4
    given = pictures(24, seed=1, first_track=0)["images"][0]
    assert np.array_equal(frames[0].read(), given[:, :, ::-1])
