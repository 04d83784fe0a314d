"""The command that installs extras of this program, for messages about missing packages.

For a checkout and for a wheel built from one; no index has a package of this name.
"""

from __future__ import annotations

WHEEL = "brakepoint-0.1.0-py3-none-any.whl"
"""The file that `pip wheel . --no-deps` writes; a test compares it with pyproject.toml."""


PACKAGES = ("calibration", "converters", "edge", "firmware_bridge")
"""This program's own packages: a missing module of theirs is a defect, not a missing extra."""


def pip_install(extras: str) -> str:
    """The command that installs extras ("convert", or "cpu,camera") beside the base."""
    return f"pip install '.[{extras}]' in the checkout, or pip install './{WHEEL}[{extras}]'"
