"""Which files of a folder are pictures, their order, and links: one rule for every verb."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.perception.pictures.files import SUFFIXES, files_below, is_picture, natural_order
from firmware_bridge.errors import UsageError


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())


def names(root: Path) -> list[str]:
    return list(files_below(root, deep=True, pictures_only=True))


class TestOrder:
    def test_numbers_are_numbers(self) -> None:
        given = [f"frame_{n}.png" for n in (0, 1, 2, 9, 10, 11, 100)]
        given += [f"Frame_1({n}).jpg" for n in (1, 2, 10)]
        ordered = sorted(sorted(given), key=natural_order)
        assert ordered == given[-3:] + given[:-3]

    def test_folder_by_folder(self) -> None:
        found = sorted(["b10/1.png", "b2/10.png", "b2/9.png", "a.png"], key=natural_order)
        assert found == ["a.png", "b2/9.png", "b2/10.png", "b10/1.png"]

    @given(st.lists(st.text(alphabet="a09._/", min_size=1, max_size=8), unique=True))
    def test_names_that_differ_never_tie(self, found: list[str]) -> None:
        assert len({natural_order(name) for name in found}) == len(found)
        sorted(found, key=natural_order)  # keys compare, whatever is in them

    def test_a_folder_is_listed_in_it(self, tmp_path: Path) -> None:
        touch(tmp_path, "10.png", "9.jpg", "sub/2.png", "sub/11.png")
        assert names(tmp_path) == ["9.jpg", "10.png", "sub/2.png", "sub/11.png"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_suffix_counts_in_any_case(suffix: str) -> None:
    assert is_picture(f"a{suffix}")
    assert is_picture(f"A{suffix.upper()}")
    assert not is_picture(f"a{suffix}.txt")


class TestLinks:
    def test_inside_the_root_they_are_followed(self, tmp_path: Path) -> None:
        touch(tmp_path, "all/1.png", "all/2.png", ".git/annex/3.png")
        (tmp_path / "train").mkdir()
        (tmp_path / "train" / "1.png").symlink_to("../all/1.png")
        (tmp_path / "3.png").symlink_to(".git/annex/3.png")
        (tmp_path / "val").symlink_to("all")
        found = files_below(tmp_path, deep=True)
        expected = ["3.png", "all/1.png", "all/2.png", "train/1.png", "val/1.png", "val/2.png"]
        assert list(found) == expected
        assert found["3.png"] == len(".git/annex/3.png")

    @pytest.mark.parametrize("kind", ["relative", "absolute", "folder", "dead", "to itself"])
    def test_those_that_leave_it_are_refused_by_name(self, kind: str, tmp_path: Path) -> None:
        root = tmp_path / "set"
        touch(tmp_path, "set/1.png", "store/2.png")
        targets = {
            "relative": "../store/2.png",
            "absolute": str(tmp_path / "store" / "2.png"),
            "folder": "../store",
            "dead": "nowhere.png",
            "to itself": "2.png",
        }
        name = "2" if kind == "folder" else "2.png"
        (root / name).symlink_to(targets[kind])
        with pytest.raises(UsageError, match=r"1 links in .* do not lead to a file") as refused:
            files_below(root, deep=True, pictures_only=True)
        assert refused.value.found.startswith(f"{name} (leads ")
        assert "cp -rL" in refused.value.remedy

    def test_the_root_itself_may_be_a_link(self, tmp_path: Path) -> None:
        touch(tmp_path, "store/1.png")
        (tmp_path / "set").symlink_to("store")
        assert names(tmp_path / "set") == ["1.png"]

    def test_loops_end(self, tmp_path: Path) -> None:
        touch(tmp_path, "a/1.png", "b/2.png")
        (tmp_path / "a" / "up").symlink_to("..")
        (tmp_path / "a" / "b").symlink_to("../b")
        (tmp_path / "b" / "a").symlink_to("../a")
        assert names(tmp_path) == ["a/1.png", "a/b/2.png", "b/2.png", "b/a/1.png"]

    def test_folders_that_lead_to_each_other_a_million_times_are_refused(
        self, tmp_path: Path
    ) -> None:
        for one in range(12):
            touch(tmp_path, f"{one}/x.png")
            for other in range(12):
                if one != other:
                    (tmp_path / str(one) / f"to{other}").symlink_to(f"../{other}")
        with pytest.raises(UsageError, match="reached through links"):
            files_below(tmp_path, deep=True)

    def test_one_folder_alone_has_the_same_rule(self, tmp_path: Path) -> None:
        touch(tmp_path, "set/1.png", "set/sub/3.png", "store/2.png")
        (tmp_path / "set" / "0.png").symlink_to("1.png")
        found = files_below(tmp_path / "set", deep=False, pictures_only=True)
        assert list(found) == ["0.png", "1.png"]
        (tmp_path / "set" / "2.png").symlink_to(os.fspath(tmp_path / "store" / "2.png"))
        with pytest.raises(UsageError):
            files_below(tmp_path / "set", deep=False, pictures_only=True)
