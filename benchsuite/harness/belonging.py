"""Which source files belong together: those of one distribution, and those of one folder that is nobody's."""

from __future__ import annotations

import functools
import sysconfig
from importlib.metadata import packages_distributions
from pathlib import Path

from benchsuite.harness.pluginfiles import root_of

_OWN = {"benchsuite", "benchsuite_plugins"}


def are_of_one(place: Path, path: Path) -> bool:
    """Whether the module or package at ``place`` is of one distribution with the source file at ``path``.

    Of files that are installed where all distributions are, these say so. Others, which were named or are installed in
    place, belong with whatever lies in the folder that they are imported from.
    """
    if _is_installed(place) or _is_installed(path):
        own = _distributions(path) if _is_installed(place) and _is_installed(path) else set()
        return bool(own) and bool(own & _distributions(place))
    return place.is_relative_to(root_of(path))


def _is_installed(path: Path) -> bool:
    return "site-packages" in path.parts or any(path.is_relative_to(folder) for folder in _shared_folders())


@functools.cache
def _shared_folders() -> tuple[Path, ...]:
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    return tuple({Path(sysconfig.get_path(name)).resolve() for name in names})


def _distributions(path: Path) -> set[str]:
    """The distributions that the first package around ``path`` is of; none for Python's own modules, and for our own,
    which are followed in any case."""
    top = path.relative_to(root_of(path)).parts[0].removesuffix(".py")
    return set() if top in _OWN else set(_of_packages().get(top, ()))


@functools.cache
def _of_packages() -> dict[str, list[str]]:
    return dict(packages_distributions())
