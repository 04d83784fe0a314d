"""The protocol of an inference session, which every backend implements."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from edge.perception.pixel_formats import Picture
from edge.perception.values import Floats


class InferenceFailed(Exception):
    """One inference failed; the session can be used again. The frame is Unknown."""


class DeviceLost(Exception):
    """The device or its context is gone: every later inference fails until the process ends.

    Raised again by every later call. The thread that used the device must not end before the
    process does, and nothing of the session must be destroyed: a destructor would call the device.
    """


class WrongThread(RuntimeError):
    """A thread used a session that another one opened: a defect of the caller."""


class Session(Protocol):
    """A loaded network. One thread opens, uses and closes it."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(1, 3, height, width)."""
        ...

    @property
    def output_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shape of every output in the network's order; 0 is a size known only after a run."""
        ...

    @property
    def input(self) -> Floats:
        """The session's own input buffer, (1, 3, H, W) float32, C-contiguous, page-locked or mapped
        on a GPU. A caller may write it in place and pass it to `infer`: then nothing is copied.
        Empty where the network leaves its size open; `infer` takes any array then."""
        ...

    @property
    def device_ms(self) -> Mapping[str, float]:
        """Time on the device of the last inference by stage, in ms, from the device's own events:
        "to_device", "preprocess", "execute", "to_host". Empty where there is no device."""
        ...

    @property
    def facts(self) -> Mapping[str, str]:
        """What runs the network, for a report: "runtime", "device", "memory", "execution".
        Empty where there is no device."""
        ...

    def infer(self, x: Floats) -> tuple[Floats, ...]:
        """Every output in the same order, float32, for an input (1, 3, H, W) float32.

        The outputs are the session's own memory: valid until the next `infer` or `close`.

        Raises:
            InferenceFailed: the backend refused or failed.
            DeviceLost: the device is gone, or did not end within the deadline.
        """
        ...

    def close(self) -> None:
        """Frees what the session holds; it cannot be used again. Calling it twice is allowed."""
        ...


@runtime_checkable
class PictureSession(Session, Protocol):
    """A session that can preprocess pictures itself, as `edge.perception.preprocess` does."""

    @property
    def takes_pictures(self) -> bool:
        """Whether it was opened to do so."""
        ...

    def infer_picture(self, picture: Picture) -> tuple[Floats, ...]:
        """`infer` for a camera's picture, in any format and size that `Picture` allows.

        Raises:
            InferenceFailed, DeviceLost: as `infer`.
        """
        ...
