"""How parts of this program are installed: the one place where that is worded.

Says it for a checkout and for a wheel that was built from one; there is no package of this name on
any index.
"""

from __future__ import annotations

WHEEL = "brakepoint-0.1.0-py3-none-any.whl"
"""What `pip wheel . --no-deps` writes in a checkout; a test holds it against pyproject.toml."""


PACKAGES = ("calibration", "converters", "edge", "firmware_bridge")
"""This program's own: what is missing of them is a defect, not an extra."""


def pip_install(extras: str) -> str:
    """The command that installs extras ("convert", or "cpu,camera") beside the base."""
    return f"pip install '.[{extras}]' in the checkout, or pip install './{WHEEL}[{extras}]'"
