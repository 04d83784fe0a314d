"""Bytes of label files to text: UTF-8 as most are, UTF-16 and UTF-32 as Windows writes them.

Never guesses a code page: text in another encoding is refused by whoever reads it.
"""

from __future__ import annotations

import json


def text_of(data: bytes) -> str:
    """The text; a byte order mark is skipped. Raises UnicodeDecodeError where it is none."""
    # By its byte order mark, or by where the zeros are among the first bytes.
    return data.decode(json.detect_encoding(data)).removeprefix("\ufeff")


def head_of(data: bytes) -> str:
    """The first bytes of a file as text, without the white space that it begins with; a character
    that is cut or none becomes U+FFFD."""
    return data.decode(json.detect_encoding(data), "replace").lstrip("\ufeff \t\r\n")
