"""`[health]`: which checks of what is seen are made, and how often the golden frame is.

The schema only; the checks are in `edge/runtime/health/`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from edge.contract.mission.sections.field_types import Number, Strict

CheckName = Literal[
    "size",
    "frozen",
    "dark",
    "washed out",
    "blocked",
    "blurred",
    "colour missing",
    "torn",
    "stale rows",
    "out of distribution",
    "canary",
]


class Health(Strict):
    """Checks of pictures, of their kind, and of the network (docs/runtime.md).

    off: checks that are not made. The report of every run names them.
    canary_every_s: seconds from one run of the golden frame to the next.
    """

    off: Annotated[tuple[CheckName, ...], Field(max_length=11)] = ()
    canary_every_s: Annotated[Number, Field(ge=0.5, le=60.0)] = 5.0
