"""A network from a PyTorch file, held in a process without rights. Here come in only its outputs
and an ONNX model, which is looked at as every ONNX file is.
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
from converters.sources.onnx_file import read_answer
from edge.perception.values import Floats


class Confined(nn.Module):
    """A network in another process, with the forward of a module. It has no parameters here.

    Attributes:
        open: what could not be closed on this machine, in words; empty where all is.
    """

    open: tuple[str, ...]

    def __init__(self, kind: str, plain: bytes, path: Path, shape: tuple[int, ...]) -> None:
        """Starts the process and loads an archive, looked at and written anew, in it.

        Raises:
            UsageError: the archive's own, as `load_torchscript` and `load_program` raise it.
            DeviceFault: the process could not begin, or ended.
        """
        super().__init__()
        process = ConfinedProcess(path)  # kept out of sight of torch.nn, which would copy it
        object.__setattr__(self, "_process", process)
        object.__setattr__(self, "open", process.open)
        self._ask("load", {"kind": kind, "path": str(path), "shape": list(shape)}, [plain])

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """What the network puts out for (1, 3, H, W), tensors in order."""
        found = self._ask("run", {}, arrays=[images.numpy()]).arrays
        return tuple(torch.from_numpy(one.copy()) for one in found)

    def pick(self, output: str) -> None:
        """Lets it put out one output alone, by its key or place."""
        self._ask("pick", {"output": output})

    def export(self, shape: tuple[int, int, int, int], outputs: Sequence[str]) -> ModelProto:
        """An ONNX model of it, as `converters.sources.pytorch.export.export` makes it."""
        answer = self._ask("export", {"shape": list(shape), "outputs": list(outputs)})
        if len(answer.parts) != 1:
            raise self._held.ended("an answer without a model")
        return read_answer(answer.parts[0], self._held.path)

    def form(self, shape: tuple[int, int, int, int], outputs: Sequence[str]) -> ConfinedForm:
        """Its inner tensors, by the names that the ONNX model has."""
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

    def __init__(self, network: Confined, tensors: Mapping[str, str]) -> None:
        self._network, self._tensors = network, tensors

    @property
    def tensors(self) -> Mapping[str, str]:
        """Name -> operator, in order."""
        return self._tensors

    def values(self, picture: Floats, names: Sequence[str]) -> list[Floats]:
        """Those tensors for one picture."""
        return self._network.values(picture, names)

    def sizes(self, names: Sequence[str]) -> list[int]:
        """Not known."""
        return [0] * len(names)
