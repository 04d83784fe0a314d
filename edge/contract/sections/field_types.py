"""What sections of the mission are made of: the frozen section itself and kinds of value.

Types only; what values mean together is in `edge/contract/cross_checks.py`.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]*$")]
Url = Annotated[str, StringConstraints(pattern=r"^[a-z0-9+.-]+(://|::)\S+$")]
Factory = Annotated[str, StringConstraints(pattern=r"^[\w.]+:\w+$")]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0.0)]


class Strict(BaseModel):
    """A frozen section that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)
