"""Recipes of pipelines, and what of a pipeline may be shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from stepped_sources import CAMERA

from edge.runtime.sources.gstreamer.messages import BadMessage, Header
from edge.runtime.sources.gstreamer.pipelines import (
    PIPELINES,
    Recipe,
    fill,
    hidden_values,
    quoted,
    shown,
)

PLACES = {
    "csi": {"number": 1},
    "nvjpeg": {"device": "/dev/video2"},
    "rtsp": {"location": "rtsp://10.0.0.7/front"},
}


@pytest.mark.parametrize("kind", PIPELINES)
def test_every_recipe_asks_for_the_missions_picture_and_ends_in_bgr(kind: str) -> None:
    camera = CAMERA.model_copy(update={"width_px": 1280, "height_px": 720, "fps": 29.97})
    for recipe in fill(PIPELINES[kind], camera, **PLACES[kind]):
        assert "{" not in recipe.text
        assert "format=BGR ! appsink" in recipe.text
        if kind != "rtsp":  # a network camera's picture is set in the camera
            assert "width=1280,height=720,framerate=30000/1001" in recipe.text


@pytest.mark.parametrize("kind", PIPELINES)
def test_every_recipe_stands_in_the_documents(kind: str, root: Path) -> None:
    page = " ".join((root / "docs" / "cameras.md").read_text().split())
    for recipe in PIPELINES[kind]:
        assert " ".join(recipe.text.split()) in page, recipe.text


@pytest.mark.requirement("R-RUN-135")
@pytest.mark.parametrize(
    ("text", "public", "hidden"),
    [
        (
            "rtspsrc location=rtsp://joe:pw@h/x?tok=1 user-pw=geheim latency=100 ! decodebin",
            "rtspsrc location=rtsp://h/x user-pw=... latency=100 ! decodebin",
            ("geheim",),
        ),
        (
            r'srtsrc passphrase="a \"b\" ! c" ! video/x-raw,format=(string)NV12, width=640',
            "srtsrc passphrase=... ! video/x-raw,format=(string)NV12, width=640",
            ('a "b" ! c',),
        ),
        (
            "udpsrc caps='application/x-srtp, key=(buffer)0123' port=5000",
            "udpsrc caps=... port=5000",
            ("application/x-srtp, key=(buffer)0123",),
        ),
    ],
)
def test_only_values_that_are_known_to_be_harmless_are_shown(
    text: str, public: str, hidden: tuple[str, ...]
) -> None:
    assert shown(text) == public
    assert hidden_values(text) == hidden


def test_values_are_quoted_as_gst_launch_reads_them() -> None:
    assert quoted("/dev/video0") == "/dev/video0"
    assert quoted('a "b" \\ ! c') == r'"a \"b\" \\ ! c"'
    (recipe,) = fill((Recipe("x location={location}"),), CAMERA, location="rtsp://h/a b ! fakesink")
    assert recipe.text.startswith('x location="rtsp://h/a b ! fakesink" ! ')


def test_what_is_no_message_is_refused() -> None:
    header = Header(3, 12, 2, 2, (25, 1), 5)
    assert Header.unpack(header.pack()) == header
    for broken in (b"GST_ARGUS: Creating output stream...", b"\0" * 64, b"\xff" * 64):
        with pytest.raises(BadMessage):
            Header.unpack(broken[: len(header.pack())])
