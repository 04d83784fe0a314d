"""Network cameras, against a real RTSP server that is killed, stopped and started again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cameras.gstreamer_here import needs_gstreamer
from cameras.rtsp_server import NetworkCamera
from stepped_sources import CAMERA

from edge.perception.values import Frame
from edge.runtime.clock import monotonic_ns
from edge.runtime.sources.open_source import open_source
from edge.runtime.sources.source import CameraGone, Reading, Source
from firmware_bridge.errors import DeviceFault, Missing, Refusal, UsageError

PICTURE = CAMERA.model_copy(update={"fps": 25.0})
SECRET = 'p@ss:w/d %"1'
WRITTEN = "p%40ss%3Aw%2Fd%20%25%221"


def run_on(_: float) -> bool:
    return False


def opened(given: str) -> Source:
    return open_source(given, PICTURE, monotonic_ns)


def until(source: Source, kind: type[Reading]) -> Reading:
    for _ in range(1000):
        reading = source.read(run_on)
        if isinstance(reading, kind):
            return reading
    raise AssertionError(reading)


@pytest.fixture(scope="module")
def guarded() -> Iterator[NetworkCamera]:
    with NetworkCamera(account=f"joe:{SECRET}") as camera:
        yield camera


@needs_gstreamer
class TestNetworkCamera:
    def test_killed_and_started_again_it_comes_back_by_itself(self) -> None:
        with NetworkCamera() as camera:
            source = opened(camera.url)
            first = source.read(run_on)
            assert isinstance(first, Frame)
            assert first.stamp_source in ("pipeline", "read")
            camera.kill()
            until(source, CameraGone)
            refused = source.read(run_on)
            assert isinstance(refused, CameraGone)
            assert "cannot be opened" in refused.reason
            camera.start()
            back = until(source, Frame)
            assert isinstance(back, Frame)
            assert back.captured_ns > first.captured_ns
            assert back.index > first.index
            source.close()

    @pytest.mark.requirement("R-RUN-130", "R-RUN-132")
    def test_stopped_it_is_gone_in_time_and_old_frames_are_never_stamped_anew(self) -> None:
        """Afterwards the server sends what it held back: none of it may count as fresh."""
        with NetworkCamera() as camera:
            source = opened(camera.url)
            until(source, Frame)
            camera.stop()
            gone = until(source, CameraGone)
            assert isinstance(gone, CameraGone)
            assert gone.reason == f"{camera.url} delivers no frame within 2 s"
            resumed_ns = monotonic_ns()
            camera.go_on()
            back = until(source, Frame)
            assert isinstance(back, Frame)
            assert resumed_ns < back.captured_ns <= monotonic_ns()
            source.close()

    @pytest.mark.requirement("R-RUN-70")
    def test_with_another_size_after_a_restart_it_stays_gone(self) -> None:
        with NetworkCamera() as camera:
            source = opened(camera.url)
            until(source, Frame)
            camera.kill()
            until(source, CameraGone)
            camera.start(size=(96, 64))
            for _ in range(2):
                gone = source.read(run_on)
                assert isinstance(gone, CameraGone)
                assert "96 x 64 pixels" in gone.reason
            camera.kill()
            camera.start()
            until(source, Frame)
            source.close()

    @pytest.mark.requirement("R-RUN-135")
    def test_user_and_password_open_it_and_are_never_shown(self, guarded: NetworkCamera) -> None:
        given = guarded.url.replace("//", f"//joe:{WRITTEN}@")
        source = opened(f"{given}?channel=1")
        assert isinstance(source.read(run_on), Frame)
        source.close()
        assert source.info.given == guarded.url
        assert guarded.url in source.info.how
        assert "decodebin" in source.info.how  # a Jetson would name its own decoder
        assert "joe" not in source.info.how

    @pytest.mark.requirement("R-RUN-135")
    @pytest.mark.parametrize("account", ["", "joe:geheimnis@", "joe:@", "jane@"])
    def test_a_wrong_password_is_refused_and_not_shown(
        self, account: str, guarded: NetworkCamera
    ) -> None:
        with pytest.raises(DeviceFault, match="refuses the user or the password") as refused:
            opened(guarded.url.replace("//", f"//{account}"))
        said = str(refused.value)
        assert "Unauthorized" in refused.value.found
        assert guarded.url in said
        for secret in ("geheimnis", "jane@", "joe:"):
            assert secret not in said

    def test_a_path_that_the_camera_does_not_have(self, guarded: NetworkCamera) -> None:
        url = guarded.url.replace("front", "back").replace("//", f"//joe:{WRITTEN}@")
        with pytest.raises(DeviceFault, match="there is nothing at") as refused:
            opened(url)
        assert "404" in refused.value.found

    def test_no_camera_there(self) -> None:
        with NetworkCamera() as camera:
            camera.kill()
            with pytest.raises(DeviceFault, match="cannot be opened") as refused:
                opened(camera.url)
            assert "address" in refused.value.remedy


@pytest.mark.requirement("R-RUN-135")
@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("rtsp://", "no host"),
        ("rtsp://joe:geheim@/front", "no host"),
        ("rtsp://joe:geheim@h:99999/front", "no host and port can be read from it"),
        ("rtsp://joe:ge heim@h/front", "a space"),
        ("RTSPS://[::1/front", "no host and port can be read from it"),
    ],
)
def test_what_is_no_address_is_refused(given: str, found: str) -> None:
    with pytest.raises(UsageError, match="no address of a network camera") as refused:
        opened(given)
    assert refused.value.found == found
    assert "heim" not in str(refused.value)


@pytest.mark.requirement("R-RUN-135")
@pytest.mark.parametrize(
    "given", ["rstp://joe:geheim@h/front", "http://joe:geheim@h/front?k=geheim"]
)
def test_an_address_of_another_kind_does_not_show_its_password(given: str) -> None:
    with pytest.raises(Missing, match="no source at") as refused:
        opened(given)
    assert "geheim" not in str(refused.value)
    assert isinstance(refused.value, Refusal)
