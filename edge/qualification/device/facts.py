"""What a device is: board, JetPack, CUDA, power mode, memory, cameras, what this user may do.

`DeviceFiles` go in; a `DeviceFacts` comes out, with None or nothing for what its files do not tell.
The formats are those of Jetson Linux 36 to 39 (/etc/nv_tegra_release, /etc/nvpmodel.conf,
/var/lib/nvpmodel/status), of Debian's dpkg and of the kernel's /proc. Runs no command.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from edge.qualification.device.files import DeviceFiles
from edge.qualification.device.jetpack import JetPack, jetpack_of

L4T_RELEASE = re.compile(r"#\s*R(\d+)\s*\(release\),\s*REVISION:\s*([\d.]+)")
"""The first line of /etc/nv_tegra_release."""

POWER_MODEL = re.compile(r"<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+)\s*>")
GPU_MAX = re.compile(r"^GPU\S*\s+MAX_FREQ\s+(-?\d+)", re.M)
CORES_ONLINE = re.compile(r"^CPU_ONLINE\s+CORE_\d+\s+1", re.M)

PACKAGES = re.compile(
    r"nvidia-jetpack|nvidia-l4t-core|libnvinfer\d+|cuda-runtime-\d+-\d+|python3-libnvinfer|"
    r"libopencv-python|python3-opencv"
)
"""Debian packages whose versions are reported."""

GROUPS = ("dialout", "video", "render")
"""Who may use serial ports, cameras and GPU."""


@dataclass(frozen=True)
class L4t:
    """A release of Jetson Linux: 36 and "4.3" for L4T 36.4.3."""

    major: int
    revision: str

    def __str__(self) -> str:
        return f"{self.major}.{self.revision}"


@dataclass(frozen=True)
class PowerMode:
    """One mode of /etc/nvpmodel.conf.

    Attributes:
        gpu_max_hz: its limit on the GPU's clock; None where it gives none.
        cores: CPU cores that it switches on.
    """

    number: int
    name: str
    gpu_max_hz: int | None
    cores: int

    @property
    def speed(self) -> tuple[float, int]:
        """Orders modes by GPU clock, then by cores: numbers of modes say nothing."""
        return (float("inf") if self.gpu_max_hz is None else self.gpu_max_hz, self.cores)


@dataclass(frozen=True)
class Camera:
    """A V4L2 node: /dev/video0, and the driver's name for it."""

    path: str
    name: str


@dataclass(frozen=True)
class Memory:
    """Bytes by /proc/meminfo, which on a Jetson are those of the GPU too."""

    total: int
    available: int
    swap: int


@dataclass(frozen=True)
class User:
    """What this process may do.

    Attributes:
        root: it runs as user 0.
        groups: of GROUPS, those that exist, and whether it is in them.
        realtime_priority, locked_bytes: its limits; None is no limit.
    """

    root: bool
    groups: Mapping[str, bool]
    realtime_priority: int | None
    locked_bytes: int | None


@dataclass(frozen=True)
class DeviceFacts:
    """One device. None: not a Jetson, or the file is not there."""

    board: str | None
    l4t: L4t | None
    packages: Mapping[str, str]
    cuda: str | None
    power_mode: PowerMode | None
    power_modes: tuple[PowerMode, ...]
    memory: Memory | None
    cameras: tuple[Camera, ...]
    serial_ports: tuple[str, ...]
    user: User | None

    @property
    def jetpack(self) -> JetPack | None:
        """Its row of the table of JetPacks."""
        return None if self.l4t is None else jetpack_of(self.l4t.major)

    @property
    def fastest_mode(self) -> PowerMode | None:
        """The power mode with the highest clocks."""
        return max(self.power_modes, key=lambda mode: mode.speed, default=None)


def read_facts(files: DeviceFiles) -> DeviceFacts:
    """The facts of one device."""
    modes = _power_modes(files)
    return DeviceFacts(
        board=files.text("/proc/device-tree/model"),
        l4t=_l4t(files),
        packages=_packages(files),
        cuda=_cuda(files),
        power_mode=_power_mode(files, modes),
        power_modes=modes,
        memory=_memory(files),
        cameras=tuple(_camera(files, name) for name in files.found("/dev/video[0-9]*")),
        serial_ports=tuple(
            port for pattern in SERIAL_PORTS for port in files.found(f"/dev/{pattern}")
        ),
        user=_user(files),
    )


