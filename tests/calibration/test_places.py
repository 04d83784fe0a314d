"""Data sets at URLs: an archive on a real web server works like a folder; what does not is one
message. Buckets are in tests/converters/test_bucket.py.
"""

from __future__ import annotations

import http.server
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from data_sets import masks

from calibration.dataset.lock import lock_dataset
from calibration.dataset.places import place_at
from firmware_bridge.errors import Missing, Refusal, UsageError

pytest.importorskip("aiohttp", reason="fsspec reads http by aiohttp: pip install aiohttp")


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # the base's name
        """Says nothing."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """A web server over tmp_path/site, which holds a data set as a folder and as an archive."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "road").mkdir()
    masks(tmp_path / "site" / "road")
    shutil.make_archive(str(tmp_path / "site" / "road"), "zip", tmp_path / "site" / "road")
    (tmp_path / "site" / "broken.zip").write_bytes(b"PK no archive" * 100)
    handler = partial(Quiet, directory=str(tmp_path / "site"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def version(place: str) -> str:
    lock = lock_dataset(place, format_name=None, fps=1.0, licence=None, progress=lambda *_: None)
    return lock.version


def test_an_archive_on_a_web_server_is_the_folder_it_holds(site: str, tmp_path: Path) -> None:
    # This server answers no requests for parts of a file, so fsspec copies it first.
    assert version(f"zip::simplecache::{site}/road.zip") == version(str(tmp_path / "site" / "road"))


@pytest.mark.parametrize(
    ("place", "kind", "said"),
    [
        ("zip::simplecache::{site}/gone.zip", Missing, "gone.zip"),
        ("zip::simplecache::{site}/broken.zip", Missing, "not a zip file"),
        ("zip::{site}/road.zip", UsageError, "range requests"),
        ("filecache::{site}/road.zip", UsageError, "filecache"),
        ("{site}/road", UsageError, "a web page, which lists no files"),
        ("zip::http://127.0.0.1:9/road.zip", Missing, "127.0.0.1:9"),
        ("http://me:hunter2@127.0.0.1/road.zip", UsageError, "http://me:...@127.0.0.1/road.zip"),
    ],
)
def test_what_cannot_be_read_is_one_message(
    place: str, kind: type[Refusal], said: str, site: str
) -> None:
    with pytest.raises(kind) as refused:
        place_at(place.format(site=site))
    assert said in refused.value.found
    assert "hunter2" not in str(refused.value)
