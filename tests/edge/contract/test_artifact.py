"""Artifacts: written atomically, and read only with the schema that they state."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from edge.contract.artifact import digest_file, read_json, replacing, write_atomic, write_json
from firmware_bridge.errors import Missing, NotTrusted


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    write_atomic(path, b"old")

    def fail_in_the_middle() -> None:
        with replacing(path) as temporary:
            temporary.write_bytes(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_in_the_middle()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_digest_is_that_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    assert write_atomic(path, b"x" * 3_000_000) == digest_file(path)
    assert digest_file(path) == hashlib.sha256(b"x" * 3_000_000).hexdigest()


def test_json_round_trip_and_refusals(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, "brakepoint.thing/1", {"a": [1, 2.5]})
    assert read_json(path, "brakepoint.thing/1")["a"] == [1, 2.5]
    with pytest.raises(NotTrusted, match=r"brakepoint\.thing/2"):
        read_json(path, "brakepoint.thing/2")
    path.write_text(path.read_text()[:-5])
    with pytest.raises(NotTrusted, match="not valid JSON"):
        read_json(path, "brakepoint.thing/1")
    with pytest.raises(Missing):
        read_json(tmp_path / "none.json", "brakepoint.thing/1")


def test_not_a_number_never_reaches_a_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", "brakepoint.thing/1", {"a": float("nan")})
    assert not list(tmp_path.iterdir())
