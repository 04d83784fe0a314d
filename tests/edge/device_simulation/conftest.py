"""The rows of the simulated driver, for tests that run over each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from simulated_device.driver_rows import ROWS


@pytest.fixture(params=sorted(ROWS))
def row(request: pytest.FixtureRequest) -> Callable[[], Any]:
    """Makes the row; call it within `installed`."""
    return ROWS[request.param]
