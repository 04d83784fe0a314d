"""Reads one array of an .npz archive, after checking the size in its header.

numpy allocates the size that a header claims before it reads values.
"""

from __future__ import annotations

import math
import tokenize
import zipfile
import zlib
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

DAMAGED_ARCHIVE = (
    *(zipfile.BadZipFile, zlib.error, tokenize.TokenError, EOFError, OSError, MemoryError),
    *(ValueError, KeyError, IndexError, TypeError, AttributeError, RuntimeError),
)
"""Raised by Python's zip reader, numpy's header parser and JSON where an archive is damaged, locked
by a password, nested too deeply, or packed in a way that they do not know (its errors for the last
three are RuntimeErrors)."""

LARGEST_BYTES = 1 << 30
"""Of one array: far more than a calibration or a column of labels needs."""

HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def header(member: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether in Fortran order, and dtype of an array; leaves its values in the stream.

    Raises:
        ValueError: not an array in numpy's format 1.0 or 2.0, or a size below 0.
    """
    version = np.lib.format.read_magic(member)
    if version not in HEADERS:
        raise ValueError(f"numpy format {version}")
    shape, fortran, dtype = HEADERS[version](member)
    if any(size < 0 for size in shape):
        raise ValueError(f"an array of shape {shape}")
    return shape, fortran, dtype


def read_array(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    """The array `name` of an archive.

    Raises:
        KeyError: there is no such array.
        ValueError: it claims more than LARGEST_BYTES or than the archive holds, or holds objects.
    """
    info = archive.getinfo(f"{name}.npy")
    with archive.open(info) as member:
        shape, _, dtype = header(member)
    claimed = math.prod(shape) * dtype.itemsize
    if claimed > min(LARGEST_BYTES, info.file_size):
        raise ValueError(
            f"`{name}` claims {claimed} bytes, where {min(LARGEST_BYTES, info.file_size)} may be"
        )
    with archive.open(info) as member:
        found: NDArray[Any] = np.lib.format.read_array(member, allow_pickle=False)
    return found
