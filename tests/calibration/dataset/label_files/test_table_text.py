"""CSV tables in the forms that common tools write: `data lock` and `data.table` read the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from data_sets import put

from calibration.dataset.frames.images import image_frames
from calibration.dataset.label_files.table_text import NoTable, rows
from calibration.dataset.readers.formats import READERS
from calibration.dataset.storage.open_storage import open_storage
from firmware_bridge.errors import Refusal, UsageError

DRIVES = ("day/0", "day/0", "fog 1", "fog 1")


def table(separator: str = ",", *, end: str = "\n", path: str = "{}", head: str = "") -> str:
    lines = [separator.join(("file", "drive", "weather"))]
    for number, drive in enumerate(DRIVES):
        name = path.format(f"frames/{number}.png")
        lines.append(separator.join((name, drive, "foggy" if number > 1 else "sunny")))
    return head + "".join(line + end for line in lines)


WRITTEN = {
    "comma": table().encode(),
    "semicolon": table(";").encode(),
    "tab": table("\t").encode(),
    "spaces": table(", ").encode(),
    "byte order mark": table(";", end="\r\n").encode("utf-8-sig"),
    "utf-16": table("\t", end="\r\n").encode("utf-16"),
    "sep line": ("sep=;\r\n" + table(";")).encode(),
    "comment": table(head="# made by hand, 2024\n\n").encode(),
    "quoted": table('","', path='"{}').replace("file", '"file', 1).replace("\n", '"\n').encode(),
    "backslashes": table().replace("frames/", "frames\\").encode(),
    "dot": table(path="./{}").encode(),
    "another machine": table(path="/home/me/set/{}").encode(),
    "windows": table(path="C:\\data\\{}").encode(),
    "empty lines": (table() + "\n,,\n").encode(),
    "header": table().replace("file,drive", " File , Drive ", 1).encode(),
    "file column behind": "".join(
        ",".join(reversed(line.split(","))) + "\n" for line in table().splitlines()
    ).encode(),
}


@pytest.mark.parametrize("kind", WRITTEN)
def test_a_lock_and_a_mission_read_the_same_table(kind: str, tmp_path: Path) -> None:
    for number in range(len(DRIVES)):
        put(tmp_path / "frames" / f"{number}.png", number)
    (tmp_path / "labels.csv").write_bytes(WRITTEN[kind])
    reading = READERS["folder"].read(open_storage(str(tmp_path)), 1.0)
    assert reading.problems == ()
    locked = [(one.name, one.group, one.conditions.weather) for one in reading.entries]
    frames = image_frames(tmp_path, table="labels.csv", group="drive")
    assert [(one.name, one.group, one.conditions.weather) for one in frames] == locked
    assert [group for _, group, _ in locked] == list(DRIVES)
    assert [weather for *_, weather in locked] == ["clear", "clear", "fog", "fog"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("file,drive\na.png,1,2\n", "3 cells in line 2, 2 in the header"),
        ("file,drive,drive\na.png,1,2\n", "the column 'drive' twice"),
        ('file,drive\n"a.png,1\nb.png,2\n', "line 3"),
    ],
)
def test_what_is_no_table_is_refused_by_both(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(NoTable, match=words):
        list(rows(text))
    put(tmp_path / "a.png", 1)
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(Refusal) as locked:
        READERS["folder"].read(open_storage(str(tmp_path)), 1.0)
    with pytest.raises(Refusal) as framed:
        image_frames(tmp_path, table="labels.csv", group="drive")
    assert words in locked.value.found
    assert words in framed.value.found


def test_a_table_without_a_header_is_refused(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        put(tmp_path / name, 1)
    (tmp_path / "boxes.csv").write_text("a.png,1,2,3,4,car\nb.png,1,2,3,4,car\n")
    with pytest.raises(UsageError, match="has no header"):
        READERS["folder"].read(open_storage(str(tmp_path)), 1.0)


def test_classes_that_are_numbers_have_names_beside_or_are_refused(tmp_path: Path) -> None:
    put(tmp_path / "a.png", 1)
    (tmp_path / "class_names.csv").write_text("id,name\n0,stop\n")
    (tmp_path / "labels.csv").write_text("file,class\na.png,0\n")
    reading = READERS["folder"].read(open_storage(str(tmp_path)), 1.0)
    assert reading.entries[0].label == "stop"
    (tmp_path / "labels.csv").write_text("file,class\na.png,7\n")
    (problem,) = READERS["folder"].read(open_storage(str(tmp_path)), 1.0).problems
    assert (problem.where, problem.what) == ("labels.csv, line 2", "class 7 has no name")
