"""The steps that look at the device itself: board, software, power, memory, permissions.

A `DeviceFacts` and what this process can import go in; outcomes come out. On a machine that is no
Jetson the rows about one are left out. Changes nothing: remedies are for a person.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from dataclasses import dataclass

from edge.backends.tensorrt_engine import import_tensorrt
from edge.engine.gpu import Gpu, present_gpu
from edge.engine.gpu_support.check import check_support
from edge.engine.releases import builder_row, parse_release
from edge.perception.opencv import import_opencv
from edge.qualification.device.facts import DeviceFacts
from edge.qualification.device.files import DeviceFiles
from edge.qualification.device.jetpack import JETPACKS
from edge.qualification.device.sensors import Sensors
from edge.qualification.step import Outcome, Step, failed, left_out, passed
from firmware_bridge.errors import Missing

NO_JETSON = "this is no Jetson: there is no /etc/nv_tegra_release"
APT = "sudo apt-get install nvidia-jetpack"

MEMORY_LEAST = 1 << 30
"""Free bytes: a build of a small detector takes some hundred MB, the loop 250 MB."""

LOCKED_LEAST = 64 << 20
CSI_PLUGIN = "/usr/lib/aarch64-linux-gnu/gstreamer-1.0/libgstnvarguscamerasrc.so"
"""GStreamer's element for cameras on the CSI port."""


@dataclass(frozen=True)
class Device:
    """What the steps look at.

    Attributes:
        gpu: CUDA's ordinal of the GPU.
    """

    files: DeviceFiles
    facts: DeviceFacts
    gpu: int = 0

    @property
    def is_jetson(self) -> bool:
        """Whether it has a release of Jetson Linux."""
        return self.facts.l4t is not None


def _board(device: Device) -> Outcome:
    facts = device.facts
    if facts.l4t is None:
        return left_out(NO_JETSON, remedy="run this on the device")
    text = f"{facts.board or 'a board without a name'}, L4T {facts.l4t}"
    if facts.jetpack is None:
        known = ", ".join(f"{row.major} (L4T {row.l4t[0]})" for row in JETPACKS.values())
        return failed(
            f"{text}: no known JetPack",
            remedy=f"flash JetPack {known}; from L4T before 35.5 step by step, by NVIDIA's guide",
        )
    package = facts.packages.get("nvidia-jetpack")
    text += f", JetPack {package or facts.jetpack.major}"
    return passed(text, advice="" if package else f"the whole of JetPack: {APT}")


def _python(device: Device) -> Outcome:
    here = sys.version_info[:2]
    text = f"Python {here[0]}.{here[1]}"
    jetpack = device.facts.jetpack
    if jetpack is not None and here != jetpack.python[:2]:
        wanted = ".".join(map(str, jetpack.python[:2]))
        return failed(
            f"{text}; TensorRT's module is for the {wanted} of JetPack {jetpack.major}",
            remedy=f"install with JetPack's own Python {wanted}: scripts/jetson",
        )
    return passed(text)


def _cuda(device: Device) -> Outcome:
    gpu: Gpu | None = present_gpu(device.gpu)
    version = device.facts.cuda
    if gpu is None:
        why = f"no CUDA device {device.gpu}: the driver (libcuda.so.1) lists none"
        return failed(why, remedy=APT) if device.is_jetson else left_out(why)
    text = f"{gpu.words}, CUDA {version or 'toolkit not installed'}"
    jetpack = device.facts.jetpack
    if jetpack is not None and version is not None and int(version.split(".")[0]) != jetpack.cuda:
        return failed(f"{text}; JetPack {jetpack.major} has CUDA {jetpack.cuda}", remedy=APT)
    advice = APT if version is None and device.is_jetson else ""
    return passed(text, advice=advice, figures={"sm": gpu.sm})


def _tensorrt(device: Device) -> Outcome:
    if importlib.util.find_spec("tensorrt") is None:
        why = "no Python module tensorrt"
        remedy = f"{APT}; then install with --system-site-packages: scripts/jetson"
        return failed(why, remedy=remedy) if device.is_jetson else left_out(why)
    try:
        trt = import_tensorrt("tensorrt")
    except Missing as missing:
        return failed(f"{missing.what}: {missing.found}", remedy=f"{APT} again")
    release = parse_release(str(trt.__version__))
    builder_row("tensorrt", release)  # refuses a release that is not known
    gpu = present_gpu(device.gpu)
    faults = () if gpu is None else check_support("tensorrt", release, gpu.sm)
    library = next((v for n, v in device.facts.packages.items() if n.startswith("libnvinfer")), "")
    text = f"TensorRT {release}" + (f", library {library}" if library else "")
    if library and parse_release(library) != release:
        return failed(f"{text}: module and library differ", remedy=f"install one of both: {APT}")
    return passed(text, advice="; ".join(faults), figures={"release": str(release)})


def _opencv(device: Device) -> Outcome:
    cv2 = import_opencv("camera frames")
    build = str(cv2.getBuildInformation())
    streams = re.search(r"GStreamer:\s+YES(?:\s+\((\S+)\))?", build)
    text = f"OpenCV {cv2.__version__}, "
    text += f"with GStreamer {streams[1] or ''}".rstrip() if streams else "without GStreamer"
    if not device.is_jetson:
        return passed(text)
    csi = device.files.path(CSI_PLUGIN).exists()
    text += "; CSI cameras: " + ("nvarguscamerasrc is there" if csi else "no nvarguscamerasrc")
    return passed(text, advice="" if csi else "for a CSI camera: " + APT)


