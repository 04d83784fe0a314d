"""The confined process: restricts itself, loads a network's file and answers requests about it
until its input ends.

Started by `converters.sources.confinement.process`. Reads and writes `Message`s on standard input
and output. PyTorch is imported after the confinement, which holds only for threads that start
later.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from converters.sources.confinement.restrictions import confine
from firmware_bridge.errors import Refusal

if TYPE_CHECKING:
    from torch import nn

    from converters.sources.confinement.messages import Message
    from converters.sources.pytorch.intermediate_values import TorchForm


def main() -> None:
    """Runs the process. Arguments: the folder that it may write, its memory limit in bytes."""
    folder, memory_bytes = Path(sys.argv[1]), int(sys.argv[2])
    questions, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # prints must not mix with the answers
    places = [Path(place) for place in (*sys.path, sys.prefix, sys.base_prefix) if place]
    places += _packages()
    holds = confine(folder, memory_bytes=memory_bytes, readable=places)

    from converters.sources.confinement.messages import Message, send

    send(answers, Message({"files": holds.files, "network": holds.network}))
    _answer(questions, answers)


def _packages() -> list[Path]:
    """Folders of this project's code, which an editable install does not have on sys.path."""
    import calibration
    import converters
    import edge
    import firmware_bridge

    return [
        Path(place)
        for package in (calibration, converters, edge, firmware_bridge)
        for place in package.__path__
    ]


def _answer(questions: BinaryIO, answers: BinaryIO) -> None:
    from converters.sources.confinement.messages import Message, ProtocolError, receive, send

    network = _Network()
    while True:
        try:
            asked = receive(questions)
        except ProtocolError:
            return
        try:
            answer = ANSWERS[asked.values["ask"]](network, asked)
        except Refusal as refusal:
            answer = Message({"refused": _plain(refusal)})
        # A network may raise anything; its owner reads it.
        except Exception as error:  # noqa: BLE001 # sent to the parent, which raises it
            answer = Message({"failed": str(error) or type(error).__name__})
        send(answers, answer)


def _plain(refusal: Refusal) -> dict[str, str]:
    return {
        "kind": type(refusal).__name__,
        "what": refusal.what,
        "expected": refusal.expected,
        "found": refusal.found,
        "remedy": refusal.remedy,
    }


class _Network:
    """The loaded network and its traced form, with a method for each request."""

    def __init__(self) -> None:
        self._module: nn.Module | None = None
        self._form: TorchForm | None = None

    def load(self, asked: Message) -> Message:
        """Loads the archive in the request."""
        from converters.sources.confinement.messages import Message

        path, (archive,) = Path(asked.values["path"]), asked.parts
        if asked.values["kind"] == "torchscript":
            from converters.sources.pytorch.torchscript import load_torchscript

            self._module = load_torchscript(archive, path)
        else:
            from converters.sources.pytorch.exported_program import load_program

            self._module = load_program(archive, path, tuple(asked.values["shape"]))
        return Message({})

    def pick(self, asked: Message) -> Message:
        """Selects an output."""
        from converters.sources.confinement.messages import Message
        from converters.sources.outputs import pick_torch

        pick_torch(self._loaded, asked.values["output"])
        return Message({})

    def run(self, asked: Message) -> Message:
        """The network's outputs for one picture, tensors only, in order."""
        import torch

        from converters.sources.confinement.messages import Message

        (picture,) = asked.arrays
        with torch.inference_mode():
            found = self._loaded(torch.from_numpy(picture.copy()))
        values = found if isinstance(found, tuple | list) else [found]
        tensors = [value for value in values if isinstance(value, torch.Tensor)]
        return Message({}, arrays=[value.detach().contiguous().numpy() for value in tensors])

    def export(self, asked: Message) -> Message:
        """The network as an ONNX model."""
        from converters.sources.confinement.messages import Message
        from converters.sources.pytorch.export import export

        model = export(self._loaded, tuple(asked.values["shape"]), asked.values["outputs"])
        return Message({}, [model.SerializeToString()])

    def trace(self, asked: Message) -> Message:
        """The names of its inner tensors and the operators that compute them."""
        from converters.sources.confinement.messages import Message
        from converters.sources.pytorch.export import trace
        from converters.sources.pytorch.intermediate_values import TorchForm

        shape = tuple(asked.values["shape"])
        self._form = TorchForm(trace(self._loaded, shape, asked.values["outputs"]))
        return Message({"tensors": list(self._form.tensors.items())})

    def values(self, asked: Message) -> Message:
        """Inner tensors for one picture, by name."""
        from converters.sources.confinement.messages import Message

        assert self._form is not None  # traced first
        (picture,) = asked.arrays
        return Message({}, arrays=self._form.values(picture.copy(), asked.values["names"]))

    def try_onnx(self, asked: Message) -> Message:
        """Runs an ONNX model once, on a picture of zeros."""
        import numpy as np

        from calibration.inference.sessions import PICTURE_TYPES, CannotRun, ModelSession
        from converters.sources.confinement.messages import Message

        (model,) = asked.parts
        try:
            session = ModelSession(model, threads=1)
            kind = PICTURE_TYPES.get(session.input_values[0].type, np.float32)
            session.run({session.inputs[0]: np.zeros(asked.values["shape"], kind)})
        except CannotRun as error:
            return Message({"cannot": str(error)})
        return Message({})

    @property
    def _loaded(self) -> nn.Module:
        assert self._module is not None  # loaded first
        return self._module


ANSWERS: Mapping[str, Callable[[_Network, Any], Message]] = {
    "load": _Network.load,
    "pick": _Network.pick,
    "run": _Network.run,
    "export": _Network.export,
    "trace": _Network.trace,
    "values": _Network.values,
    "try": _Network.try_onnx,
}

if __name__ == "__main__":
    main()
