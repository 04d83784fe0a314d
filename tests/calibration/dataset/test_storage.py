"""Data sets at URLs: an archive on a real web server works like a folder; a failure is one message.

Buckets are in tests/calibration/dataset/frames/test_bucket.py.
"""

from __future__ import annotations

import http.server
import shutil
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from data_sets import masks

from calibration.dataset.lock.lock import lock_dataset
from calibration.dataset.scan import digests
from calibration.dataset.storage.open_storage import open_storage
from firmware_bridge.errors import Missing, Refusal, UsageError

pytest.importorskip("aiohttp", reason="fsspec reads http by aiohttp: pip install aiohttp")


class Quiet(http.server.SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        """Leads /led.zip to a signed address, as file servers do, which lets nobody in."""
        if self.path == "/led.zip":
            self.send_response(302)
            self.send_header("Location", "/kept.zip?X-Amz-Signature=hunter2")
            self.end_headers()
        elif self.path.startswith("/kept.zip"):
            self.send_error(403)
        else:
            super().do_GET()

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


def version(storage: str) -> str:
    lock = lock_dataset(storage, format_name=None, fps=1.0, licence=None, progress=lambda *_: None)
    return lock.version


def test_an_archive_on_a_web_server_is_the_folder_it_holds(site: str, tmp_path: Path) -> None:
    # This server answers no requests for parts of a file, so fsspec copies it first.
    assert version(f"zip::simplecache::{site}/road.zip") == version(str(tmp_path / "site" / "road"))


@pytest.mark.parametrize(
    ("storage", "kind", "said"),
    [
        ("zip::simplecache::{site}/gone.zip", Missing, "gone.zip"),
        ("zip::simplecache::{site}/broken.zip", Missing, "not a zip file"),
        ("zip::{site}/road.zip", UsageError, "range requests"),
        ("filecache::{site}/road.zip", UsageError, "filecache"),
        ("{site}/road", UsageError, "a web page, which lists no files"),
        ("zip::http://127.0.0.1:9/road.zip", Missing, "127.0.0.1:9"),
        ("zip::filecache::{site}/road.zip", UsageError, "filecache"),
        ("tar://::road.tar", UsageError, "tar"),
        ("reference://road", UsageError, "missing"),
        ("http://me:hunter2@127.0.0.1/road.zip", UsageError, "more than http://127.0.0.1/road.zip"),
        ("ftp://me:p@hunter2@127.0.0.1/road", UsageError, "more than ftp://127.0.0.1/road"),
        ("zip::http://hunter2@127.0.0.1/road.zip", UsageError, "than zip::http://127.0.0.1/"),
        ("zip::{site}/road.zip?v=1&X-Amz-Signature=hunter2", UsageError, "more than zip::{site}/"),
        ("zip::simplecache::{site}/road.zip?api_key=hunter2", UsageError, "more than zip::"),
        ("zip::simplecache::{site}/led.zip", Missing, "{site}/led.zip"),
    ],
)
def test_what_cannot_be_read_is_one_message(
    storage: str, kind: type[Refusal], said: str, site: str
) -> None:
    with pytest.raises(kind) as refused:
        open_storage(storage.format(site=site))
    assert said.format(site=site) in refused.value.found
    assert "hunter2" not in str(refused.value)


def test_a_damaged_member_of_an_archive_is_one_message(site: str, tmp_path: Path) -> None:
    archive = tmp_path / "site" / "road.zip"
    storage = open_storage(f"zip://::{archive}")
    (name, *_) = storage.with_suffix(".csv")
    with zipfile.ZipFile(archive) as whole:
        info = whole.getinfo(name)
    data = bytearray(archive.read_bytes())
    start = info.header_offset + 30 + len(name)
    data[start : start + info.compress_size] = b"\xff" * info.compress_size
    archive.write_bytes(data)
    storage = open_storage(f"zip://::{archive}")
    for look in (lambda: storage.read(name), lambda: digests(storage, [name], progress=silent)):
        with pytest.raises(Missing, match=name):
            look()


def silent(what: str, done: int, total: int) -> None:
    """Shows nothing."""


def test_one_file_in_the_root_of_an_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr("labels.json", "{}")
        archive.writestr("other.json", "{}")
    storage = open_storage(f"zip://labels.json::{tmp_path / 'set.zip'}")
    assert list(storage.files) == ["labels.json"]
    assert storage.read("labels.json") == b"{}"
