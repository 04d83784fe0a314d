"""A folder that looks like the root of a Jetson Orin Nano with JetPack 6.2.

The files of /etc, /proc, /sys and /dev that are read, with the contents that the board has.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

NVPMODEL = """\
< PARAM TYPE=FILE NAME=CPU_ONLINE >
CORE_0 /sys/devices/system/cpu/cpu0/online

# the numbers say nothing of the speed
< POWER_MODEL ID=0 NAME=15W >
CPU_ONLINE CORE_0 1
CPU_ONLINE CORE_1 1
CPU_ONLINE CORE_2 0
GPU MAX_FREQ 612000000

< POWER_MODEL ID=1 NAME=25W >
CPU_ONLINE CORE_0 1
CPU_ONLINE CORE_1 1
CPU_ONLINE CORE_2 1
GPU MAX_FREQ 918000000

< POWER_MODEL ID=2 NAME=MAXN_SUPER >
CPU_ONLINE CORE_0 1
CPU_ONLINE CORE_1 1
CPU_ONLINE CORE_2 1
GPU MAX_FREQ -1

# mandatory section to configure the default power mode
< PM_CONFIG DEFAULT=1 >
"""

DPKG = """\
Package: libnvinfer10
Status: install ok installed
Version: 10.3.0.30-1+cuda12.5

Package: nvidia-jetpack
Status: install ok installed
Version: 6.2.1+b38

Package: libnvinfer8
Status: deinstall ok config-files
Version: 8.6.2.3-1+cuda12.2

Package: python3-minimal
Status: install ok installed
Version: 3.10.6-1~22.04
"""

HWMON, OVER_CURRENT = "/sys/class/hwmon/hwmon1", "/sys/class/hwmon/hwmon2"
ZONES = "/sys/class/thermal/thermal_zone"
GPU, CORE = "/sys/class/devfreq/17000000.gpu", "/sys/devices/system/cpu/cpu0/cpufreq"

FILES: dict[str, str] = {
    "/etc/nv_tegra_release": "# R36 (release), REVISION: 4.4, GCID: 41062509, BOARD: generic, "
    "EABI: aarch64, DATE: Mon Jun 16 16:07:13 UTC 2025\n# KERNEL_VARIANT: oot\n"
    "TARGET_USERSPACE_LIB_DIR=nvidia\n",
    "/proc/device-tree/model": "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit "
    "Super\0",
    "/var/lib/dpkg/status": DPKG,
    "/usr/local/cuda/version.json": '{"cuda": {"name": "CUDA SDK", "version": "12.6.11"}}',
    "/etc/nvpmodel.conf": NVPMODEL,
    "/var/lib/nvpmodel/status": "pmode:0001\n",
    "/proc/meminfo": "MemTotal:        7802836 kB\nMemFree:          612340 kB\n"
    "MemAvailable:    4915204 kB\nSwapTotal:       3901412 kB\nHugePages_Total:       0\n",
    "/proc/self/status": "Name:\tpython3\nTgid:\t4711\nUid:\t1000\t1000\t1000\t1000\n"
    "Gid:\t1000\t1000\t1000\t1000\nGroups:\t27 44 1000 \nNStgid:\t4711\n",
    "/proc/self/limits": "Limit                     Soft Limit           Hard Limit\n"
    "Max locked memory         998772736            998772736            bytes     \n"
    "Max realtime priority     0                    0                              \n",
    "/etc/group": "root:x:0:\ndialout:x:20:\nsudo:x:27:orin\nvideo:x:44:orin\nrender:x:104:\n",
    "/dev/video0": "",
    "/sys/class/video4linux/video0/name": "vi-output, imx219 9-0010\n",
    "/dev/ttyACM0": "",
    "/dev/ttyTHS1": "",
    f"{HWMON}/name": "ina3221\n",
    f"{HWMON}/in1_label": "VDD_IN\n",
    f"{HWMON}/in1_input": "5040\n",
    f"{HWMON}/curr1_input": "1200\n",
    f"{HWMON}/in2_label": "VDD_CPU_GPU_CV\n",
    f"{HWMON}/in2_input": "5040\n",
    f"{HWMON}/curr2_input": "480\n",
    f"{HWMON}/in3_label": "NC\n",
    f"{HWMON}/in3_input": "0\n",
    f"{HWMON}/curr3_input": "0\n",
    f"{HWMON}/in7_label": "sum of shunt voltages\n",
    f"{OVER_CURRENT}/name": "soctherm_oc\n",
    f"{OVER_CURRENT}/oc1_event_cnt": "0\n",
    f"{OVER_CURRENT}/oc3_event_cnt": "2\n",
    f"{ZONES}0/type": "cpu-thermal\n",
    f"{ZONES}0/temp": "48593\n",
    f"{ZONES}1/type": "gpu-thermal\n",
    f"{ZONES}1/temp": "49125\n",
    f"{ZONES}2/type": "cv0-thermal\n",  # its unit is off: reading the temperature fails there
    f"{GPU}/cur_freq": "612000000\n",
    f"{GPU}/min_freq": "306000000\n",
    f"{GPU}/max_freq": "918000000\n",
    f"{CORE}/scaling_cur_freq": "1344000\n",
    f"{CORE}/scaling_min_freq": "729600\n",
    f"{CORE}/scaling_max_freq": "1728000\n",
}


def write_jetson(root: Path, changed: Mapping[str, str | None] | None = None) -> Path:
    """Writes the files below `root`; `changed` replaces contents, and leaves out those of None."""
    for name, text in {**FILES, **(changed or {})}.items():
        if text is not None:
            path = root / name.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return root
