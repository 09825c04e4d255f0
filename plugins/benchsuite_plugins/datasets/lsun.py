"""LSUN: millions of photographs of scenes, one database for each scene.

Source: Yu, Seff, Zhang, Song, Funkhouser, Xiao, LSUN (2015). The databases are LMDB, as torchvision reads them; here a
cursor walks through the values in their order, where torchvision's reader first lists every key and keeps the list as a
pickle. No checksums are published: what was read is hashed. The official test images have no use here; ``official``
tests on the 300 validation images.

Bojanowski et al., Optimizing the Latent Space of Generative Networks, section 4.1, resize bedrooms to 64 and
128 pixels.
"""

from __future__ import annotations

import shutil
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from benchsuite import Dataset, PositiveInt, hookimpl
from benchsuite.kit.download import Source
from benchsuite.kit.files import locked_in_turn, replacing_folder
from benchsuite.kit.images import ImageFile, View, decoded
from benchsuite.kit.prepared import Contents, PreparedDataset, damaged

_ADDRESS = "http://dl.yf.io/lsun/scenes"
_PARTS = (("train", "train"), ("val", "test"))

Scene = Literal[
    "bedroom",
    "bridge",
    "church_outdoor",
    "classroom",
    "conference_room",
    "dining_room",
    "kitchen",
    "living_room",
    "restaurant",
    "tower",
]


@dataclass(frozen=True)
class Lsun(PreparedDataset):
    """Photographs of one scene in colour, 64 x 64: three million bedrooms, say."""

    name = "lsun"
    latent_dim = 256

    scene: Scene = "bedroom"
    size: PositiveInt = 64

    def sources(self) -> tuple[Source, ...]:
        """The zipped databases of training and validation images."""
        names = (f"{self.scene}_{part}_lmdb.zip" for part, _ in _PARTS)
        return tuple(Source(name, (f"{_ADDRESS}/{name}",)) for name in names)

    def has(self, source: Source, sources: Path) -> bool:
        """Whether the database is there, unpacked."""
        return (sources / source.name.removesuffix(".zip") / "data.mdb").exists()

    def read(self, sources: Path, work: Path) -> Contents:
        """Walk through both databases, each unpacked beside its zip the first time."""
        view = View(self.size, 3)
        folders = {part: _unpacked(sources, f"{self.scene}_{name}_lmdb") for name, part in _PARTS}
        total = sum(_entries(folder) for folder in folders.values())
        return Contents(view.shape, total, decoded(_files(folders), view))


def _unpacked(sources: Path, name: str) -> Path:
    folder = sources / name
    with locked_in_turn(sources / f".{name}.lock", on_wait=lambda: None):  # other sizes have other locks
        if not (folder / "data.mdb").exists():
            _unpack(folder)
    return folder


def _unpack(folder: Path) -> None:
    try:
        with (
            zipfile.ZipFile(f"{folder}.zip") as packed,
            replacing_folder(folder) as new,
            packed.open(f"{folder.name}/data.mdb") as inside,
            (new / "data.mdb").open("wb") as out,
        ):
            shutil.copyfileobj(inside, out, 2**20)
    except (zipfile.BadZipFile, zlib.error, KeyError, EOFError) as error:
        raise damaged(f"{folder}.zip", error) from None


def _opened(folder: Path) -> Any:
    import lmdb

    try:
        database = lmdb.open(str(folder), readonly=True, lock=False)
    except lmdb.Error as error:
        raise damaged(folder, error) from None
    needed = (database.info()["last_pgno"] + 1) * database.stat()["psize"]
    if (folder / "data.mdb").stat().st_size < needed:  # reading past the end of a mapped file would kill the process
        database.close()
        raise damaged(folder, "its file is cut off")
    return database


def _entries(folder: Path) -> int:
    with _opened(folder) as database:
        return int(database.stat()["entries"])


def _files(folders: dict[str, Path]) -> Iterator[ImageFile]:
    import lmdb

    for part, folder in folders.items():
        with _opened(folder) as database, database.begin() as reading:
            try:
                for key, value in reading.cursor():
                    yield ImageFile(key.decode("ascii", "backslashreplace"), part, partial(bytes, value))
            except lmdb.Error as error:
                raise damaged(folder, error) from None


@hookimpl
def benchsuite_datasets() -> Sequence[type[Dataset]]:
    """Provides ``lsun``."""
    return [Lsun]
