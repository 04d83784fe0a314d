"""`[health]`: which checks of what is seen are made.

The schema only; the checks are in `edge/runtime/health/`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from edge.contract.mission.sections.field_types import Strict

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
]


class Health(Strict):
    """Checks of pictures and of their kind (docs/runtime.md).

    off: checks that are not made. The report of every run names them.
    """

    off: Annotated[tuple[CheckName, ...], Field(max_length=10)] = ()
