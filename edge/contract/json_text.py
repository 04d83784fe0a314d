"""Reads JSON that others wrote: nesting is bounded, so that nothing that walks it later runs out of
stack. Never looks at what the values mean.
"""

from __future__ import annotations

import json
from typing import Any

import pydantic_core

UTF8_MARK = b"\xef\xbb\xbf"


def parse_json(text: str | bytes) -> Any:
    """The values in a JSON text (UTF-8, or UTF-16 and UTF-32 as JSON tells them apart).

    Arrays and objects nested deeper than some 200 are refused by the parser itself.

    Raises:
        ValueError: not JSON, nested too deeply, or not text.
    """
    if isinstance(text, bytes):
        coding = json.detect_encoding(text)
        text = text.removeprefix(UTF8_MARK) if coding.startswith("utf-8") else text.decode(coding)
    return pydantic_core.from_json(text, cache_strings="keys")
