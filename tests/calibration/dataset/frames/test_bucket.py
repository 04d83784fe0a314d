"""A bucket works like a folder: every verb against a real S3 API over HTTP (moto's server), and one
message where the bucket, the credentials, an object or the connection fail.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import fsspec
import numpy as np
import pytest
from mask_road import write_mission

CLI = Callable[..., tuple[int, str, str]]
BUCKET, ROOT = "roads", "s3://roads/set"

needs_s3 = "an S3 server and client: pip install '.[bucket,dev]'"
pytest.importorskip("s3fs", reason=needs_s3)
servers = pytest.importorskip("moto.server", reason=needs_s3)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it tells of every request
    server = servers.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


def point_at(monkeypatch: pytest.MonkeyPatch, endpoint: str, **settings: str) -> None:
    """A user's own settings, and no session left from earlier ones."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    given = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "someone",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        **settings,
    }
    for name, value in given.items():
        if value:
            monkeypatch.setenv(name, value)
        else:
            monkeypatch.delenv(name, raising=False)
    fsspec.get_filesystem_class("s3").clear_instance_cache()


@pytest.fixture
def mission(endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A mission beside its folder `road`, and the same files in the bucket."""
    import boto3

    point_at(monkeypatch, endpoint)
    path = write_mission(tmp_path)
    client = boto3.client("s3")
    client.create_bucket(Bucket=BUCKET)
    for one in client.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        client.delete_object(Bucket=BUCKET, Key=one["Key"])
    for file in (tmp_path / "road").rglob("*"):
        if file.is_file():
            key = file.relative_to(tmp_path / "road").as_posix()
            client.put_object(Bucket=BUCKET, Key=f"set/{key}", Body=file.read_bytes())
    return path


def put(key: str, data: bytes) -> None:
    import boto3

    boto3.client("s3").put_object(Bucket=BUCKET, Key=f"set/{key}", Body=data)


def test_a_bucket_gives_what_a_folder_gives(mission: Path, brakepoint: CLI, tmp_path: Path) -> None:
    locks = {}
    for name, place in (("bucket", ROOT), ("folder", tmp_path / "road")):
        code, _, err = brakepoint("data", "lock", place, "--out", tmp_path / f"{name}.json")
        assert code == 0, err
        locks[name] = json.loads((tmp_path / f"{name}.json").read_text())
    assert locks["bucket"]["source"] == ROOT
    assert locks["bucket"]["version"] == locks["folder"]["version"]
    assert brakepoint("data", "check", tmp_path / "bucket.json")[0] == 0
    model = ("--model", mission.parent / "network.onnx")
    figures = []
    for place in (ROOT, tmp_path / "bucket.json", tmp_path / "road"):
        code, out, err = brakepoint("evaluate", mission, *model, "--data", place, "--json")
        assert code == 0, err
        told = json.loads(out)["model"]
        figures.append((told["overall"], told["by_class"], told["data"]["digest"]))
    assert figures[0] == figures[1] == figures[2]


def test_frames_are_calibrated_on_and_judged_from_a_bucket(
    mission: Path, brakepoint: CLI, tmp_path: Path
) -> None:
    made = []
    lock = tmp_path / "bucket.json"
    assert brakepoint("data", "lock", ROOT, "--out", lock)[0] == 0
    text = mission.read_text()
    there = tmp_path / "there.toml"
    there.write_text(text.replace('root = "road"', f'url = "{ROOT}"\nlock = "bucket.json"'))
    for name, file in (("folder", mission), ("bucket", there)):
        out = tmp_path / name
        code, _, err = brakepoint("calibrate", file, "--out", out)
        assert code == 0, err
        gate = ("--set", "gates.accuracy_min=0.9")
        code, _, err = brakepoint("convert", file, "--out", out, *gate)
        assert code == 0, err
        made.append([(out / one).read_bytes() for one in ("ranges.json", "int8.onnx", "cpu.onnx")])
    assert made[0] == made[1]


def test_what_changed_in_the_bucket_since_the_lock_is_not_trusted(
    mission: Path, brakepoint: CLI, tmp_path: Path
) -> None:
    lock = tmp_path / "lock.json"
    assert brakepoint("data", "lock", ROOT, "--out", lock)[0] == 0
    _, data = cv2.imencode(".png", np.full((48, 64, 3), 90, np.uint8))
    put("images/004.png", data.tobytes())
    given = (mission, "--model", mission.parent / "network.onnx", "--data", lock)
    code, _, err = brakepoint("evaluate", *given)
    assert code == 4
    assert "images/004.png is not the picture that was locked" in err
    code, out, _ = brakepoint("data", "check", lock)
    assert code == 1
    assert "1 record changed since the lock" in out
    text = mission.read_text().replace('root = "road"', f'url = "{ROOT}"\nlock = "lock.json"')
    mission.write_text(text)
    code, _, err = brakepoint("calibrate", mission, "--out", tmp_path / "out")
    assert code == 4
    assert "images/004.png: was changed" in err
    assert not (tmp_path / "out" / "ranges.json").exists()


def refused(brakepoint: CLI, place: str, out: Path) -> str:
    code, _, err = brakepoint("data", "lock", place, "--out", out)
    assert code == 3
    assert not out.exists()
    for word in ("expected:", "found:", "to mend:"):
        assert err.count(word) == 1
    return err


def test_a_bucket_that_is_not_there(mission: Path, brakepoint: CLI, tmp_path: Path) -> None:
    out = tmp_path / "lock.json"
    assert "bucket does not exist" in refused(brakepoint, "s3://nobody/set", out)
    assert "nothing by the name of roads/other" in refused(brakepoint, "s3://roads/other", out)


def test_credentials_that_are_wrong_or_missing(
    mission: Path,
    endpoint: str,
    brakepoint: CLI,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from moto import settings

    out = tmp_path / "lock.json"
    monkeypatch.setattr(settings, "INITIAL_NO_AUTH_ACTION_COUNT", 0.0)  # from now on it looks
    point_at(monkeypatch, endpoint, AWS_ACCESS_KEY_ID="nobody")
    found = refused(brakepoint, ROOT, out)
    assert "credentials" in found
    assert "Forbidden" in found
    point_at(monkeypatch, endpoint, AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    assert "Unable to locate credentials" in refused(brakepoint, ROOT, out)
    code, _, err = brakepoint("data", "lock", "sftp://me:hunter2@host/roads", "--out", out)
    assert code == 2
    assert "hunter2" not in err


class Cutting:
    """A wire to the server that is cut in the middle of one object."""

    def __init__(self, endpoint: str, marker: bytes) -> None:
        host, port = endpoint.removeprefix("http://").split(":")
        self._server, self._marker = (host, int(port)), marker
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.cuts = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._server) as server:
            request = b""
            while b"\r\n\r\n" not in request:
                if not (more := client.recv(65536)):
                    return
                request += more
            first, rest = request.split(b"\r\n", 1)
            server.sendall(first + b"\r\nConnection: close\r\n" + rest)
            answer = b"".join(iter(lambda: server.recv(65536), b""))
            if first.startswith(b"GET") and self._marker in first:
                self.cuts += 1
                answer = answer[: answer.index(b"\r\n\r\n") + 200]
            client.sendall(answer)


@pytest.fixture
def wire(endpoint: str) -> Iterator[Cutting]:
    cutting = Cutting(endpoint, b"images/004.png")
    yield cutting
    cutting.close()


def test_a_connection_that_is_cut_in_the_middle_of_a_picture(
    mission: Path,
    wire: Cutting,
    brakepoint: CLI,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    point_at(monkeypatch, wire.endpoint)
    given: tuple[Any, ...] = (mission, "--model", mission.parent / "network.onnx", "--data", ROOT)
    code, _, err = brakepoint("evaluate", *given, "--out", tmp_path / "out")
    assert wire.cuts > 1  # fsspec tried again
    assert code == 3
    assert "cannot read images/004.png in s3://roads/set" in err
    assert "try again when the connection holds" in err
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())
    lock = tmp_path / "lock.json"
    assert "1 pictures cannot be read" in refused(brakepoint, ROOT, lock)
    point_at(monkeypatch, "http://127.0.0.1:9")  # nobody listens there
    assert "Could not connect" in refused(brakepoint, ROOT, lock)
