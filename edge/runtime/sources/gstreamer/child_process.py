"""The process that runs one pipeline; `pipeline_process` starts it with a file descriptor FD.

Reads one line of JSON on stdin (`recipes`: `text` of a pipeline and the elements that it `needs`;
the first whose elements are all there is played, else the last) and writes messages (`messages.py`)
to FD. It ends when stdin is closed, and may be killed at any time. What GStreamer and its plug-ins
print goes to stdout and stderr and is never a message.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from typing import Any

from edge.runtime.sources.gstreamer import messages
from edge.runtime.sources.gstreamer.library import GStreamer, GStreamerError, Picture, Pipeline
from edge.runtime.sources.gstreamer.messages import Header

_PULL_NS = 50_000_000
_STOP_WITHIN_S = 1.0


def main() -> None:
    """Plays until the stream ends, fails, or nobody listens any more."""
    out = int(sys.argv[1])
    recipes = json.loads(sys.stdin.readline())["recipes"]
    closed = threading.Event()
    threading.Thread(target=_wait_for_end, args=(closed,), daemon=True).start()
    with contextlib.suppress(BrokenPipeError):
        try:
            _play(out, recipes, closed)
        except GStreamerError as error:
            _tell(out, messages.FAILED, **vars(error))


def _play(out: int, recipes: list[dict[str, Any]], closed: threading.Event) -> None:
    library = GStreamer()
    complete = (at for at, one in enumerate(recipes) if all(map(library.has, one["needs"])))
    chosen = next(complete, len(recipes) - 1)
    _tell(out, messages.READY, recipe=chosen)
    pipeline = Pipeline(library, recipes[chosen]["text"])
    try:
        _tell(out, messages.PLAYING, live=pipeline.play())
        while not closed.is_set():
            with pipeline.pull(wait_ns=_PULL_NS) as picture:
                if picture is not None:
                    _write(out, _header(picture), picture.pixels)
            if pipeline.ended():
                _tell(out, messages.ENDED)
                return
    except GStreamerError as error:
        _tell(out, messages.FAILED, **vars(error))  # first: stopping may take long
    finally:
        pipeline.stop()  # a camera service that loses its client otherwise may hang


def _header(picture: Picture) -> Header:
    time_ns = messages.NO_TIME if picture.time_ns is None else picture.time_ns
    return Header(
        messages.PICTURE,
        len(picture.pixels),
        picture.width,
        picture.height,
        picture.rate,
        time_ns,
    )


def _wait_for_end(closed: threading.Event) -> None:
    """Ends this process once stdin is closed, even where a driver hangs."""
    while os.read(0, 1):  # not by sys.stdin, whose lock would stop the interpreter's own end
        pass
    closed.set()
    threading.Event().wait(_STOP_WITHIN_S)
    os._exit(0)


def _tell(out: int, kind: int, **values: Any) -> None:
    content = memoryview(json.dumps(values).encode())
    _write(out, Header(kind, len(content)), content)


def _write(out: int, header: Header, content: memoryview) -> None:
    os.write(out, header.pack())
    while content:
        content = content[os.write(out, content) :]
