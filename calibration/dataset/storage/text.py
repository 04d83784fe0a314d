"""Decodes label files: UTF-8, and UTF-16 or UTF-32 as Windows tools write.

In: bytes. Out: text. Never guesses a code page.
"""

from __future__ import annotations

import json


def text_of(data: bytes) -> str:
    """The text without its byte order mark. Raises UnicodeDecodeError on another encoding."""
    # Detected by the byte order mark, or by the positions of zeros among the first bytes.
    return data.decode(json.detect_encoding(data)).removeprefix("\ufeff")


def head_of(data: bytes) -> str:
    """The first bytes of a file as text, without leading white space; bytes that cannot be decoded
    become U+FFFD."""
    return data.decode(json.detect_encoding(data), "replace").lstrip("\ufeff \t\r\n")
