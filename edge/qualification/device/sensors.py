"""Reads clocks, temperatures, power and over-current counters of a device, all at one moment.

`DeviceFiles` go in; a `Reading` comes out, empty where a machine has no such sensors. Power is the
INA3221's through hwmon (mV times mA of each rail), clocks come from cpufreq and devfreq,
temperatures from thermal zones, throttling from the hwmon chip `soctherm_oc` of Tegra. Needs no
root; never writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from edge.qualification.device.files import DeviceFiles

WHOLE_BOARD: tuple[tuple[str, ...], ...] = (
    ("VDD_IN",),  # Orin Nano and Orin NX
    ("VIN",),  # Thor
    ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"),  # AGX Orin, whose rails stand side by side
)
"""Rails that together feed the whole module, by board. The first set that is there counts."""

UNCONNECTED = "NC"
"""The label of a channel that measures nothing."""

GPU_DEVICES = re.compile(r"(?:^|\.)(?:gpu|ga10b|gv11b)$|^gpu-gpc-0$")
"""devfreq names of the GPU: 17000000.gpu and .ga10b (Orin), .gv11b (Xavier), gpu-gpc-0 (Thor)."""


@dataclass(frozen=True)
class Reading:
    """One moment.

    Attributes:
        cpu_mhz: the fastest core's clock; None where it is not known.
        gpu_mhz: the GPU's clock.
        celsius: by thermal zone.
        milliwatts: by rail.
        over_current: events since boot, all counters together; None where there are none.
    """

    cpu_mhz: float | None
    gpu_mhz: float | None
    celsius: Mapping[str, float]
    milliwatts: Mapping[str, float]
    over_current: int | None

    @property
    def watts(self) -> float | None:
        """The whole module; None where its rails are not known."""
        for rails in WHOLE_BOARD:
            if set(rails) <= set(self.milliwatts):
                return sum(self.milliwatts[rail] for rail in rails) / 1e3
        return None

    @property
    def hottest(self) -> float | None:
        """Degrees Celsius of the hottest zone."""
        return max(self.celsius.values(), default=None)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True)
class ClockRange:
    """The clocks that a CPU core or a GPU may have now."""

    lowest_mhz: float
    highest_mhz: float

    @property
    def pinned(self) -> bool:
        """Whether the clock cannot fall when idle, as jetson_clocks sets it."""
        return self.lowest_mhz >= self.highest_mhz


class Sensors:
    """The sensors of one system, found once."""

    def __init__(self, files: DeviceFiles) -> None:
        self._files = files
        self._zones = {
            zone: files.text(f"{zone}/type") or zone.rsplit("/", 1)[1]
            for zone in files.found("/sys/class/thermal/thermal_zone[0-9]*")
        }
        chips = {
            chip: files.text(f"{chip}/name") for chip in files.found("/sys/class/hwmon/hwmon[0-9]*")
        }
        self._rails = {
            label: (f"{chip}/in{channel}_input", f"{chip}/curr{channel}_input")
            for chip, name in chips.items()
            if name == "ina3221"
            for channel in (1, 2, 3)
            if (label := files.text(f"{chip}/in{channel}_label")) and label != UNCONNECTED
        }
        self._counters = [
            counter
            for chip, name in chips.items()
            if name == "soctherm_oc"
            for counter in files.found(f"{chip}/oc*_event_cnt")
        ]
        self._cores = files.found("/sys/devices/system/cpu/cpu[0-9]*/cpufreq")
        devices = files.found("/sys/class/devfreq/*")
        self._gpu = next(
            (one for one in devices if GPU_DEVICES.search(one.rsplit("/", 1)[1])), None
        )

    def read(self) -> Reading:
        """Every sensor now."""
        celsius = {name: self._files.number(f"{zone}/temp") for zone, name in self._zones.items()}
        rails = {
            label: (self._files.number(volts), self._files.number(amperes))
            for label, (volts, amperes) in self._rails.items()
        }
        counts = [self._files.number(counter) for counter in self._counters]
        return Reading(
            cpu_mhz=_highest(self._clock(f"{core}/scaling_cur_freq", 1e3) for core in self._cores),
            gpu_mhz=None if self._gpu is None else self._clock(f"{self._gpu}/cur_freq", 1e6),
            celsius={name: one / 1e3 for name, one in celsius.items() if one is not None},
            milliwatts={
                label: millivolts * milliamperes / 1e3
                for label, (millivolts, milliamperes) in rails.items()
                if millivolts is not None and milliamperes is not None
            },
            over_current=sum(one for one in counts if one is not None) if counts else None,
        )

    def clock_ranges(self) -> dict[str, ClockRange]:
        """The range of the first CPU core and of the GPU, as far as they are there."""
        prefixes = {}
        if self._cores:
            prefixes["CPU"] = (f"{self._cores[0]}/scaling_", 1e3)
        if self._gpu is not None:
            prefixes["GPU"] = (f"{self._gpu}/", 1e6)
        found = {}
        for name, (prefix, per_mhz) in prefixes.items():
            low = self._clock(f"{prefix}min_freq", per_mhz)
            high = self._clock(f"{prefix}max_freq", per_mhz)
            if low is not None and high is not None:
                found[name] = ClockRange(low, high)
        return found

    def _clock(self, name: str, per_mhz: float) -> float | None:
        value = self._files.number(name)
        return None if value is None else value / per_mhz


def _highest(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)
