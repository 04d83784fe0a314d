"""Modules that lie beside a mission's file: found before those that are installed, and with what
they import from their own folder.

Never replaces a module of Python or of this program: a file beside a mission that has such a name
is refused by that name.
"""

from __future__ import annotations

import importlib
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType

from edge.install import PACKAGES
from firmware_bridge.errors import UsageError

_folders: set[Path] = set()
"""Folders that modules were imported from."""


def import_from(name: str, folder: Path | None) -> ModuleType:
    """The module of this dotted name, in `folder` where it lies there.

    Raises:
        UsageError: it lies there, and has the name of one that is loaded already.
        ImportError: there is none. Beside it whatever its code raises.
    """
    top = name.split(".", maxsplit=1)[0]
    place = None if folder is None or top in PACKAGES else _place(top, folder)
    if folder is None or place is None:
        return importlib.import_module(name)
    loaded = sys.modules.get(top)
    if loaded is not None and _file(loaded) != place:
        if _home(top) not in _folders:
            raise UsageError(
                f"{place} cannot be imported under its name",
                expected="a module that has a name of its own",
                found=f"'{top}' is the name of {_file(loaded) or 'a part of Python'}",
                remedy=f"give {place.name} another name, and model.factory with it",
            )
        _forget(_home(top))
    _folders.add(folder.resolve())
    # In front while it is imported, so that it finds its neighbours before what is installed; then
    # behind, for what its functions import later.
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(folder))
        if str(folder) not in sys.path:
            sys.path.append(str(folder))


def neighbours(module: str) -> list[Path]:
    """Every Python file beside the mission that this module was found at, in order; none for a
    module that is installed."""
    home = _home(module.split(".", maxsplit=1)[0])
    return [] if home is None or home not in _folders else sorted(home.glob("*.py"))


def _place(top: str, folder: Path) -> Path | None:
    """The file of a module or of a package's beginning in `folder`."""
    found = PathFinder.find_spec(top, [str(folder)])
    return None if found is None or found.origin is None else Path(found.origin).resolve()


def _file(module: ModuleType) -> Path | None:
    file = getattr(module, "__file__", None)
    return None if file is None else Path(file).resolve()


def _home(top: str) -> Path | None:
    """The folder that a loaded module, or the folder of a loaded package, lies in."""
    module = sys.modules.get(top)
    file = None if module is None else _file(module)
    if module is None or file is None:
        return None
    return file.parent.parent if hasattr(module, "__path__") else file.parent


def _forget(home: Path | None) -> None:
    """Takes out what was imported from another mission's folder, so that this one's is read."""
    tops = {name for name in sys.modules if "." not in name and _home(name) == home}
    for name in [name for name in sys.modules if name.split(".")[0] in tops]:
        del sys.modules[name]
