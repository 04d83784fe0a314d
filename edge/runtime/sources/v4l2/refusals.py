"""The kernel's errors on a video device as refusals: one table from errno to what a person can do.

In: an OSError and the device. Out: the refusal.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass

from firmware_bridge.errors import DeviceFault


@dataclass(frozen=True)
class DeviceError:
    """One row: the refusal's sentences; {device} stands for the device."""

    what: str
    expected: str
    remedy: str


_ABSENT = DeviceError(
    "no camera at {device}",
    "a camera at {device} that delivers frames",
    "list what is there with `ls -l /dev/video* /dev/v4l/by-id/`; check the cable",
)
_NO_CAMERA = DeviceError(
    "{device} is no camera",
    "a video device that captures",
    "list the cameras with `v4l2-ctl --list-devices` (package v4l-utils); correct --source",
)

ERRORS: Mapping[int, DeviceError] = {
    errno.ENOENT: _ABSENT,
    errno.ENODEV: _ABSENT,
    errno.ENXIO: _ABSENT,
    errno.EACCES: DeviceError(
        "this user may not open {device}",
        "permission to read and write it",
        "add the user to the group video (sudo usermod -aG video USER) and log in again; in a "
        "container: --device {device} --group-add video; docs/cameras.md has a udev rule",
    ),
    errno.EBUSY: DeviceError(
        "{device} is in use",
        "a camera that no other program holds",
        "see which program it is: sudo fuser -v {device}; end it",
    ),
    errno.EISDIR: DeviceError(
        "{device} is a folder",
        "a video device",
        "name one of the devices in it; where a container engine made it (-v {device} without a "
        "camera there), remove the folder, plug the camera in and pass it by --device {device}",
    ),
    errno.ENOTDIR: _ABSENT,
    errno.ENOTTY: _NO_CAMERA,
    errno.EINVAL: _NO_CAMERA,
}
"""errno -> row."""

OTHER = DeviceError(
    "{device} fails",
    "a camera that works",
    "unplug it and plug it in again; `sudo dmesg | tail` says what the kernel saw",
)


def refusal_of(error: OSError, device: str) -> DeviceFault:
    """The refusal of an error of the kernel."""
    row = ERRORS.get(error.errno or 0, OTHER)
    return DeviceFault(
        row.what.format(device=device),
        expected=row.expected.format(device=device),
        found=os.strerror(error.errno) if error.errno else str(error),
        remedy=row.remedy.format(device=device),
    )
