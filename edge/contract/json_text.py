"""Parses JSON from outside with bounded nesting, so that no later walk over it runs out of stack.

Text or bytes go in; plain Python values come out.
"""

from __future__ import annotations

import json
from typing import Any

import pydantic_core

UTF8_MARK = b"\xef\xbb\xbf"


def parse_json(text: str | bytes) -> Any:
    """The values in a JSON text (UTF-8, UTF-16 or UTF-32).

    The parser itself refuses arrays and objects nested deeper than some 200.

    Raises:
        ValueError: not JSON, nested too deeply, or not text.
    """
    if isinstance(text, bytes):
        coding = json.detect_encoding(text)
        text = text.removeprefix(UTF8_MARK) if coding.startswith("utf-8") else text.decode(coding)
    return pydantic_core.from_json(text, cache_strings="keys")
