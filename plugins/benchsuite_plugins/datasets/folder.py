"""A researcher's own images: any folder, nested or not, of any sizes and formats that Pillow reads.

Where all images lie in two or more subfolders, these are their classes. Where the subfolders are ``train`` and ``test``
(and perhaps ``valid`` or ``val``), these are the parts of ``split=official``, and classes are a level below.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from PIL import Image

from benchsuite import Dataset, PositiveInt, PreparationError, hookimpl
from benchsuite.kit.images import ImageFile, View, decoded, formats
from benchsuite.kit.prepared import Contents, PreparedDataset

_PARTS = {"train": "train", "valid": "valid", "val": "valid", "validation": "valid", "test": "test"}
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

    def read(self, sources: Path, work: Path) -> Contents:
        """Decode the files in the order of their names."""
        root = Path(self.preprocessing()["path"])
        if not root.is_dir():
            raise PreparationError(f"there is no folder {root}; select one with {self.name}[path=DIR]")
        try:
            names, ignored, folders = _listed(root)
        except OSError as error:
            raise PreparationError(f"cannot list the images in {root}: {error}") from None
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
        return Contents(view.shape, len(names), decoded(files, view), class_names, folders, _remark(ignored))


def _listed(root: Path) -> tuple[list[str], Counter[str], tuple[Path, ...]]:
    """The images below ``root``; what else is there, counted by ending; every folder. No hidden ones."""
    known = {ending for ending, format_ in Image.registered_extensions().items() if format_ in formats()}
    names: list[str] = []
    ignored: Counter[str] = Counter()
    folders = []
    for folder, files in _walk(root):
        folders.append(folder)
        for file in files:
            ending = Path(file).suffix.lower()
            if ending in known:
                names.append((folder / file).relative_to(root).as_posix())
            else:
                ignored[ending or "no ending"] += 1
    return names, ignored, tuple(folders)


def _walk(folder: Path, above: frozenset[Path] = frozenset()) -> Iterator[tuple[Path, list[str]]]:
    """Each folder with the names of its files. Links are followed, but not to a folder that we are in already."""
    real = folder.resolve()
    if real in above:
        return
    with os.scandir(folder) as entries:
        visible = sorted((entry.name, entry.is_dir()) for entry in entries if not entry.name.startswith("."))
    yield folder, [name for name, is_folder in visible if not is_folder]
    for name, is_folder in visible:
        if is_folder:
            yield from _walk(folder / name, above | {real})


def _parts_of(names: Sequence[str]) -> dict[str, str]:
    """The part of each image where the first folders are train and test; else nothing."""
    first = {PurePosixPath(name).parts[0] for name in names}
    if not {"train", "test"} <= first <= _PARTS.keys():
        return {}
    return {name: _PARTS[PurePosixPath(name).parts[0]] for name in names}


def _classes_of(folders: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """The first folder of each image, sorted, where every image is in one and they are two or more."""
    first = {inside[:1] for inside in folders}
    if () in first or len(first) < 2:
        return ()
    return tuple(sorted(name for (name,) in first))


def _remark(ignored: Counter[str]) -> str:
    if not ignored:
        return ""
    kinds = ", ".join(f"{count} {ending}" for ending, count in ignored.most_common(5))
    return f"ignored what is no image ({kinds})"


@hookimpl
def benchsuite_datasets() -> Sequence[type[Dataset]]:
    """Provides ``folder``."""
    return [Folder]
