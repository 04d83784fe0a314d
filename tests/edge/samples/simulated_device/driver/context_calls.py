"""Devices and contexts of the simulated driver: attributes, a stack a thread, leaks at the end."""

from __future__ import annotations

from simulated_device.cuda_errors import CudaError
from simulated_device.driver.state import Context, Device, DriverState
from simulated_device.driver.streams import Stream

CAPABILITY_MAJOR, CAPABILITY_MINOR, INTEGRATED, CAN_MAP_HOST, UNIFIED = 75, 76, 18, 19, 41
MAX_THREADS_PER_BLOCK, MULTIPROCESSORS = 1, 16
"""CUdevice_attribute."""
MAX_THREADS = 1024
CONTEXT_BYTES = 64 << 20
"""A context's own need of GPU memory, roughly."""


class ContextCalls(DriverState):
    """Devices and contexts."""

    def init(self) -> None:
        if not self.devices:
            raise CudaError("NO_DEVICE")
        self._started = True

    def device(self, ordinal: int) -> Device:
        if not self._started:
            raise CudaError("NOT_INITIALIZED")
        if not 0 <= ordinal < len(self.devices):
            raise CudaError("INVALID_DEVICE")
        return self.devices[ordinal]

    def device_count(self) -> int:
        if not self._started:
            raise CudaError("NOT_INITIALIZED")
        return len(self.devices)

    def attribute(self, ordinal: int, attribute: int) -> int:
        facts = self.device(ordinal).facts
        known = {
            MAX_THREADS_PER_BLOCK: MAX_THREADS,
            CAPABILITY_MAJOR: facts.sm // 10,
            CAPABILITY_MINOR: facts.sm % 10,
            INTEGRATED: int(facts.integrated),
            CAN_MAP_HOST: 1,
            UNIFIED: 1,
            MULTIPROCESSORS: facts.multiprocessors,
        }
        if attribute not in known:
            raise CudaError("INVALID_VALUE")
        return known[attribute]

    def primary_retain(self, ordinal: int) -> Context:
        device = self.device(ordinal)
        if device.primary is None:
            device.primary = self._new_context(device, is_primary=True)
        else:
            device.primary.references += 1
        return device.primary

    def primary_release(self, ordinal: int) -> None:
        context = self.device(ordinal).primary
        if context is None:
            raise CudaError("INVALID_CONTEXT")
        context.references -= 1
        if not context.references:
            self._end_context(context)
            context.device.primary = None

    def context_create(self, ordinal: int) -> Context:
        context = self._new_context(self.device(ordinal), is_primary=False)
        self.push(context)
        return context

    def context_destroy(self, context: Context) -> None:
        if context.is_primary or context.destroyed:
            raise CudaError("INVALID_CONTEXT")
        if self.stack and self.stack[-1] is context:
            self.stack.pop()
        self._end_context(context)

    def push(self, context: Context) -> None:
        if context.destroyed:
            raise CudaError("CONTEXT_IS_DESTROYED")
        self.stack.append(context)

    def pop(self) -> Context:
        if not self.stack:
            raise CudaError("INVALID_CONTEXT")
        return self.stack.pop()

    def set_current(self, context: Context | None) -> None:
        if self.stack:
            self.stack.pop()
        if context is not None:
            self.push(context)

    def current(self) -> Context | None:
        return self.stack[-1] if self.stack else None

    def synchronize(self) -> None:
        self.settle(self.enter(unsafe=True))

    def _new_context(self, device: Device, *, is_primary: bool) -> Context:
        self.charge_device(device, CONTEXT_BYTES)
        context = Context(device, 0, is_primary)
        context.handle = self.hold(None, context)
        context.streams.append(Stream(context, blocking=True))
        return context

    def _end_context(self, context: Context) -> None:
        if not context.device.sticky:
            self.settle(context)
            self._count_leaks(context)
        for block in self.space.blocks():
            if block.context is context and not block.freed:
                block.drop()
                context.device.used_bytes -= block.charged_bytes
        for handle in context.held:
            self._handles.pop(handle, None)
        context.device.used_bytes -= CONTEXT_BYTES
        context.destroyed = True
        del self._handles[context.handle]

    def _count_leaks(self, context: Context) -> None:
        left = [
            f"{'page-locked' if block.is_host else 'device'} memory of {block.size} bytes"
            for block in self.space.blocks()
            if block.context is context and not block.freed
        ]
        left += [type(self._handles[handle]).__name__.lower() for handle in sorted(context.held)]
        if left:
            self.finding(f"left at the end of the context: {', '.join(left)}")

    def _hung(self, context: Context) -> bool:
        return any(stream.never_ends() for stream in context.streams)

    def never_ends(self) -> bool:
        """Whether a call that waits for the device would hang."""
        contexts = [held for held in self._handles.values() if isinstance(held, Context)]
        return any(self._hung(context) for context in contexts)

    def close(self) -> list[str]:
        """End of the process: findings, with what was left behind."""
        for at_end in self.at_end:
            at_end()
        for context in [held for held in self._handles.values() if isinstance(held, Context)]:
            if not context.destroyed and not context.device.sticky and not self._hung(context):
                self._count_leaks(context)
                self.finding("a context was not released at the end of the process")
        self.closed = True
        self._queued.put(None)
        self.space.close()
        return self.take_findings()
