"""Values of the inner tensors of a PyTorch network, by their names in the exported graph.

Takes a traced network, a picture (1, 3, H, W) and names; returns float32 arrays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edge.perception.values import Floats

if TYPE_CHECKING:
    from torch import fx


class TorchForm:
    """A traced PyTorch network, whose nodes have the names of the exported graph's tensors."""

    def __init__(self, traced: fx.GraphModule) -> None:
        self._traced = traced

    @property
    def tensors(self) -> Mapping[str, str]:
        """See `Form`."""
        return {
            node.name: str(getattr(node.target, "__name__", node.target))
            for node in self._traced.graph.nodes
            if node.op == "call_function"
        }

    def values(self, picture: Floats, names: Sequence[str]) -> list[Floats]:
        """See `Form`."""
        import torch
        from torch import fx

        seen: dict[str, Floats] = {}
        wanted = set(names)

        class Recorder(fx.Interpreter):
            """Records the values of the named nodes."""

            def run_node(self, n: fx.Node) -> Any:
                value = super().run_node(n)
                if n.name in wanted and isinstance(value, torch.Tensor):
                    seen[n.name] = value.detach().to(torch.float32).numpy()
                return value

        with torch.inference_mode():
            Recorder(self._traced).run(torch.from_numpy(picture))
        return [seen[name] for name in names]

    def sizes(self, names: Sequence[str]) -> list[int]:
        """See `Form`."""
        return [0] * len(names)
