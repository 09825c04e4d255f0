"""A researcher's own images: any folder, nested or not, of any sizes and formats that Pillow reads.

Where all images lie in two or more subfolders, these are their classes. Where the subfolders are ``train`` and
``test``, and perhaps ``valid`` or ``val``, these are the parts of ``split=official``, and classes are a level below.
Without ``test``, ``valid`` is the test set, as ImageNet is used.

Source: own work.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from benchsuite import Dataset, PositiveInt, PreparationError, hookimpl
from benchsuite.kit.files import digest
from benchsuite.kit.folders import images_below
from benchsuite.kit.images import ImageFile, View, decoded
from benchsuite.kit.prepared import Contents, PreparedDataset

_VALID = ("valid", "val", "validation")
_PARTS = {"train": "train", "test": "test"} | dict.fromkeys(_VALID, "valid")
_ORDER = ("train", "valid", "test")


@dataclass(frozen=True)
class Folder(PreparedDataset):
    """The images of any folder, in colour, 64 x 64; select it as folder[path=DIR]."""

    name = "folder"
    latent_dim = 64

    path: str
    size: PositiveInt = 64
    channels: Literal[1, 3] = 3
    crop: PositiveInt | None = None

    def state(self) -> str:
        """A digest of every image's name, size and time."""
        root = Path(self.preprocessing()["path"])
        try:
            return digest(sorted((name, *_size_and_time(entry)) for name, entry in images_below(root)[0].items()))
        except OSError:
            return ""

    def read(self, sources: Path, work: Path) -> Contents:
        """Decode the files in the order of their names."""
        root = Path(self.preprocessing()["path"])
        if not root.is_dir():
            raise PreparationError(f"there is no folder {root}; select one with {self.name}[path=DIR]")
        try:
            found, ignored = images_below(root)
        except OSError as error:
            raise PreparationError(f"cannot list the images in {root}: {error}") from None
        names = list(found)
        if not names:
            others = f"only {sum(ignored.values())} files of other kinds" if ignored else "no files"
            raise PreparationError(
                f"no images in {root} or below it, {others}; known are .png, .jpg, .webp and the like"
            )
        parts = _parts_of(names)
        folders_of = {name: PurePosixPath(name).parts[1 if parts else 0 : -1] for name in names}
        class_names = _classes_of(folders_of.values())
        ordered = sorted(names, key=lambda name: (_ORDER.index(parts.get(name, "train")), name))
        numbers = {name: number for number, name in enumerate(class_names)}
        files = (
            ImageFile(
                name,
                parts.get(name, "train"),
                (root / name).read_bytes,
                numbers[folders_of[name][0]] if class_names else None,
            )
            for name in ordered
        )
        view = View(self.size, self.channels, self.crop)
        remark = _remark(ignored, None if parts else _stray(names))
        return Contents(view.shape, len(names), decoded(files, view), class_names, remark)


def _size_and_time(entry: os.DirEntry[str]) -> tuple[int, int]:
    try:
        found = entry.stat()
    except OSError:  # a link that leads nowhere
        return 0, 0
    return found.st_size, found.st_mtime_ns


def _first_folders(names: Iterable[str]) -> set[str]:
    """The first folder of each image; empty text for those in none."""
    return {name.partition("/")[0] if "/" in name else "" for name in names}


def _parts_of(names: Sequence[str]) -> dict[str, str]:
    """The part of each image, where the first folders are train and test; without test, valid is that."""
    first = _first_folders(names)
    known = dict(_PARTS)
    if "test" not in first:
        known |= dict.fromkeys(_VALID, "test")
    if not ("train" in first <= known.keys() and "test" in {known[name] for name in first}):
        return {}
    return {name: known[name.partition("/")[0]] for name in names}


def _stray(names: Sequence[str]) -> str | None:
    """The name, if any, that keeps folders named as parts from being parts."""
    first = _first_folders(names)
    if "train" not in first or not first & (_PARTS.keys() - {"train"}):
        return None
    return min(name for name in names if name.partition("/")[0] not in _PARTS or "/" not in name)


def _classes_of(folders: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """The first folder of each image, sorted, where every image is in one and they are two or more, and no parts."""
    first = {inside[:1] for inside in folders}
    if () in first or len(first) < 2:
        return ()
    names = tuple(sorted(name for (name,) in first))
    return () if "train" in names else names


def _remark(ignored: Counter[str], stray: str | None) -> str:
    kinds = ", ".join(f"{count} {ending}" for ending, count in ignored.most_common(5))
    remarks = [f"ignored what is no image ({kinds})"] if kinds else []
    if stray is not None:
        remarks += [f"its folders are no parts of an official split, since {stray} is in none of them"]
    return "; ".join(remarks)


@hookimpl
def benchsuite_datasets() -> Sequence[type[Dataset]]:
    """Provides ``folder``."""
    return [Folder]
