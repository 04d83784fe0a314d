"""The base class of the mission's sections, and their types of value.

Every number has a least and a largest value, every text and every list a length, and a number is
never read from a text or from true and false: a mission that passes can be run
(docs/decisions/0030). Rules that span keys are in `edge/contract/mission/checks/`.
"""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

LONGEST_PATH = 4096
"""Linux's longest path, in characters."""

MOST_LABELS = 32_768
"""Labels of a network; ImageNet's whole tree has 21,841."""

_BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def unwritable(text: str, *, besides: str = "") -> str | None:
    """The first unprintable character, such as U+001B: control characters, lone surrogates, marks
    of writing direction. None where there is none, except those in `besides`."""
    for letter in text:
        kind = unicodedata.category(letter)
        if (kind in ("Cc", "Cs", "Zl", "Zp") or letter in _BIDI) and letter not in besides:
            return f"U+{ord(letter):04X}"
    return None


def _one_line(text: str) -> str:
    if (found := unwritable(text)) is not None:
        raise ValueError(f"holds the control character {found}")
    return text


def _prose(text: str) -> str:
    if (found := unwritable(text, besides="\n\r\t")) is not None:
        raise ValueError(f"holds the control character {found}")
    return text


def _short_path(path: Path) -> Path:
    if len(str(path)) > LONGEST_PATH or "\0" in str(path):
        raise ValueError(f"is no path: {LONGEST_PATH} characters at most, none of them U+0000")
    return path


Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200),
    AfterValidator(_one_line),
]
"""The name of a label, a rule, a zone or a column, as tables and pictures show it."""

Text = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=2000),
    AfterValidator(_prose),
]
"""A sentence or a few, for people."""

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]*$", max_length=100)]
Url = Annotated[str, StringConstraints(pattern=r"^[a-z0-9+.-]+(://|::)\S+$", max_length=2048)]
Factory = Annotated[str, StringConstraints(pattern=r"^[\w.]+:\w+$", max_length=200)]
File = Annotated[Path, AfterValidator(_short_path)]

Flag = Annotated[bool, Field(strict=True)]
Whole = Annotated[int, Field(strict=True)]
"""A number without a fraction; each use adds its bounds."""

Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
"""A finite number; each use adds its bounds."""

Share = Annotated[Number, Field(ge=0.0, le=1.0)]
Count = Annotated[Whole, Field(ge=1, le=1_000_000)]
Steps = Annotated[Whole, Field(ge=1, le=10_000_000)]
Seed = Annotated[Whole, Field(ge=0, le=2**32 - 1)]
Speed = Annotated[Number, Field(ge=0.0, le=70.0)]
Deceleration = Annotated[Number, Field(ge=0.1, le=10.0)]


class Strict(BaseModel):
    """A frozen section that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
