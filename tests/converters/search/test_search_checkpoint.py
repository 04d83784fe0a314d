"""An interrupted search resumes: measured layers are not measured again, and a checkpoint that is
damaged or of another candidate is refused.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ruined_layer import FRAMES, difference, network, writers

from converters.search import checkpoint
from converters.search.checkpoint import SearchCheckpoint
from converters.search.evaluator import Evaluator
from converters.search.mixed_precision import MixedPrecision, search_mixed_precision
from converters.search.stop_criterion import TaskLossAim
from converters.search.task_loss import TaskLoss
from converters.sources.network import Outputs


class CutOff(Exception):
    """Stands for a kill: it leaves what was on the disk by then."""


def search(path: Path, *, most: int = 10_000) -> tuple[MixedPrecision, int]:
    """What a search chooses, and how many answers it compared; CutOff after `most`."""
    compared = 0

    def measure(reference: Outputs, candidate: Outputs) -> TaskLoss:
        nonlocal compared
        compared += 1
        if compared > most:
            raise CutOff
        return difference(reference, candidate)

    model = network()
    evaluator = Evaluator(model, FRAMES, measure, threads=1, checkpoint=SearchCheckpoint(path))
    mixed = search_mixed_precision(
        model,
        writers(model),
        evaluator,
        FRAMES,
        macs_int8_min=0.1,
        aim=TaskLossAim(0.05),
        threads=1,
        progress=lambda *_: None,
    )
    return mixed, compared


@pytest.fixture(autouse=True)
def _always_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "SAVE_EVERY_S", 0.0)


def test_it_goes_on_to_the_same_choice_and_measures_only_what_is_left(tmp_path: Path) -> None:
    whole, all_of_it = search(tmp_path / "whole.json")
    path = tmp_path / "begun" / "task_losses.json"
    with pytest.raises(CutOff):
        search(path, most=all_of_it - len(FRAMES))
    resumed, rest = search(path)
    assert rest == len(FRAMES)
    assert resumed.search == whole.search
    assert resumed.quantized.SerializeToString() == whole.quantized.SerializeToString()
    assert search(path)[1] == 0


@pytest.mark.parametrize("damage", ["bit", "half", "empty", "another schema"])
def test_a_damaged_memory_is_no_memory(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "task_losses.json"
    whole, all_of_it = search(path)
    data = path.read_bytes()
    if damage == "bit":
        document = json.loads(data)
        first = next(iter(document["task_losses"]))
        document["task_losses"][first] += 1.0
        data = json.dumps(document).encode()
    elif damage == "another schema":
        data = data.replace(checkpoint.SCHEMA.encode(), b"brakepoint.task-losses/0")
    path.write_bytes({"half": data[: len(data) // 2], "empty": b""}.get(damage, data))
    again, compared = search(path)
    assert compared == all_of_it
    assert again.search == whole.search


def test_what_is_no_number_is_not_kept(tmp_path: Path) -> None:
    memory = SearchCheckpoint(tmp_path / "task_losses.json")
    memory.put("a", float("nan"))
    memory.put("b", 0.5)
    assert SearchCheckpoint(tmp_path / "task_losses.json").get("a") is None
    assert SearchCheckpoint(tmp_path / "task_losses.json").get("b") == 0.5
