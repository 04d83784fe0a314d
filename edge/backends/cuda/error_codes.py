"""The one table of CUDA's driver errors: number, name, text, and what is left after each.

Names and numbers are those of `CUresult` (CUDA 13.5), texts those of `cuGetErrorString`. pycuda's
exceptions carry the text alone, so that the table is read by number and by text. An error that it
lacks counts as sticky: a process that ends and is started again does no harm, one that goes on with
a broken context does. So do errors of contexts and handles, which a session makes once.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class After(enum.Enum):
    """What is left of a context after an error."""

    RETRYABLE = "this call failed; the context works on"
    OUT_OF_MEMORY = "there is no room for this; the context works on"
    STICKY = "every later call fails as well, until the process ends"


RETRYABLE, OUT_OF_MEMORY, STICKY = After.RETRYABLE, After.OUT_OF_MEMORY, After.STICKY


@dataclass(frozen=True)
class CudaCode:
    """One row."""

    number: int
    name: str
    text: str
    after: After


# fmt: off
_ROWS: tuple[tuple[int, str, str, After], ...] = (
    (1, "INVALID_VALUE", "invalid argument", RETRYABLE),
    (2, "OUT_OF_MEMORY", "out of memory", OUT_OF_MEMORY),
    (3, "NOT_INITIALIZED", "initialization error", STICKY),
    (4, "DEINITIALIZED", "driver shutting down", STICKY),
    (34, "STUB_LIBRARY", "CUDA driver is a stub library", STICKY),
    (36, "CALL_REQUIRES_NEWER_DRIVER",
     "API call is not supported in the installed CUDA driver", RETRYABLE),
    (46, "DEVICE_UNAVAILABLE", "CUDA-capable device(s) is/are busy or unavailable", STICKY),
    (100, "NO_DEVICE", "no CUDA-capable device is detected", STICKY),
    (101, "INVALID_DEVICE", "invalid device ordinal", RETRYABLE),
    (102, "DEVICE_NOT_LICENSED", "device doesn't have valid Grid license", STICKY),
    (200, "INVALID_IMAGE", "device kernel image is invalid", RETRYABLE),
    (201, "INVALID_CONTEXT", "invalid device context", STICKY),
    (205, "MAP_FAILED", "mapping of buffer object failed", RETRYABLE),
    (209, "NO_BINARY_FOR_GPU",
     "no kernel image is available for execution on the device", RETRYABLE),
    (214, "ECC_UNCORRECTABLE", "uncorrectable ECC error encountered", STICKY),
    (216, "CONTEXT_ALREADY_IN_USE",
     "exclusive-thread device already in use by a different thread", STICKY),
    (218, "INVALID_PTX", "a PTX JIT compilation failed", RETRYABLE),
    (220, "NVLINK_UNCORRECTABLE",
     "uncorrectable NVLink error detected during the execution", STICKY),
    (221, "JIT_COMPILER_NOT_FOUND", "PTX JIT compiler library not found", RETRYABLE),
    (222, "UNSUPPORTED_PTX_VERSION",
     "the provided PTX was compiled with an unsupported toolchain.", RETRYABLE),
    (223, "JIT_COMPILATION_DISABLED", "PTX JIT compilation was disabled", RETRYABLE),
    (226, "CONTAINED",
     "Invalid access of peer GPU memory over nvlink or a hardware error", STICKY),
    (301, "FILE_NOT_FOUND", "file not found", RETRYABLE),
    (302, "SHARED_OBJECT_SYMBOL_NOT_FOUND", "shared object symbol not found", RETRYABLE),
    (303, "SHARED_OBJECT_INIT_FAILED", "shared object initialization failed", RETRYABLE),
    (304, "OPERATING_SYSTEM", "OS call failed or operation not supported on this OS", STICKY),
    (400, "INVALID_HANDLE", "invalid resource handle", STICKY),
    (401, "ILLEGAL_STATE", "the operation cannot be performed in the present state", RETRYABLE),
    (500, "NOT_FOUND", "named symbol not found", RETRYABLE),
    (600, "NOT_READY", "device not ready", RETRYABLE),
    (700, "ILLEGAL_ADDRESS", "an illegal memory access was encountered", STICKY),
    (701, "LAUNCH_OUT_OF_RESOURCES", "too many resources requested for launch", RETRYABLE),
    (702, "LAUNCH_TIMEOUT", "the launch timed out and was terminated", STICKY),
    (709, "CONTEXT_IS_DESTROYED", "context is destroyed", STICKY),
    (710, "ASSERT", "device-side assert triggered", STICKY),
    (714, "HARDWARE_STACK_ERROR", "hardware stack error", STICKY),
    (715, "ILLEGAL_INSTRUCTION", "an illegal instruction was encountered", STICKY),
    (716, "MISALIGNED_ADDRESS", "misaligned address", STICKY),
    (717, "INVALID_ADDRESS_SPACE",
     "operation not supported on global/shared address space", STICKY),
    (718, "INVALID_PC", "invalid program counter", STICKY),
    (719, "LAUNCH_FAILED", "unspecified launch failure", STICKY),
    (720, "COOPERATIVE_LAUNCH_TOO_LARGE", "too many blocks in cooperative launch", RETRYABLE),
    (721, "TENSOR_MEMORY_LEAK", "tensor memory not completely freed", STICKY),
    (800, "NOT_PERMITTED", "operation not permitted", RETRYABLE),
    (801, "NOT_SUPPORTED", "operation not supported", RETRYABLE),
    (802, "SYSTEM_NOT_READY", "system not yet initialized", STICKY),
    (803, "SYSTEM_DRIVER_MISMATCH",
     "system has unsupported display driver / cuda driver combination", STICKY),
    (804, "COMPAT_NOT_SUPPORTED_ON_DEVICE",
     "forward compatibility was attempted on non supported HW", STICKY),
    (900, "STREAM_CAPTURE_UNSUPPORTED",
     "operation not permitted when stream is capturing", RETRYABLE),
    (901, "STREAM_CAPTURE_INVALIDATED",
     "operation failed due to a previous error during capture", RETRYABLE),
    (902, "STREAM_CAPTURE_MERGE",
     "operation would result in a merge of separate capture sequences", RETRYABLE),
    (903, "STREAM_CAPTURE_UNMATCHED",
     "capture was not ended in the same stream as it began", RETRYABLE),
    (904, "STREAM_CAPTURE_UNJOINED", "capturing stream has unjoined work", RETRYABLE),
    (905, "STREAM_CAPTURE_ISOLATION",
     "dependency created on uncaptured work in another stream", RETRYABLE),
    (906, "STREAM_CAPTURE_IMPLICIT",
     "operation would make the legacy stream depend on a capturing blocking stream", RETRYABLE),
    (907, "CAPTURED_EVENT",
     "operation not permitted on an event last recorded in a capturing stream", RETRYABLE),
    (908, "STREAM_CAPTURE_WRONG_THREAD",
     "attempt to terminate a thread-local capture sequence from another thread", RETRYABLE),
    (911, "EXTERNAL_DEVICE",
     "an async error has occured in external entity outside of CUDA", STICKY),
    (999, "UNKNOWN", "unknown error", STICKY),
)
# fmt: on

CODES: dict[int, CudaCode] = {row[0]: CudaCode(*row) for row in _ROWS}
_BY_TEXT = {code.text: code for code in CODES.values()}


class CudaError(Exception):
    """A call of CUDA failed.

    Attributes:
        call: the function of CUDA, such as "cuEventQuery".
        code: the row of the table; for an error that the table lacks, a sticky one made for it.
    """

    def __init__(self, call: str, code: CudaCode, *, detail: str = "") -> None:
        more = f": {detail.strip()}" if detail.strip() else ""
        super().__init__(f"{call}: {code.text} ({code.name}, {code.number}){more}")
        self.call = call
        self.code = code


def by_number(number: int, *, name: str = "?") -> CudaCode:
    """The row of a number; one that the table lacks is sticky, under the `name` that is given."""
    return CODES.get(number, CudaCode(number, name, "an error that brakepoint lacks", STICKY))


def by_text(text: str) -> CudaCode:
    """The row of a text of `cuGetErrorString`; one that the table lacks is sticky."""
    return _BY_TEXT.get(text.strip(), CudaCode(-1, "?", text.strip(), STICKY))
