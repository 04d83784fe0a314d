"""Zip archives that Python cannot read, whatever it raises: a refusal, never a traceback."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from calibration.dataset.readers.arrays import describe_archive
from calibration.dataset.storage.open_storage import open_storage
from calibration.observation.observation import unpack
from converters.sources.first_mission.signature import _exported_size
from firmware_bridge.errors import NotTrusted, UsageError

LOCAL, CENTRAL = b"PK\x03\x04", b"PK\x01\x02"


def patched(data: bytes, *, at: int, value: int) -> bytes:
    """Every entry with a 16-bit field changed; `at` counts from the local header's start, and the
    central directory has the same field two bytes further."""
    changed = bytearray(data)
    for signature, offset in ((LOCAL, at), (CENTRAL, at + 2)):
        place = changed.find(signature)
        while place >= 0:
            changed[place + offset : place + offset + 2] = value.to_bytes(2, "little")
            place = changed.find(signature, place + 4)
    return bytes(changed)


def damaged(data: bytes, how: str) -> bytes:
    """`data`, a zip archive, as Python's reader refuses it."""
    if how == "locked by a password":
        return patched(data, at=6, value=1)
    if how == "unknown compression":
        return patched(data, at=8, value=99)
    if how == "cut":
        return data[: len(data) // 2]
    return patched(data, at=8, value=zipfile.ZIP_DEFLATED)  # stored bytes that are no deflate


WAYS = ("locked by a password", "unknown compression", "cut", "not deflated")


@pytest.fixture
def archive() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, images=np.arange(4 * 48, dtype=np.uint8).reshape(4, 4, 4, 3), header=[1])
    return stream.getvalue()


@pytest.mark.parametrize("how", WAYS)
def test_a_data_set_of_arrays_is_refused(archive: bytes, how: str, tmp_path: Path) -> None:
    (tmp_path / "set.npz").write_bytes(damaged(archive, how))
    with pytest.raises(UsageError, match=r"set\.npz"):
        describe_archive(open_storage(str(tmp_path)), "set.npz")


@pytest.mark.parametrize("how", WAYS)
def test_an_observation_is_not_trusted(archive: bytes, how: str) -> None:
    with pytest.raises(NotTrusted):
        unpack(damaged(archive, how), source="observation.npz")


@pytest.mark.parametrize("how", WAYS)
def test_a_program_tells_no_picture_size(how: str, tmp_path: Path) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as program:
        program.writestr("net/models/model.json", '{"graph_module": {}}')
    (tmp_path / "net.pt2").write_bytes(damaged(stream.getvalue(), how))
    assert _exported_size(tmp_path / "net.pt2") is None
