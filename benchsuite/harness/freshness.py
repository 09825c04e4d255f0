"""What shows that an answer for which plugins were loaded would be another today: what is installed, and their source.

All of it is seen from files, by names, sizes and times; no plugin and no torch is imported.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from collections.abc import Collection, Iterable, Iterator
from importlib.machinery import ModuleSpec, all_suffixes
from pathlib import Path

from benchsuite.harness.pluginfiles import blocked_plugins, plugin_files, root_of
from benchsuite.kit.files import digest

_OF_DISTRIBUTIONS = (".dist-info", ".egg-info", "egg-info")  # the last in folders that are eggs
_METADATA = ("METADATA", "PKG-INFO", "RECORD", "entry_points.txt")
_SITES = {"site-packages", "dist-packages"}
_STANDARD_LIBRARY = Path(os.__file__).parent
_SUFFIXES = tuple(all_suffixes())
_TICK = 20_000_000  # nanoseconds by which the time of a file may lag behind the clock that Python reads
_State = tuple[str, int, int]  # path, bytes, nanoseconds


def surroundings() -> str:
    """A hash of the Python that runs, the folders that it imports from, and the plugins that are named and blocked."""
    path = [str(Path(entry).absolute()) for entry in sys.path]
    return digest([sys.version, sys.prefix, path, plugin_files(), blocked_plugins()])


def stamps(modules: Iterable[str]) -> dict[str, str]:
    """Hashes that change with what is installed, with the plugin files and what lies beside them, and with the source
    of ``modules``, given by their first names, wherever they would be imported from."""
    found = {"installed": _installed()}
    found |= {f"beside {file}": digest([*_beside(root_of(file))]) for file in plugin_files()}
    return found | {name: digest([[*_below(place)] for place in _places(_spec(name))]) for name in modules}


def stamps_of_places(places: Iterable[str]) -> dict[str, str]:
    """Hashes that change with the source in ``places``, files or folders."""
    return {place: digest([*_below(Path(place))]) for place in places}


def has_changed(places: Iterable[str], *, since: int) -> bool:
    """Whether source in ``places`` was written, or put there, between the time ``since``, in nanoseconds, and now.

    A file whose time lies in the future has not changed: it would have for ever. One that is gone again has.
    """
    for path in [path for place in places for path, _, _ in _below(Path(place))]:
        try:
            status = Path(path).stat()
        except OSError:
            return True
        if any(since - _TICK <= moment <= time.time_ns() for moment in (status.st_mtime_ns, status.st_ctime_ns)):
            return True
    return False


def imported_places(*, besides: Collection[str]) -> list[str]:
    """Where this process has imported top-level modules from, ``besides`` these, that are neither Python's nor in a
    folder that distributions are installed into: those of a checkout, which change without a sign elsewhere."""
    found: set[Path] = set()
    for name, module in sys.modules.items():
        spec = getattr(module, "__spec__", None)
        if spec is not None and spec.name == name and not ("." in name or name in sys.stdlib_module_names):
            found.update(_places(spec) if name not in besides else ())
    sites = {folder for folder in {place.parent for place in found} if _is_site(folder)}
    return sorted(str(place) for place in found if place.parent not in sites)


def _installed() -> str:
    """Changes when a distribution anywhere on the path is installed, removed, upgraded, or installed again."""
    found: list[_State] = []
    for entry in map(Path, sys.path):
        if entry.is_file():  # a zip with modules
            found += _state(entry)
        for path in _distributions(entry):
            found += [*_state(path), *(state for name in _METADATA for state in _state(path / name))]
    return digest(found)


def _distributions(folder: Path) -> list[Path]:
    """The metadata of distributions in ``folder``, sorted."""
    try:
        return sorted(path for path in folder.iterdir() if path.name.lower().endswith(_OF_DISTRIBUTIONS))
    except OSError:
        return []


def _is_site(folder: Path) -> bool:
    """Whether what is in ``folder`` changes only as distributions do. Metadata of .egg-info lie in checkouts too."""
    installed = any(path.suffix == ".dist-info" for path in _distributions(folder))
    return folder == _STANDARD_LIBRARY or folder.name in _SITES or installed


def _spec(module: str) -> ModuleSpec | None:
    """How ``module``, a first name, would be imported; finding that imports nothing."""
    try:
        return importlib.util.find_spec(module)
    except (ImportError, AttributeError, ValueError):
        return None


def _places(spec: ModuleSpec | None) -> list[Path]:
    if spec is None:
        return []
    folders = spec.submodule_search_locations
    if folders is not None:
        return [Path(folder) for folder in folders]
    return [Path(spec.origin)] if spec.has_location and spec.origin else []


def _beside(folder: Path) -> Iterator[_State]:
    """The modules in ``folder``, and the packages in it with all that is in them."""
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return
    for entry in entries:
        if entry.name.endswith(_SUFFIXES) or (entry / "__init__.py").is_file():
            yield from _below(entry)


def _below(place: Path) -> Iterator[_State]:
    """What can be imported of a file, or of a folder and those in it, links to others included, each of them once."""
    yield from _state(place) if place.is_file() else ()
    seen: set[str] = set()
    for folder, folders, names in os.walk(place, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:  # a link back, or a second one
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        for name in sorted(names):
            if name.endswith(_SUFFIXES):
                yield from _state(Path(folder, name))


def _state(path: Path) -> list[_State]:
    """Empty where there is nothing."""
    try:
        status = path.stat()
    except OSError:
        return []
    return [(str(path), status.st_size, status.st_mtime_ns)]
