"""Imports modules that lie beside a mission's file, before installed ones, together with the
modules that they import from their own folder.

Takes a dotted name and a folder; returns the module. A file with the name of a module of Python or
of this program is refused, never imported in its place.
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
    """The module of this dotted name: from `folder` if it lies there, else an installed one.

    Raises:
        UsageError: it lies there and has the name of a module that is loaded already.
        ImportError: there is none. The module's code may raise anything else.
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
    # First in sys.path during the import, so that it finds its neighbours before installed modules;
    # last afterwards, for imports inside its functions.
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(folder))
        if str(folder) not in sys.path:
            sys.path.append(str(folder))


def neighbours(module: str) -> list[Path]:
    """Sorted Python files of the mission's folder that this module came from; empty for an
    installed module."""
    home = _home(module.split(".", maxsplit=1)[0])
    return [] if home is None or home not in _folders else sorted(home.glob("*.py"))


def _place(top: str, folder: Path) -> Path | None:
    """The file of a module, or the __init__.py of a package, in `folder`."""
    found = PathFinder.find_spec(top, [str(folder)])
    return None if found is None or found.origin is None else Path(found.origin).resolve()


def _file(module: ModuleType) -> Path | None:
    file = getattr(module, "__file__", None)
    return None if file is None else Path(file).resolve()


def _home(top: str) -> Path | None:
    """The folder that holds a loaded module's file or a loaded package's folder."""
    module = sys.modules.get(top)
    file = None if module is None else _file(module)
    if module is None or file is None:
        return None
    return file.parent.parent if hasattr(module, "__path__") else file.parent


def _forget(home: Path | None) -> None:
    """Unloads modules from another mission's folder, so that this mission's are imported."""
    tops = {name for name in sys.modules if "." not in name and _home(name) == home}
    for name in [name for name in sys.modules if name.split(".")[0] in tops]:
        del sys.modules[name]
