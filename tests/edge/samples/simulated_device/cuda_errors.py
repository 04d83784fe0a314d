"""CUresult codes that the simulated driver returns, with the driver's names and words.

The numbers are the CUDA driver API's; a test holds them against the enum of `cuda.bindings`.
"""

from __future__ import annotations

CODES: dict[int, tuple[str, str]] = {
    0: ("SUCCESS", "no error"),
    1: ("INVALID_VALUE", "invalid argument"),
    2: ("OUT_OF_MEMORY", "out of memory"),
    3: ("NOT_INITIALIZED", "initialization error"),
    100: ("NO_DEVICE", "no CUDA-capable device is detected"),
    101: ("INVALID_DEVICE", "invalid device ordinal"),
    200: ("INVALID_IMAGE", "device kernel image is invalid"),
    201: ("INVALID_CONTEXT", "invalid device context"),
    209: ("NO_BINARY_FOR_GPU", "no kernel image is available for execution on the device"),
    218: ("INVALID_PTX", "a PTX JIT compilation failed"),
    222: (
        "UNSUPPORTED_PTX_VERSION",
        "the provided PTX was compiled with an unsupported toolchain.",
    ),
    400: ("INVALID_HANDLE", "invalid resource handle"),
    401: ("ILLEGAL_STATE", "the operation cannot be performed in the present state"),
    500: ("NOT_FOUND", "named symbol not found"),
    600: ("NOT_READY", "device not ready"),
    700: ("ILLEGAL_ADDRESS", "an illegal memory access was encountered"),
    702: ("LAUNCH_TIMEOUT", "the launch timed out and was terminated"),
    709: ("CONTEXT_IS_DESTROYED", "context is destroyed"),
    712: (
        "HOST_MEMORY_ALREADY_REGISTERED",
        "part or all of the requested memory range is already mapped",
    ),
    713: (
        "HOST_MEMORY_NOT_REGISTERED",
        "pointer does not correspond to a registered memory region",
    ),
    716: ("MISALIGNED_ADDRESS", "misaligned address"),
    719: ("LAUNCH_FAILED", "unspecified launch failure"),
    900: ("STREAM_CAPTURE_UNSUPPORTED", "operation not permitted when stream is capturing"),
    901: (
        "STREAM_CAPTURE_INVALIDATED",
        "operation failed due to a previous error during capture",
    ),
    905: (
        "STREAM_CAPTURE_ISOLATION",
        "dependency created on uncaptured work in another stream",
    ),
    906: (
        "STREAM_CAPTURE_IMPLICIT",
        "operation would make the legacy stream depend on a capturing blocking stream",
    ),
    907: (
        "CAPTURED_EVENT",
        "operation not permitted on an event last recorded in a capturing stream",
    ),
    908: (
        "STREAM_CAPTURE_WRONG_THREAD",
        "attempt to terminate a thread-local capture sequence from another thread",
    ),
    999: ("UNKNOWN", "unknown error"),
}

NUMBERS = {name: number for number, (name, _) in CODES.items()}

STICKY = tuple(
    NUMBERS[name]
    for name in (
        "ILLEGAL_ADDRESS",
        "LAUNCH_TIMEOUT",
        "MISALIGNED_ADDRESS",
        "LAUNCH_FAILED",
        "UNKNOWN",
    )
)
"""After one of these every later call on the device returns the same code."""


class CudaError(Exception):
    """A driver call failed with a code."""

    def __init__(self, name: str) -> None:
        self.code = NUMBERS[name]
        super().__init__(f"{name}: {CODES[self.code][1]}")


class WouldHang(BaseException):
    """The real call would never return. No code under test may catch it by `except Exception`."""


class NotSimulated(Exception):
    """The release has this, but the simulation does not: it must be added before it can be used."""
