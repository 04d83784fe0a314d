"""The simulated CUDA driver: contexts, memory, streams, events, graphs, modules, by driver rules.

Both driver rows (pycuda, cuda-bindings) and the TensorRT half call it; a CUDA error is a CudaError.
What CUDA lets pass but is wrong (a source changed under a copy, leaks, pageable memory in an
asynchronous copy) is a finding. One Machine is one process's view of the device.
"""

from __future__ import annotations

from simulated_device.cuda_errors import CudaError
from simulated_device.driver.context_calls import MAX_THREADS
from simulated_device.driver.copy_calls import CopyCalls
from simulated_device.driver.kernels import HostLaunch, host_kernels
from simulated_device.driver.ptx import Kernel, KernelModule, load_ptx
from simulated_device.driver.streams import Operation, Stream


class Machine(CopyCalls):
    """All calls of the driver: the classes in `driver/`, each over the one below, and modules."""

    def module_load(self, image: bytes) -> int:
        context = self.enter(unsafe=True)
        module = load_ptx(
            image, context, sm=context.device.facts.sm, driver=self.simulation.driver_version
        )
        host_kernels()  # compiled now, as a driver compiles PTX, and not in the first launch
        return self.hold(context, module)

    def module_function(self, handle: int, name: str) -> int:
        self.enter()
        module = self.object(handle, KernelModule)
        if name not in module.kernels:
            raise CudaError("NOT_FOUND")
        return self.hold(None, module.kernels[name])

    def launch(
        self,
        handle: int,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        *,
        stream: Stream,
        arguments: list[bytes],
    ) -> None:
        context = self.enter()
        kernel = self.object(handle, Kernel)
        if kernel.context is not context:
            raise CudaError("INVALID_HANDLE")
        if 0 in (*grid, *block) or block[0] * block[1] * block[2] > MAX_THREADS:
            raise CudaError("INVALID_VALUE")
        does = HostLaunch(self, kernel, grid, block, arguments)
        self.enqueue(stream, Operation(kernel.name, does.run, does.begin))
