"""A network from a PyTorch file, run in a confined process with the interface of a torch module.

Takes the sanitized archive; gives outputs, inner tensors and an ONNX model, which is checked as an
ONNX file is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from onnx import ModelProto
from torch import Tensor, nn

from converters.sources.confinement.messages import Message
from converters.sources.confinement.process import ConfinedProcess
from converters.sources.onnx_file import read_model_bytes
from edge.perception.values import Floats


class ConfinedNetwork(nn.Module):
    """A network in another process, as a module without parameters.

    Attributes:
        open: what this machine could not forbid it, in words; empty where it is fully confined.
    """

    open: tuple[str, ...]

    def __init__(self, kind: str, plain: bytes, path: Path, shape: tuple[int, ...]) -> None:
        """Starts the process and loads a sanitized archive in it.

        Args:
            kind: "torchscript" or "exported".
            plain: the archive as `sanitize_torchscript` or `sanitize_program` wrote it.
            path: the user's file, for messages.
            shape: (1, 3, H, W).

        Raises:
            UsageError: as `load_torchscript` and `load_program` raise it.
            DeviceFault: the process could not start, or ended.
        """
        super().__init__()
        process = ConfinedProcess(path)  # hidden from torch.nn, which would copy it
        object.__setattr__(self, "_process", process)
        object.__setattr__(self, "open", process.open)
        self._ask("load", {"kind": kind, "path": str(path), "shape": list(shape)}, [plain])

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """The outputs for (1, 3, H, W) float32, tensors in order."""
        found = self._ask("run", {}, arrays=[images.numpy()]).arrays
        return tuple(torch.from_numpy(one.copy()) for one in found)

    def pick(self, output: str) -> None:
        """Makes it return one output alone, by its key or index."""
        self._ask("pick", {"output": output})

    def export(self, shape: tuple[int, int, int, int], outputs: Sequence[str]) -> ModelProto:
        """An ONNX model of it, as `converters.sources.pytorch.export.export` makes it."""
        answer = self._ask("export", {"shape": list(shape), "outputs": list(outputs)})
        if len(answer.parts) != 1:
            raise self._held.ended("an answer without a model")
        return read_model_bytes(answer.parts[0], self._held.path)

    def form(self, shape: tuple[int, int, int, int], outputs: Sequence[str]) -> ConfinedForm:
        """Its inner tensors, by their names in the exported ONNX model."""
        answer = self._ask("trace", {"shape": list(shape), "outputs": list(outputs)})
        return ConfinedForm(self, {str(name): str(how) for name, how in answer.values["tensors"]})

    def values(self, picture: Floats, names: Sequence[str]) -> list[Floats]:
        """Inner tensors for one picture (1, 3, H, W)."""
        found = self._ask("values", {"names": list(names)}, arrays=[picture]).arrays
        return [one.astype("float32") for one in found]

    @property
    def _held(self) -> ConfinedProcess:
        process: ConfinedProcess = object.__getattribute__(self, "_process")
        return process

    def _ask(
        self,
        what: str,
        values: Mapping[str, Any],
        parts: Sequence[bytes] = (),
        arrays: Sequence[NDArray[Any]] = (),
    ) -> Message:
        return self._held.ask(what, values, parts, arrays)


class ConfinedForm:
    """A confined network's inner tensors; see `converters.verification.layer_parity.Form`."""

    def __init__(self, network: ConfinedNetwork, tensors: Mapping[str, str]) -> None:
        self._network, self._tensors = network, tensors

    @property
    def tensors(self) -> Mapping[str, str]:
        """Name -> operator, in graph order."""
        return self._tensors

    def values(self, picture: Floats, names: Sequence[str]) -> list[Floats]:
        """These tensors for one picture (1, 3, H, W)."""
        return self._network.values(picture, names)

    def sizes(self, names: Sequence[str]) -> list[int]:
        """Zeros: sizes are not known without a run."""
        return [0] * len(names)
