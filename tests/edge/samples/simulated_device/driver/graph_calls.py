"""Graphs of the simulated driver: capture by mode and thread, instantiate, launch."""

from __future__ import annotations

import threading

from simulated_device.cuda_errors import CudaError, NotSimulated
from simulated_device.driver.state import RELAXED
from simulated_device.driver.stream_calls import StreamCalls
from simulated_device.driver.streams import Capture, Graph, GraphExec


class GraphCalls(StreamCalls):
    """Graphs."""

    def begin_capture(self, handle: int, mode: int) -> None:
        stream = self.stream(handle)
        if stream is stream.context.legacy:
            raise CudaError("STREAM_CAPTURE_UNSUPPORTED")
        if stream.capture is not None:
            raise CudaError("ILLEGAL_STATE")
        stream.capture = Capture(mode, threading.get_ident())
        self._captures.append(stream.capture)

    def end_capture(self, handle: int) -> int:
        """The handle of the graph."""
        stream = self.stream(handle)
        capture = stream.capture
        if capture is None:
            raise CudaError("ILLEGAL_STATE")
        if capture.mode != RELAXED and capture.thread != threading.get_ident():
            raise CudaError("STREAM_CAPTURE_WRONG_THREAD")
        stream.capture = None
        self._captures.remove(capture)
        if capture.invalid:
            raise CudaError("STREAM_CAPTURE_INVALIDATED")
        return self.hold(stream.context, Graph(stream.context, tuple(capture.operations)))

    def capture_status(self, handle: int) -> int:
        """CUstreamCaptureStatus: 0 none, 1 active, 2 invalidated."""
        capture = self.stream(handle).capture
        return 0 if capture is None else 2 if capture.invalid else 1

    def graph_instantiate(self, handle: int) -> int:
        context = self.enter(unsafe=True)
        graph = self.object(handle, Graph)
        return self.hold(context, GraphExec(context, graph.operations))

    def graph_launch(self, handle: int, stream_handle: int) -> None:
        graph, stream = self.object(handle, GraphExec), self.stream(stream_handle)
        if stream.capture is not None:
            raise NotSimulated("a graph that is launched in a capture")
        for operation in graph.operations:
            self.enqueue(stream, operation)
