"""One execution of an engine, enqueued by TensorRT each time or once recorded as a CUDA graph.

A graph saves the processor's work of enqueueing every layer. Where the driver wraps no graphs or
TensorRT does not let itself be recorded, `how` says so. Never switches from one to the other later.
"""

from __future__ import annotations

from edge.backends.cuda.driver import CapturesGraphs, CudaDriver, Graph
from edge.backends.cuda.error_codes import After, CudaError
from edge.backends.session import InferenceFailed
from edge.backends.tensorrt_engine import Engine

PLAIN, GRAPH = "enqueued by TensorRT", "CUDA graph"


class Execution:
    """How one engine is executed; plain until `capture` succeeds."""

    def __init__(self, engine: Engine, driver: CudaDriver) -> None:
        self._engine, self._driver = engine, driver
        self._graph: Graph | None = None
        self.how = PLAIN

    def enqueue(self) -> None:
        """Enqueues one execution.

        Raises:
            InferenceFailed: TensorRT refused it, in its words.
            CudaError: the graph cannot be launched.
        """
        if self._graph is not None and isinstance(self._driver, CapturesGraphs):
            self._driver.launch_graph(self._graph)
        elif (refused := self._engine.enqueue()) is not None:
            raise InferenceFailed(refused)

    def capture(self) -> None:
        """Records an execution as a graph, if that is possible. Shapes and addresses are set, one
        execution has run, and the stream is idle.

        Raises:
            CudaError: the context is lost.
        """
        driver = self._driver
        if not isinstance(driver, CapturesGraphs):
            self.how = f"{PLAIN}; {driver.facts.python} wraps no CUDA graphs"
            return
        refused: str | CudaError | None = None
        try:
            driver.begin_capture()
            refused = self._engine.enqueue()
            graph = driver.end_capture()
        except CudaError as error:
            if error.code.after is After.STICKY:
                raise
            refused = refused or error
        if refused is None:
            self._graph, self.how = graph, GRAPH
        else:
            self.how = f"{PLAIN}; it cannot be recorded as a CUDA graph: {refused}"
