"""What runs in the emulated PC: every case against the kernel's vivid, the results as JSON.

`python vivid_guest.py OUT`, as root, with vivid.ko and busybox in /run/modules. Each function of
CASES returns what happened; the test outside judges it.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from cameras.emulated_pc import CAMERAS, VIVID_FPS, VIVID_SIZE

from edge.contract.mission.schema import Mission
from edge.contract.mission.sections.device import Camera
from edge.engine.choose_backend import ChosenModel
from edge.perception.pixel_formats import to_bgr
from edge.perception.values import Frame
from edge.runtime.clock import monotonic_ns
from edge.runtime.sources.camera import CameraSource
from edge.runtime.sources.source import CameraGone, Damaged, Reading
from edge.runtime.sources.v4l2.buffer_formats import BUFFER_FORMATS, Layout, read_buffer
from edge.runtime.sources.v4l2.device import Linux, VideoDevice
from edge.runtime.sources.v4l2.v4l2_camera import V4l2Camera
from firmware_bridge.errors import Refusal

DEVICE, OF_SEVERAL_PLANES = "/dev/video0", "/dev/video1"
CAMERA = Camera(
    width_px=VIVID_SIZE[0], height_px=VIVID_SIZE[1], fps=VIVID_FPS, assumed_speed_mps=10.0
)
MODULES = Path("/run/modules")


class _QueryControl(ctypes.Structure):
    _fields_ = (
        ("id", ctypes.c_uint32),
        ("type", ctypes.c_uint32),
        ("name", ctypes.c_char * 32),
        ("numbers", ctypes.c_int32 * 4),
        ("flags", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32 * 2),
    )


class _Control(ctypes.Structure):
    _fields_ = (("id", ctypes.c_uint32), ("value", ctypes.c_int32))


def control(name: str, value: int = 1, device: str = DEVICE) -> None:
    """Sets one of vivid's controls by its name."""
    handle = os.open(device, os.O_RDWR)
    try:
        found = _QueryControl()
        while True:
            found.id |= 0x80000000 | 0x40000000  # V4L2_CTRL_FLAG_NEXT_CTRL, _NEXT_COMPOUND
            fcntl.ioctl(handle, 0xC0445624, found)  # VIDIOC_QUERYCTRL
            if found.name.decode() == name:
                fcntl.ioctl(handle, 0xC008561C, _Control(found.id, value))  # VIDIOC_S_CTRL
                return
    finally:
        os.close(handle)


def plug_in() -> None:
    insert = [MODULES / "busybox", "insmod", MODULES / "vivid.ko", *CAMERAS.split()]
    subprocess.run(insert, check=True)
    while not Path(DEVICE).exists():
        time.sleep(0.01)


def opened(device: str = DEVICE, **camera: Any) -> CameraSource:
    wanted = CAMERA.model_copy(update=camera)
    address = V4l2Camera(device, camera=wanted, clock=monotonic_ns)
    return CameraSource(address, camera=wanted, clock=monotonic_ns)


def refusal(device: str = DEVICE, **camera: Any) -> dict[str, str]:
    try:
        opened(device, **camera).close()
    except Refusal as refused:
        return {name: str(getattr(refused, name)) for name in ("what", "found", "remedy")}
    return {}


def read(source: CameraSource, count: int) -> list[dict[str, Any]]:
    return [row(source.read(lambda _: False)) for _ in range(count)]


def row(reading: Reading) -> dict[str, Any]:
    kept = {"kind": type(reading).__name__, "read_ns": monotonic_ns()}
    if isinstance(reading, Frame):
        names = ("captured_ns", "stamp_source", "uncertainty_ns", "index")
        kept |= {name: getattr(reading, name) for name in names}
        kept["format"] = reading.picture.pixel_format
    if isinstance(reading, CameraGone | Damaged):
        kept["reason"] = reading.reason
    return kept


