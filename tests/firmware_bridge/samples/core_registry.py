"""The table of the core's cases, filled by `@case`: one function a case, each on a fresh Mcu."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from mcu_probe import Mcu

Case = Callable[[Mcu], None]
_MODULES = ("core_cases", "core_cases_ages", "core_cases_frames")
_CASES: dict[str, Case] = {}


def case(function: Case) -> Case:
    """Enter the function into the table under its name."""
    assert function.__name__ not in _CASES, f"two cases are called {function.__name__}"
    _CASES[function.__name__] = function
    return function


def all_cases() -> dict[str, Case]:
    """Name -> case, of all modules that have some."""
    for module in _MODULES:
        import_module(module)
    return _CASES
