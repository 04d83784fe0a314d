"""Turns errors of a serial port into a `DeviceFault` with its remedy. Opens nothing."""

from __future__ import annotations

import contextlib
import errno
import stat
from pathlib import Path

from firmware_bridge.errors import DeviceFault


def cannot_open(path: str, error: Exception) -> DeviceFault:
    """The fault behind `error`: by its errno or, where pyserial hides that, by the file's kind."""
    code = getattr(error, "errno", None)
    expected = "a serial port that this program may use alone"
    if code == errno.ENOENT:
        return DeviceFault(
            f"serial port {path} does not exist",
            expected=expected,
            found="no such file",
            remedy="plug the microcontroller in, or name the port it has: ls /dev/serial/by-id",
        )
    if code in (errno.EACCES, errno.EPERM):
        return DeviceFault(
            f"serial port {path} may not be opened",
            expected=expected,
            found="permission denied",
            remedy="join the group that owns it (sudo usermod -aG dialout $USER), then log in anew",
        )
    if code in (errno.EBUSY, errno.EAGAIN, errno.EWOULDBLOCK) or "exclusively lock" in str(error):
        return DeviceFault(
            f"serial port {path} is held by another program",
            expected=expected,
            found="locked",
            remedy=f"find and end the other program: fuser -v {path}",
        )
    with contextlib.suppress(OSError):
        if not stat.S_ISCHR(Path(path).stat().st_mode) or code == errno.ENOTTY or not code:
            return DeviceFault(
                f"{path} is not a serial port",
                expected=expected,
                found=f"a file that does not answer as one ({error})",
                remedy="name the microcontroller's port: ls /dev/serial/by-id",
            )
    return DeviceFault(
        f"serial port {path} cannot be opened",
        expected=expected,
        found=str(error),
        remedy="unplug the microcontroller and plug it in again, then look at: dmesg | tail",
    )


def wrong_baud(path: str, asked: int, found: str) -> DeviceFault:
    """The fault of a port that works at another rate than `asked` baud."""
    return DeviceFault(
        f"serial port {path} does not work at {asked} baud",
        expected=f"{asked} baud, as link.baud says",
        found=found,
        remedy="set link.baud to a rate that both this port and the microcontroller have",
    )
