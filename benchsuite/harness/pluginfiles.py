"""Plugins that are files and no packages yet, and plugins that are not to be loaded, as the user names them.

Both are kept in environment variables, so that every process of a run has the same plugins: ``BENCHSUITE_PLUGINS`` has
the paths of files, ``BENCHSUITE_NO_PLUGINS`` the names of plugins or distributions, separated as in ``PATH``.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from types import ModuleType

from benchsuite.errors import PluginError, UsageError

FILES, BLOCKED = "BENCHSUITE_PLUGINS", "BENCHSUITE_NO_PLUGINS"


def plugin_files() -> tuple[Path, ...]:
    """The files that stand for plugins, whole paths."""
    return tuple(Path(path).resolve() for path in _named(FILES))


def blocked_plugins() -> tuple[str, ...]:
    """Names of plugins, or of distributions, that are not to be loaded."""
    return _named(BLOCKED)


def _named(variable: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part for part in os.environ.get(variable, "").split(os.pathsep) if part))


def name_more(files: Iterable[Path] = (), blocked: Iterable[str] = ()) -> Callable[[], None]:
    """Add to what is named, for this process and those that it starts; returns what takes it back.

    Raises UsageError for what is no Python file, and for paths that the variable cannot hold.
    """
    before = {variable: os.environ.get(variable) for variable in (FILES, BLOCKED)}
    paths = [_checked(path) for path in files]
    os.environ[FILES] = os.pathsep.join([*_named(FILES), *paths])
    os.environ[BLOCKED] = os.pathsep.join([*_named(BLOCKED), *blocked])

    def take_back() -> None:
        for variable, value in before.items():
            if value is None:
                os.environ.pop(variable, None)
            else:
                os.environ[variable] = value

    return take_back


def _checked(path: Path) -> str:
    if path.suffix != ".py":
        raise UsageError(f"--plugin {path}: a plugin is a Python file, NAME.py")
    if not path.is_file():
        raise UsageError(f"--plugin {path}: there is no such file")
    if os.pathsep in str(path.resolve()):
        raise UsageError(f"--plugin {path}: its path may not have '{os.pathsep}' in it")
    return str(path.resolve())


def module_of(path: Path) -> str:
    """The module that the file at ``path`` is: its name, after those of the packages that it lies in.

    >>> module_of(Path("/nowhere/waves.py"))
    'waves'
    """
    parts = [] if path.name == "__init__.py" else [path.stem]
    return ".".join([*(folder.name for folder in reversed(_packages(path))), *parts])


def root_of(path: Path) -> Path:
    """The folder from which the file at ``path`` is imported."""
    return path.parents[len(_packages(path))]


def _packages(path: Path) -> list[Path]:
    """The folders around ``path`` that are packages, from the inside out."""
    found: list[Path] = []
    for folder in path.parents:
        if not (folder / "__init__.py").is_file():
            break
        found.append(folder)
    return found


def load_file(path: Path) -> ModuleType:
    """The module of a plugin file. Its folder comes last on the path, so that it stands in for no other module.

    Raises PluginError where another module has its name, and whatever the file raises.
    """
    name, root = module_of(path), str(root_of(path))
    if not all(part.isidentifier() for part in name.split(".")):
        raise PluginError(f"{path.name} cannot be imported; name it by letters, digits and underscores")
    if root not in sys.path:
        sys.path.append(root)
    origin = _origin(name)
    if origin != path and (origin is not None or name in sys.builtin_module_names):
        raise PluginError(f"another module has the name '{name}', {origin or 'built in'}; rename {path.name}")
    return import_module(name)


def is_imported_from(path: Path) -> bool:
    """Whether the module that the file at ``path`` is would be imported from there."""
    return _origin(module_of(path)) == path


def _origin(module: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(module)
    except Exception:  # it imports the packages around, which are a plugin's code
        return None
    return Path(spec.origin).resolve() if spec and spec.origin else None