SERIAL_PORTS = ("ttyACM*", "ttyUSB*", "ttyTHS*")
"""USB of a microcontroller, USB adapters, and the UARTs on a Jetson's header."""


def _l4t(files: DeviceFiles) -> L4t | None:
    found = L4T_RELEASE.match(files.text("/etc/nv_tegra_release") or "")
    return None if found is None else L4t(int(found[1]), found[2])


def _packages(files: DeviceFiles) -> dict[str, str]:
    """Versions of installed packages, from dpkg's own file."""
    found = {}
    for paragraph in (files.text("/var/lib/dpkg/status") or "").split("\n\n"):
        fields = dict(re.findall(r"^(Package|Status|Version): (.*)$", paragraph, re.M))
        name = fields.get("Package", "")
        if PACKAGES.fullmatch(name) and fields.get("Status", "").endswith(" installed"):
            found[name] = fields.get("Version", "")
    return dict(sorted(found.items()))


def _cuda(files: DeviceFiles) -> str | None:
    try:
        version = json.loads(files.text("/usr/local/cuda/version.json") or "")["cuda"]["version"]
    except (ValueError, KeyError, TypeError):
        return None
    return str(version)


def _power_modes(files: DeviceFiles) -> tuple[PowerMode, ...]:
    parts = POWER_MODEL.split(files.text("/etc/nvpmodel.conf") or "")[1:]
    modes = []
    for number, name, body in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        limits = [int(value) for value in GPU_MAX.findall(body)]
        limit = min((value for value in limits if value > 0), default=None)
        modes.append(PowerMode(int(number), name, limit, len(CORES_ONLINE.findall(body))))
    return tuple(modes)


def _power_mode(files: DeviceFiles, modes: tuple[PowerMode, ...]) -> PowerMode | None:
    found = re.search(r"pmode:(\d+)", files.text("/var/lib/nvpmodel/status") or "")
    if found is None:
        return None
    return next((mode for mode in modes if mode.number == int(found[1])), None)


def memory_of(files: DeviceFiles) -> Mapping[str, int]:
    """Bytes of every line of /proc/meminfo that has kilobytes."""
    rows = re.findall(r"^(\w+):\s+(\d+) kB", files.text("/proc/meminfo") or "", re.M)
    return {name: int(kilobytes) << 10 for name, kilobytes in rows}


def _memory(files: DeviceFiles) -> Memory | None:
    rows = memory_of(files)
    try:
        return Memory(rows["MemTotal"], rows["MemAvailable"], rows["SwapTotal"])
    except KeyError:
        return None


def _camera(files: DeviceFiles, path: str) -> Camera:
    node = path.rsplit("/", 1)[1]
    return Camera(path, files.text(f"/sys/class/video4linux/{node}/name") or "unknown")


def _user(files: DeviceFiles) -> User | None:
    status = dict(
        re.findall(r"^(Uid|Gid|Groups):[ \t]*(.*)$", files.text("/proc/self/status") or "", re.M)
    )
    if "Uid" not in status:
        return None
    mine = {int(number) for key in ("Gid", "Groups") for number in status.get(key, "").split()}
    numbers = dict(re.findall(r"^([^:\n]+):[^:]*:(\d+):", files.text("/etc/group") or "", re.M))
    return User(
        root=status["Uid"].split()[1] == "0",
        groups={name: int(numbers[name]) in mine for name in GROUPS if name in numbers},
        realtime_priority=_limit(files, "Max realtime priority"),
        locked_bytes=_limit(files, "Max locked memory"),
    )


def _limit(files: DeviceFiles, name: str) -> int | None:
    """The soft limit of this process; None where there is none."""
    found = re.search(rf"^{name}\s+(\S+)", files.text("/proc/self/limits") or "", re.M)
    return int(found[1]) if found and found[1].isdecimal() else None