def formats() -> dict[str, Any]:
    """The middle of each colour bar, by pixel format."""
    control("OSD Text Mode", 2)  # no text in the picture
    found = {}
    for code in BUFFER_FORMATS:
        device = VideoDevice(DEVICE, Linux())
        if code in tuple(device.pixel_formats()):
            mode = device.set_mode(code, *VIVID_SIZE, (round(VIVID_FPS), 1))
            device.start()
            filled = device.newest(within_s=10.0)
            assert filled is not None
            layout = Layout(mode.code, mode.width, mode.height, mode.stride)
            image = to_bgr(read_buffer(filled.data, layout))
            middle, bar = image[image.shape[0] // 2], image.shape[1] // 8
            found[code] = [middle[bar * at + bar // 2].tolist() for at in range(8)]
            del filled
        device.close()
    control("OSD Text Mode", 0)
    return found


def frames() -> list[dict[str, Any]]:
    source = opened()
    found = read(source, 20)
    source.close()
    return found


def end_of_frame() -> list[dict[str, Any]]:
    """vivid's other origin of times, whose stamps are a period ahead of the clock."""
    control("Timestamp Source", 0)
    found = frames()[:3]
    control("Timestamp Source", 1)
    return found


def refusals() -> dict[str, dict[str, str]]:
    found = {
        "size": refusal(width_px=322),
        "rate": refusal(fps=13.7),
        "planes": refusal(OF_SEVERAL_PLANES),
        "absent": refusal("/dev/video9"),
    }
    source = opened()
    found["busy"] = refusal()
    source.close()
    Path(DEVICE).chmod(0o600)
    os.seteuid(65534)
    found["permission"] = refusal()
    os.seteuid(0)
    for name in ("Inject VIDIOC_REQBUFS Error", "Inject VIDIOC_STREAMON Error"):
        control(name)
        found[name] = refusal()
    found["afterwards"] = refusal()
    return found


def dropped() -> list[dict[str, Any]]:
    source = opened()
    control("Percentage of Dropped Buffers", 50)
    found = read(source, 20)
    control("Percentage of Dropped Buffers", 0)
    source.close()
    return found


def all_dropped() -> list[dict[str, Any]]:
    source = opened()
    found = read(source, 2)
    control("Percentage of Dropped Buffers", 100)
    while found[-1]["kind"] != "CameraGone":
        found += read(source, 1)
    control("Percentage of Dropped Buffers", 0)
    found += read(source, 2)
    source.close()
    return found


def damaged() -> list[dict[str, Any]]:
    source = opened()
    found = read(source, 2)
    control("Inject V4L2_BUF_FLAG_ERROR")
    while found[-1]["kind"] != "Damaged":
        found += read(source, 1)
    found += read(source, 2)
    source.close()
    return found


def fatal() -> list[dict[str, Any]]:
    source = opened()
    found = read(source, 2)
    control("Inject Fatal Streaming Error")
    while found[-1]["kind"] != "CameraGone":
        found += read(source, 1)
    found += read(source, 2)
    source.close()
    return found


def unplugged() -> list[dict[str, Any]]:
    """vivid comes back when its last user lets go of it; the other user here delays that."""
    source = opened()
    found = read(source, 2)
    other_user = os.open(DEVICE, os.O_RDWR)
    control("Disconnect")
    while found[-1]["kind"] != "CameraGone":
        found += read(source, 1)
    found += read(source, 2)
    os.close(other_user)
    found += read(source, 2)
    source.close()
    return found


def whole_run() -> dict[str, Any]:
    """A run whose camera is unplugged in the middle."""
    from edge.runtime.daemon import run
    from firmware_bridge.emulation.host_process import HostFirmware
    from firmware_bridge.link.driver import LinkDriver

    out = Path(sys.argv[1])
    mission = Mission.model_validate_json((out / "mission.json").read_text())
    seen, until = threading.Event(), threading.Event()
    texts: list[str] = []

    def listen(event: Any) -> None:
        texts.append(event.text)
        if event.kind == "frame" and event.values["index"] >= 20:
            seen.set()

    def unplug() -> None:
        seen.wait(120.0)
        other_user = os.open(DEVICE, os.O_RDWR)  # or it would come back by itself
        control("Disconnect")
        time.sleep(4.0)
        until.set()
        os.close(other_user)

    threading.Thread(target=unplug, daemon=True).start()
    with HostFirmware(build_folder=out / "firmware") as mcu, LinkDriver(mcu.port) as link:
        link.wait_established(60.0)
        report = run(
            mission,
            source=DEVICE,
            model=ChosenModel.onnx_file(out / "tiny.onnx", why="a test names it"),
            link=link,
            on_event=listen,
            until=until,
        )
    return {"report": report.to_json(), "texts": texts}


CASES = (
    *(formats, frames, end_of_frame, refusals, dropped, all_dropped, damaged, fatal, unplugged),
    whole_run,
)


def main() -> None:
    plug_in()
    control("Timestamp Source", 1)  # the start of the exposure
    results = {}
    for case in CASES:
        began_s = time.monotonic()
        try:
            results[case.__name__] = case()
        except Exception:  # noqa: BLE001 # the test outside shows it
            results[case.__name__] = {"error": traceback.format_exc()}
        sys.stdout.write(f"{case.__name__}: {time.monotonic() - began_s:.1f} s\n")
        sys.stdout.flush()
    (Path(sys.argv[1]) / "results.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main()
