"""Memory of a simulated GPU: addresses that host code cannot dereference, and page-locked memory.

Addresses of device memory lie in a range that is reserved and not readable: a dereference by host
code ends the process as it should. Fresh and freed memory holds POISON, which is NaN in float32.
Nothing is ever at the address of something freed.
"""

from __future__ import annotations

import bisect
import ctypes
import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulated_device.cuda_errors import CudaError

Bytes = NDArray[np.uint8]

POISON = np.array([0xCD, 0xCD, 0xCD, 0xFF], np.uint8)
"""As float32 NaN, as bytes 205 and 255."""

ALIGNMENT = 512
"""Of cuMemAlloc; the CUDA documentation promises 256."""
GUARD = 256
RESERVED_BYTES = 1 << 38
PROT_NONE = 0
FAILED = ctypes.c_void_p(-1).value


def poison(view: Bytes) -> None:
    """Fills with POISON."""
    whole = len(view) // 4 * 4
    view[:whole].reshape(-1, 4)[:] = POISON
    view[whole:] = POISON[: len(view) - whole]


class Block:
    """A device allocation, or page-locked host memory. `device_address` is 0 where host memory
    is not mapped; for device memory it is the address."""

    def __init__(self, context: Any, size: int, *, address: int, device_address: int) -> None:
        self.context, self.size = context, size
        self.address, self.device_address = address, device_address
        self.freed = False
        self.kernel_writes = 0  # launches that wrote here: not the host's doing
        self.is_host = False
        self._view: Bytes | None = None

    def of_host(self, view: Bytes) -> Block:
        self._view, self.is_host = view, True
        return self

    @property
    def charged_bytes(self) -> int:
        """How much of the GPU's memory it takes: page-locked memory is the processor's, unless both
        share one."""
        return 0 if self.is_host and not self.context.device.facts.integrated else self.size

    @property
    def view(self) -> Bytes:
        """The bytes, made and poisoned at the first access."""
        if self._view is None:
            raw = np.empty(self.size + ALIGNMENT, np.uint8)
            first = -raw.ctypes.data % ALIGNMENT
            self._view = raw[first : first + self.size]
            poison(self._view)
        return self._view

    def drop(self) -> None:
        """Freed: page-locked memory, which Python may still see, becomes poison."""
        self.freed = True
        if self.is_host:
            poison(self.view)
        else:
            self._view = None


class AddressSpace:
    """All addresses: device memory, mapped host memory, and page-locked ranges of the host."""

    def __init__(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mmap.restype = ctypes.c_void_p
        libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
        libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000  # MAP_NORESERVE
        base = libc.mmap(None, RESERVED_BYTES, PROT_NONE, flags, -1, 0)
        assert base != FAILED, "cannot reserve addresses"
        self._munmap, self._base, self._closed = libc.munmap, base, False
        self._next = -(-base // ALIGNMENT) * ALIGNMENT + ALIGNMENT
        self._device: list[tuple[int, Block]] = []
        self._host: list[tuple[int, Block]] = []
        self._kept: list[Any] = []

    def close(self) -> None:
        """Give the addresses back, once: others may be there afterwards."""
        if not self._closed:
            self._munmap(self._base, RESERVED_BYTES)
        self._closed = True

    def allocate(self, context: Any, size: int) -> Block:
        """Device memory."""
        address = self._take(size)
        block = Block(context, size, address=address, device_address=address)
        self._device.append((address, block))
        return block

    def lock_pages(self, context: Any, size: int, *, mapped: bool) -> Block:
        """New page-locked host memory. It stays readable after it was freed, as poison."""
        pages = mmap.mmap(-1, max(size, 1))
        self._kept.append(pages)
        view = np.frombuffer(pages, np.uint8)[:size]
        poison(view)
        return self.register(context, view, mapped=mapped)

    def register(self, context: Any, view: Bytes, *, mapped: bool) -> Block:
        """Page-lock host memory that exists."""
        address = view.ctypes.data
        alias = self._take(len(view)) if mapped else 0
        block = Block(context, len(view), address=address, device_address=alias).of_host(view)
        self._host = [(at, held) for at, held in self._host if not (held.freed and at == address)]
        bisect.insort(self._host, (address, block), key=lambda row: row[0])
        if mapped:
            self._device.append((alias, block))
        return block

    def device_range(self, address: int, size: int, *, device: Any = None) -> tuple[Block, Bytes]:
        """The bytes at a device address, for work on a GPU or for a copy (None).

        Raises:
            CudaError: ILLEGAL_ADDRESS: not all of it is memory in use, or it is another GPU's.
        """
        block = self.at(address)
        if block is None or block.freed:
            raise CudaError("ILLEGAL_ADDRESS")
        if device is not None and not block.is_host and block.context.device is not device:
            raise CudaError("ILLEGAL_ADDRESS")
        first = address - block.device_address
        if first + size > block.size:
            raise CudaError("ILLEGAL_ADDRESS")
        return block, block.view[first : first + size]

    def at(self, address: int) -> Block | None:
        """The block, alive or freed, that holds a device address."""
        row = bisect.bisect_right(self._device, address, key=lambda row: row[0]) - 1
        if row < 0:
            return None
        first, block = self._device[row]
        return block if address < first + max(block.size, 1) else None

    def host_range(self, address: int, size: int) -> Block | None:
        """The page-locked memory that holds all of a host range, or None: it is pageable."""
        row = bisect.bisect_right(self._host, address, key=lambda row: row[0]) - 1
        if row < 0:
            return None
        first, block = self._host[row]
        return block if not block.freed and address + size <= first + block.size else None

    def blocks(self) -> list[Block]:
        """Everything that was ever there, each once."""
        return list({id(block): block for _, block in (*self._device, *self._host)}.values())

    def _take(self, size: int) -> int:
        address = self._next
        self._next += -(-(size + GUARD) // ALIGNMENT) * ALIGNMENT
        assert self._next < self._base + RESERVED_BYTES, "the simulated addresses are used up"
        return address


def host_view(address: int, size: int) -> Bytes:
    """The bytes at a host address of this process."""
    return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))
