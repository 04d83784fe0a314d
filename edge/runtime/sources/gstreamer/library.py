"""The few functions of GStreamer that a camera needs, bound by ctypes.

In: the text of a pipeline. Out: its pictures with their times on the monotonic clock, and its
errors in GStreamer's own words. Needs libgstreamer and libgstapp (1.10 or newer), and no Python
package of GStreamer. A fault in a plug-in ends the process: only the child process may call this.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

SINK = "brakepoint"
"""Name of the appsink that every pipeline ends in."""

_NULL, _PAUSED, _PLAYING = 1, 3, 4
_FAILURE, _NO_PREROLL = 0, 3
_FORMAT_TIME, _MAP_READ = 3, 1
_END, _ERROR = 1 << 0, 1 << 1  # types of messages
_NO_TIME = 2**64 - 1
_ERROR_WITHIN_NS = 1_000_000_000

_Pointer, _Int, _Text, _UInt64 = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint64


class _GError(ctypes.Structure):
    _fields_ = (("domain", ctypes.c_uint32), ("code", _Int), ("message", _Text))


class _MiniObject(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_size_t),
        ("refcount", _Int),
        ("lockstate", _Int),
        ("flags", ctypes.c_uint),
        ("copy", _Pointer),
        ("dispose", _Pointer),
        ("free", _Pointer),
        ("priv_uint", ctypes.c_uint),
        ("priv_pointer", _Pointer),
    )


class _Message(ctypes.Structure):
    _fields_ = (("mini_object", _MiniObject), ("type", _Int))


class _Buffer(ctypes.Structure):
    _fields_ = (("mini_object", _MiniObject), ("pool", _Pointer), ("pts", _UInt64))


class _MapInfo(ctypes.Structure):
    _fields_ = (
        ("memory", _Pointer),
        ("flags", _Int),
        ("data", _Pointer),
        ("size", ctypes.c_size_t),
        ("maxsize", ctypes.c_size_t),
        ("reserved", _Pointer * 8),
    )


_Errors, _Ints = ctypes.POINTER(ctypes.POINTER(_GError)), ctypes.POINTER(_Int)
_Map = ctypes.POINTER(_MapInfo)

FUNCTIONS: Mapping[str, Mapping[str, tuple[Any, ...]]] = {
    "libglib-2.0.so.0": {"g_quark_to_string": (_Text, ctypes.c_uint32)},
    "libgstapp-1.0.so.0": {"gst_app_sink_try_pull_sample": (_Pointer, _Pointer, _UInt64)},
    "libgstreamer-1.0.so.0": {
        "gst_init_check": (_Int, _Pointer, _Pointer, _Errors),
        "gst_element_factory_find": (_Pointer, _Text),
        "gst_parse_launch": (_Pointer, _Text, _Errors),
        "gst_bin_get_by_name": (_Pointer, _Pointer, _Text),
        "gst_util_set_object_arg": (None, _Pointer, _Text, _Text),
        "gst_system_clock_obtain": (_Pointer,),
        "gst_pipeline_use_clock": (None, _Pointer, _Pointer),
        "gst_element_set_state": (_Int, _Pointer, _Int),
        "gst_element_get_base_time": (_UInt64, _Pointer),
        "gst_element_get_bus": (_Pointer, _Pointer),
        "gst_bus_timed_pop_filtered": (_Pointer, _Pointer, _UInt64, _Int),
        "gst_message_parse_error": (None, _Pointer, _Errors, ctypes.POINTER(_Text)),
        "gst_mini_object_unref": (None, _Pointer),
        "gst_sample_get_buffer": (_Pointer, _Pointer),
        "gst_sample_get_caps": (_Pointer, _Pointer),
        "gst_sample_get_segment": (_Pointer, _Pointer),
        "gst_segment_to_running_time": (_UInt64, _Pointer, _Int, _UInt64),
        "gst_caps_get_structure": (_Pointer, _Pointer, ctypes.c_uint),
        "gst_structure_get_int": (_Int, _Pointer, _Text, _Ints),
        "gst_structure_get_fraction": (_Int, _Pointer, _Text, _Ints, _Ints),
        "gst_buffer_map": (_Int, _Pointer, _Map, _Int),
        "gst_buffer_unmap": (None, _Pointer, _Map),
    },
}
"""Library, with the ABI version of every GStreamer 1.x -> function -> result and arguments."""


LIBRARY = "library"
"""Domain of the error that GStreamer is not installed."""


class GStreamerError(Exception):
    """What GStreamer reports, in its words.

    Attributes:
        domain: kind of error, such as "gst-resource-error-quark".
        code: number within the kind.
        message: one sentence.
        details: more of it, with places in GStreamer's source; may be empty.
    """

    def __init__(self, domain: str, code: int, message: str, details: str = "") -> None:
        super().__init__(message)
        self.domain, self.code, self.message, self.details = domain, code, message, details


@dataclass(frozen=True)
class Picture:
    """One picture, valid until the pipeline continues.

    Attributes:
        pixels: BGR, rows padded to a multiple of 4 bytes.
        width, height: in pixels.
        rate: frames a second as numerator and denominator; 0/1 where it is not known.
        time_ns: its time on the monotonic clock; None where it has none.
    """

    pixels: memoryview
    width: int
    height: int
    rate: tuple[int, int]
    time_ns: int | None


class GStreamer:
    """The libraries, loaded and initialised.

    Raises:
        GStreamerError: a library is not installed (LIBRARY), or it cannot be initialised.
    """

    def __init__(self) -> None:
        for library, functions in FUNCTIONS.items():
            try:
                loaded = ctypes.CDLL(library)
            except OSError as absent:
                raise GStreamerError(LIBRARY, 0, str(absent)) from absent
            for name, (result, *arguments) in functions.items():
                function = getattr(loaded, name)
                function.restype, function.argtypes = result, arguments
                setattr(self, name, function)
        error = ctypes.POINTER(_GError)()
        if not self.gst_init_check(None, None, ctypes.byref(error)):
            raise self.error_of(error)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)  # tells a type checker that functions are attributes

    def has(self, element: str) -> bool:
        """Whether a plug-in that is installed has this element."""
        return bool(self.gst_element_factory_find(element.encode()))

    def error_of(self, error: Any, details: bytes | None = None) -> GStreamerError:
        """The value of a GError."""
        held = error.contents
        domain = (self.g_quark_to_string(held.domain) or b"").decode(errors="replace")
        message = (held.message or b"").decode(errors="replace")
        return GStreamerError(domain, held.code, message, (details or b"").decode(errors="replace"))


class Pipeline:
    """One pipeline, from its text to its end."""

    def __init__(self, library: GStreamer, text: str) -> None:
        """Builds it; `text` ends in an appsink called SINK.

        Raises:
            GStreamerError: the text has a mistake.
        """
        self._gst = library
        error = ctypes.POINTER(_GError)()
        self._pipeline = library.gst_parse_launch(text.encode(), ctypes.byref(error))
        if error:
            raise library.error_of(error)
        self._sink = library.gst_bin_get_by_name(self._pipeline, SINK.encode())
        self._bus = library.gst_element_get_bus(self._pipeline)
        # The clock of a sound card or a network would not be that of the loop.
        library.gst_pipeline_use_clock(self._pipeline, library.gst_system_clock_obtain())

    def play(self) -> bool:
        """Starts it; returns whether its source is live, as a camera is.

        Raises:
            GStreamerError: an element cannot start.
        """
        paused = self._gst.gst_element_set_state(self._pipeline, _PAUSED)
        live = paused == _NO_PREROLL
        if not live:  # pace it by the times of its frames, as a recording is played
            self._gst.gst_util_set_object_arg(self._sink, b"sync", b"true")
        playing = self._gst.gst_element_set_state(self._pipeline, _PLAYING)
        if _FAILURE in (paused, playing):
            self.ended(wait_ns=_ERROR_WITHIN_NS)
            raise GStreamerError("", 0, "an element cannot start and does not say why")
        return bool(live)

    def ended(self, *, wait_ns: int = 0) -> bool:
        """Whether the stream has ended. Raises GStreamerError where an element has failed."""
        gst = self._gst
        message = gst.gst_bus_timed_pop_filtered(self._bus, wait_ns, _END | _ERROR)
        if not message:
            return False
        if ctypes.cast(message, ctypes.POINTER(_Message)).contents.type == _END:
            return True
        error, details = ctypes.POINTER(_GError)(), _Text()
        gst.gst_message_parse_error(message, ctypes.byref(error), ctypes.byref(details))
        raise gst.error_of(error, details.value)

    @contextmanager
    def pull(self, *, wait_ns: int) -> Iterator[Picture | None]:
        """The newest picture, or None where none comes in time."""
        sample = self._gst.gst_app_sink_try_pull_sample(self._sink, wait_ns)
        if not sample:
            yield None
            return
        buffer, held = self._gst.gst_sample_get_buffer(sample), _MapInfo()
        if not self._gst.gst_buffer_map(buffer, ctypes.byref(held), _MAP_READ):
            raise GStreamerError("", 0, "a picture cannot be mapped into memory")
        try:
            yield self._picture(sample, buffer, held)
        finally:
            self._gst.gst_buffer_unmap(buffer, ctypes.byref(held))
            self._gst.gst_mini_object_unref(sample)

    def stop(self) -> None:
        """Stops every element and frees its device; may hang where a driver does."""
        self._gst.gst_element_set_state(self._pipeline, _NULL)

    def _picture(self, sample: int, buffer: int, held: _MapInfo) -> Picture:
        gst = self._gst
        caps = gst.gst_caps_get_structure(gst.gst_sample_get_caps(sample), 0)
        width, height, above, below = _Int(), _Int(), _Int(0), _Int(1)
        gst.gst_structure_get_int(caps, b"width", ctypes.byref(width))
        gst.gst_structure_get_int(caps, b"height", ctypes.byref(height))
        gst.gst_structure_get_fraction(caps, b"framerate", ctypes.byref(above), ctypes.byref(below))
        pixels = (ctypes.c_ubyte * held.size).from_address(held.data)
        return Picture(
            memoryview(pixels).cast("B"),
            width.value,
            height.value,
            (above.value, below.value),
            self._time_ns(sample, buffer),
        )

    def _time_ns(self, sample: int, buffer: int) -> int | None:
        pts = ctypes.cast(buffer, ctypes.POINTER(_Buffer)).contents.pts
        if pts == _NO_TIME:
            return None
        segment = self._gst.gst_sample_get_segment(sample)
        running = self._gst.gst_segment_to_running_time(segment, _FORMAT_TIME, pts)
        if running == _NO_TIME:  # before the stream's own begin
            return None
        return int(self._gst.gst_element_get_base_time(self._pipeline)) + int(running)
