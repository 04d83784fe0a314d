"""The table of devices that sessions run on.

A device that this installation lacks is refused: no session falls back to the CPU.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import onnxruntime

from firmware_bridge.errors import Missing, UsageError


@dataclass(frozen=True)
class Device:
    """A row of DEVICES.

    Attributes:
        provider, options: onnxruntime's name of the execution provider, and its options.
        words: the end of "onnxruntime 1.32 on ...".
        install: the command that installs the provider.
        config: entries of the session's configuration.
    """

    name: str
    provider: str
    words: str
    install: str
    options: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, str] = field(default_factory=dict)


CPU = Device("cpu", "CPUExecutionProvider", "the CPU", "pip install onnxruntime")
CUDA = Device(
    "cuda",
    "CUDAExecutionProvider",
    "CUDA",
    "pip uninstall onnxruntime && pip install onnxruntime-gpu",
    # TF32 has 10 bits of mantissa: ranges would differ from those of the float graph.
    options={"use_tf32": "0"},
    # Otherwise a node that CUDA lacks would run on the CPU without a message.
    config={"session.disable_cpu_ep_fallback": "1"},
)
DEVICES = {device.name: device for device in (CPU, CUDA)}


def device_by_name(name: str) -> Device:
    """The row of this name, if this installation has its provider.

    Raises:
        UsageError: no such row.
        Missing: onnxruntime was built without it.
    """
    if name not in DEVICES:
        raise UsageError(
            f"no device is called '{name}'",
            expected=" or ".join(DEVICES),
            found=name,
            remedy="correct --device",
        )
    device = DEVICES[name]
    require_device(device, onnxruntime.get_available_providers())
    return device


def require_device(device: Device, providers: Sequence[str]) -> None:
    """Refuses a device whose provider is not among `providers`.

    Raises:
        Missing: the provider is not there.
    """
    if device.provider not in providers:
        raise Missing(
            f"onnxruntime cannot run on {device.words}",
            expected=f"{device.provider}",
            found=", ".join(providers) or "no provider",
            remedy=f"{device.install}, or leave --device {device.name} out",
        )
