"""Video4Linux's requests and structures (linux/videodev2.h), as far as capturing needs them.

Values only. A test compiles a C program with the kernel's own header and compares every size,
offset, request and constant.
"""

from __future__ import annotations

import ctypes

_U8, _U32 = ctypes.c_uint8, ctypes.c_uint32


class Capability(ctypes.Structure):
    """v4l2_capability: who the driver is and what the device can do."""

    _fields_ = (
        ("driver", ctypes.c_char * 16),
        ("card", ctypes.c_char * 32),
        ("bus_info", ctypes.c_char * 32),
        ("version", _U32),
        ("capabilities", _U32),
        ("device_caps", _U32),
        ("reserved", _U32 * 3),
    )


class FormatDescription(ctypes.Structure):
    """v4l2_fmtdesc: one of the pixel formats that the device lists."""

    _fields_ = (
        ("index", _U32),
        ("type", _U32),
        ("flags", _U32),
        ("description", ctypes.c_char * 32),
        ("pixelformat", _U32),
        ("mbus_code", _U32),
        ("reserved", _U32 * 3),
    )


class PixelLayout(ctypes.Structure):
    """v4l2_pix_format: size, format and rows of a picture."""

    _fields_ = (
        ("width", _U32),
        ("height", _U32),
        ("pixelformat", _U32),
        ("field", _U32),
        ("bytesperline", _U32),
        ("sizeimage", _U32),
        ("colorspace", _U32),
        ("priv", _U32),
        ("flags", _U32),
        ("ycbcr_enc", _U32),
        ("quantization", _U32),
        ("xfer_func", _U32),
    )


class _FormatKinds(ctypes.Union):
    # The pointer stands for the kinds that hold one: they decide the union's alignment.
    _fields_ = (("pix", PixelLayout), ("raw_data", _U8 * 200), ("window", ctypes.c_void_p))


class Format(ctypes.Structure):
    """v4l2_format."""

    _fields_ = (("type", _U32), ("fmt", _FormatKinds))


class Fraction(ctypes.Structure):
    """v4l2_fract."""

    _fields_ = (("numerator", _U32), ("denominator", _U32))


class CaptureParameters(ctypes.Structure):
    """v4l2_captureparm: the time between two frames."""

    _fields_ = (
        ("capability", _U32),
        ("capturemode", _U32),
        ("timeperframe", Fraction),
        ("extendedmode", _U32),
        ("readbuffers", _U32),
        ("reserved", _U32 * 4),
    )


class _ParameterKinds(ctypes.Union):
    _fields_ = (("capture", CaptureParameters), ("raw_data", _U8 * 200))


class StreamParameters(ctypes.Structure):
    """v4l2_streamparm."""

    _fields_ = (("type", _U32), ("parm", _ParameterKinds))


class RequestBuffers(ctypes.Structure):
    """v4l2_requestbuffers: how many buffers there are to be."""

    _fields_ = (
        ("count", _U32),
        ("type", _U32),
        ("memory", _U32),
        ("capabilities", _U32),
        ("flags", _U8),
        ("reserved", _U8 * 3),
    )


class TimeValue(ctypes.Structure):
    """timeval."""

    _fields_ = (("tv_sec", ctypes.c_long), ("tv_usec", ctypes.c_long))


class TimeCode(ctypes.Structure):
    """v4l2_timecode, which no camera here uses."""

    _fields_ = (
        ("type", _U32),
        ("flags", _U32),
        ("frames", _U8),
        ("seconds", _U8),
        ("minutes", _U8),
        ("hours", _U8),
        ("userbits", _U8 * 4),
    )


class _Place(ctypes.Union):
    _fields_ = (("offset", _U32), ("userptr", ctypes.c_ulong))


class Buffer(ctypes.Structure):
    """v4l2_buffer: one buffer on its way between driver and program."""

    _fields_ = (
        ("index", _U32),
        ("type", _U32),
        ("bytesused", _U32),
        ("flags", _U32),
        ("field", _U32),
        ("timestamp", TimeValue),
        ("timecode", TimeCode),
        ("sequence", _U32),
        ("memory", _U32),
        ("m", _Place),
        ("length", _U32),
        ("reserved2", _U32),
        ("request_fd", _U32),
    )


_WRITE, _READ = 1, 2


def _request(direction: int, number: int, size: int) -> int:
    """asm-generic/ioctl.h, as on x86, ARM and RISC-V."""
    return direction << 30 | size << 16 | ord("V") << 8 | number


VIDIOC_QUERYCAP = _request(_READ, 0, ctypes.sizeof(Capability))
VIDIOC_ENUM_FMT = _request(_READ | _WRITE, 2, ctypes.sizeof(FormatDescription))
VIDIOC_S_FMT = _request(_READ | _WRITE, 5, ctypes.sizeof(Format))
VIDIOC_REQBUFS = _request(_READ | _WRITE, 8, ctypes.sizeof(RequestBuffers))
VIDIOC_QUERYBUF = _request(_READ | _WRITE, 9, ctypes.sizeof(Buffer))
VIDIOC_QBUF = _request(_READ | _WRITE, 15, ctypes.sizeof(Buffer))
VIDIOC_DQBUF = _request(_READ | _WRITE, 17, ctypes.sizeof(Buffer))
VIDIOC_STREAMON = _request(_WRITE, 18, ctypes.sizeof(ctypes.c_int))
VIDIOC_STREAMOFF = _request(_WRITE, 19, ctypes.sizeof(ctypes.c_int))
VIDIOC_S_PARM = _request(_READ | _WRITE, 22, ctypes.sizeof(StreamParameters))

V4L2_BUF_TYPE_VIDEO_CAPTURE = 1
V4L2_MEMORY_MMAP = 1
V4L2_FIELD_NONE = 1
V4L2_CAP_VIDEO_CAPTURE = 0x00000001
V4L2_CAP_VIDEO_CAPTURE_MPLANE = 0x00001000
V4L2_CAP_STREAMING = 0x04000000
V4L2_CAP_DEVICE_CAPS = 0x80000000
V4L2_CAP_TIMEPERFRAME = 0x1000
V4L2_BUF_FLAG_ERROR = 0x00000040
V4L2_BUF_FLAG_TIMESTAMP_MASK = 0x0000E000
V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC = 0x00002000
V4L2_BUF_FLAG_TSTAMP_SRC_MASK = 0x00070000
V4L2_BUF_FLAG_TSTAMP_SRC_SOE = 0x00010000
