"""Allocations of the simulated driver: device memory, page-locked and mapped host memory."""

from __future__ import annotations

from collections.abc import Callable

from simulated_device.cuda_errors import CudaError
from simulated_device.driver.context_calls import ContextCalls
from simulated_device.driver.memory import Block, Bytes
from simulated_device.driver.state import Context

DEVICE_MAP = 2
"""CU_MEMHOSTALLOC_DEVICEMAP."""


class AllocationCalls(ContextCalls):
    """Memory."""

    def charge(self, context: Context, size: int) -> Callable[[], None]:
        """Memory that TensorRT takes for itself; the result gives it back."""
        self.charge_device(context.device, size)
        done: list[bool] = []

        def give_back() -> None:
            if not done and not context.destroyed:
                done.append(True)
                context.device.used_bytes -= size

        return give_back

    def memory_info(self) -> tuple[int, int]:
        """Free and all bytes."""
        device = self.enter().device
        return device.facts.memory_bytes - device.used_bytes, device.facts.memory_bytes

    def mem_alloc(self, size: int, *, again: bool = False) -> Block:
        """Device memory; `again` where pycuda tries the same allocation once more."""
        context = self.enter(unsafe=True)
        if size <= 0:
            raise CudaError("INVALID_VALUE")
        if again:
            self.events["out of memory"] -= 1
        if self.fault("out of memory"):
            raise CudaError("OUT_OF_MEMORY")
        self.charge_device(context.device, size)
        return self.space.allocate(context, size)

    def mem_free(self, address: int) -> None:
        context = self.enter(unsafe=True)
        if not address:
            return
        block = self.space.at(address)
        if block is None or block.is_host or block.device_address != address:
            raise CudaError("INVALID_VALUE")
        if block.freed:
            self.finding("device memory is freed twice")
            raise CudaError("INVALID_VALUE")
        self.settle(context)
        block.drop()
        context.device.used_bytes -= block.charged_bytes

    def host_alloc(self, size: int, *, mapped: bool) -> Block:
        context = self.enter(unsafe=True)
        if size <= 0:
            raise CudaError("INVALID_VALUE")
        if self.fault("out of memory"):
            raise CudaError("OUT_OF_MEMORY")
        if context.device.facts.integrated:
            self.charge_device(context.device, size)
        return self.space.lock_pages(context, size, mapped=mapped)

    def host_register(self, view: Bytes, *, mapped: bool) -> Block:
        context = self.enter(unsafe=True)
        if self.space.host_range(view.ctypes.data, 1) is not None:
            raise CudaError("HOST_MEMORY_ALREADY_REGISTERED")
        self.charge_device(context.device, len(view))
        return self.space.register(context, view, mapped=mapped)

    def host_free(self, address: int, *, registered: bool = False) -> None:
        context = self.enter(unsafe=True)
        block = self.space.host_range(address, 1)
        if block is None or block.address != address:
            raise CudaError("HOST_MEMORY_NOT_REGISTERED" if registered else "INVALID_VALUE")
        self.settle(context)
        block.freed = True
        if not registered:
            block.drop()
        context.device.used_bytes -= block.charged_bytes

    def host_device_pointer(self, address: int) -> int:
        """The device address of mapped host memory: another number, so that it must be asked."""
        self.enter()
        block = self.space.host_range(address, 1)
        if block is None or not block.device_address:
            raise CudaError("INVALID_VALUE")
        return block.device_address + address - block.address