def _camera(device: Device) -> Outcome:
    cameras = device.facts.cameras
    if not cameras:
        return left_out(
            "no camera: no /dev/video*",
            remedy="connect one, or configure it: sudo /opt/nvidia/jetson-io/jetson-io.py",
        )
    return passed("; ".join(f"{one.path} {one.name}" for one in cameras))


def _power_mode(device: Device) -> Outcome:
    mode, fastest = device.facts.power_mode, device.facts.fastest_mode
    if not device.is_jetson:
        return left_out(NO_JETSON)
    if mode is None or fastest is None:
        return failed(
            "the power mode is not known: /etc/nvpmodel.conf has none of /var/lib/nvpmodel/status",
            remedy="choose one, which writes it: sudo nvpmodel -m 0; see nvpmodel -q",
        )
    text = f"{mode.name} (mode {mode.number})"
    if mode.speed < fastest.speed:
        advice = f"the fastest is {fastest.name}: sudo nvpmodel -m {fastest.number}"
        return passed(text, advice=advice, figures={"mode": mode.name})
    return passed(f"{text}, the fastest", figures={"mode": mode.name})


def _clocks(device: Device) -> Outcome:
    ranges = Sensors(device.files).clock_ranges()
    if not ranges:
        return left_out("no clocks can be read here")
    text = ", ".join(
        f"{name} {one.highest_mhz:.0f} MHz"
        + (" pinned" if one.pinned else f", down to {one.lowest_mhz:.0f} when idle")
        for name, one in ranges.items()
    )
    free = device.is_jetson and not all(one.pinned for one in ranges.values())
    advice = "a clock that falls between frames costs latency: sudo jetson_clocks"
    return passed(text, advice=advice if free else "")


def _throttling(device: Device) -> Outcome:
    reading = Sensors(device.files).read()
    if reading.over_current is None and reading.hottest is None:
        return left_out("no thermal zone and no over-current counter can be read here")
    heat = "" if reading.hottest is None else f"hottest zone {reading.hottest:.0f} °C"
    events = reading.over_current
    text = ", ".join(
        one for one in (heat, "" if events is None else f"{events} over-current events") if one
    )
    if events:
        advice = "the supply is too weak for this power mode: a stronger one, or a lower mode"
        return passed(text, advice=advice, figures={"over_current": events})
    return passed(text)


def _memory(device: Device) -> Outcome:
    memory = device.facts.memory
    if memory is None:
        return left_out("no /proc/meminfo")
    text = (
        f"{memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GiB free, "
        f"{memory.swap / 2**30:.1f} GiB swap"
    )
    if memory.available < MEMORY_LEAST:
        return failed(
            f"{text}; a build needs {MEMORY_LEAST / 2**30:.0f} GiB",
            remedy="close what else runs; without the desktop: sudo systemctl isolate multi-user",
        )
    return passed(text, figures={"available_bytes": memory.available})


def _permissions(device: Device) -> Outcome:
    user = device.facts.user
    if user is None:
        return left_out("no /proc/self/status")
    if user.root:
        return passed("this runs as root", advice="run it as an ordinary user in these groups")
    lacking = [name for name, member in user.groups.items() if not member]
    if lacking:
        return failed(
            f"this user is not in {', '.join(lacking)}",
            remedy=f"sudo usermod -aG {','.join(lacking)} $USER, then log in again",
        )
    return passed(f"this user is in {', '.join(user.groups) or 'no group that matters here'}")


def _real_time(device: Device) -> Outcome:
    user = device.facts.user
    if user is None:
        return left_out("no /proc/self/limits")
    priority, locked = user.realtime_priority, user.locked_bytes
    text = f"real-time priority {'any' if priority is None else priority}, "
    text += "memory locked without limit" if locked is None else f"{locked >> 20} MiB locked"
    enough = (priority is None or priority > 0) and (locked is None or locked >= LOCKED_LEAST)
    advice = (
        "nothing uses them yet; for later, in /etc/security/limits.d/brakepoint.conf: "
        "@video - rtprio 50 and @video - memlock unlimited"
    )
    return passed(text, advice="" if enough else advice)


BOARD, PYTHON, CUDA, TENSORRT, OPENCV = "board", "Python", "CUDA", "TensorRT", "OpenCV"

DEVICE_STEPS: tuple[Step[Device], ...] = (
    Step(BOARD, (), "reads board, L4T and JetPack", _board),
    Step(PYTHON, (), "compares Python with JetPack's", _python),
    Step(CUDA, (), "finds the GPU and CUDA", _cuda),
    Step(TENSORRT, (), "imports TensorRT and looks its release and GPU up", _tensorrt),
    Step(OPENCV, (), "imports OpenCV and asks for GStreamer", _opencv),
    Step("camera", (), "lists cameras", _camera),
    Step("power mode", (), "reads nvpmodel's mode", _power_mode),
    Step("clocks", (), "reads the ranges of the clocks", _clocks),
    Step("heat and supply", (), "reads temperatures and over-current counters", _throttling),
    Step("memory", (), "reads free memory", _memory),
    Step("permissions", (), "compares this user's groups with those of the devices", _permissions),
    Step("real-time limits", (), "reads the limits of this process", _real_time),
)
