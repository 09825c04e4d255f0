"""The user's own files: paths that a selection can hold, and the images in a folder."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from benchsuite.errors import ParameterError
from benchsuite.kit.images import formats


def check_path(owner: str, path: str) -> None:
    """Raises ParameterError for a ``path`` that cannot be selected."""
    if set(path) & set(",[]"):
        raise ParameterError(
            f"{owner}: path={path!r} is not allowed; a selection cannot hold its commas or brackets; "
            "rename it, or make a link to it and select that"
        )


def images_below(root: Path) -> tuple[dict[str, os.DirEntry[str]], Counter[str]]:
    """The images below ``root`` by name, and what else is there, counted by ending."""
    known = {ending for ending, format_ in Image.registered_extensions().items() if format_ in formats()}
    found: dict[str, os.DirEntry[str]] = {}
    ignored: Counter[str] = Counter()
    for name, entry in _walk(root):
        stem, dot, ending = entry.name.rpartition(".")
        ending = f".{ending.lower()}" if stem and dot else ""
        if ending in known:
            found[name] = entry
        else:
            ignored[ending or "no ending"] += 1
    return found, ignored


def _walk(root: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """The files below ``root``, as seen from it: nothing hidden, no run directory, no folder in itself by a link."""
    waiting: list[tuple[str, frozenset[Path]]] = [("", frozenset())]
    while waiting:
        prefix, above = waiting.pop()
        folder = root / prefix
        real = folder.resolve()
        if real in above:
            continue
        with os.scandir(folder) as entries:
            visible = [entry for entry in entries if not entry.name.startswith(".")]
        if prefix and any(entry.name == "run.json" for entry in visible):
            continue
        for entry in visible:
            if _is_folder(entry):
                waiting.append((f"{prefix}{entry.name}/", above | {real}))
            elif _is_file(entry):
                yield f"{prefix}{entry.name}", entry


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in circles
        return False


def _is_file(entry: os.DirEntry[str]) -> bool:
    """Whether it is to be read, as a link that leads nowhere is, to be named as unreadable, and no pipe or device."""
    try:
        return entry.is_file() or not Path(entry.path).exists()
    except OSError:
        return True
