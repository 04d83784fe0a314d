"""The ground truth of a clip is read as `scenes` writes it; impossible values are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edge.contract.clip_truth import TRUTH_SCHEMA, TrueFrame, TrueObject, read_truth
from firmware_bridge.errors import Missing, NotTrusted


def written(folder: Path, **changes: Any) -> Path:
    """A truth file of two frames; `changes` replace its keys."""
    first = {"time_s": 0.0, "objects": []}
    second = {"time_s": 0.04, "objects": [{"label": "pedestrian", "box": [1, 2, 3.5, 4]}]}
    path = folder / "truth.json"
    path.write_text(json.dumps({"schema": TRUTH_SCHEMA, "frames": [first, second], **changes}))
    return path


def test_frames_objects_and_times_are_read(tmp_path: Path) -> None:
    assert read_truth(written(tmp_path)) == (
        TrueFrame(0.0, ()),
        TrueFrame(0.04, (TrueObject("pedestrian", (1.0, 2.0, 3.5, 4.0)),)),
    )


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"schema": "brakepoint.run/1"}, "brakepoint.run/1"),
        ({"frames": []}, "no list of frames"),
        ({"frames": [{"time_s": 0.0}]}, "frame 0 has no list of objects"),
        ({"frames": [{"time_s": True, "objects": []}]}, "time_s True"),
        ({"frames": [{"time_s": float("nan"), "objects": []}]}, "time_s nan"),
        ({"frames": [{"time_s": 1.0, "objects": []}] * 2}, "does not ascend"),
        (
            {"frames": [{"time_s": 0, "objects": [{"label": "a", "box": [1, 2, 3]}]}]},
            "four numbers",
        ),
        (
            {"frames": [{"time_s": 0, "objects": [{"label": "a", "box": [3, 2, 1, 4]}]}]},
            "inside out",
        ),
        ({"frames": [{"time_s": 0, "objects": [{"box": [1, 2, 3, 4]}]}]}, "without a label"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_frame(
    tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(NotTrusted) as refused:
        read_truth(written(tmp_path, **changes))
    assert says in str(refused.value)


def test_no_file_and_no_json_are_one_message_each(tmp_path: Path) -> None:
    with pytest.raises(Missing):
        read_truth(tmp_path / "none.json")
    for text in ("{", "[" * 100_000, "[]"):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(NotTrusted):
            read_truth(tmp_path / "bad.json")
