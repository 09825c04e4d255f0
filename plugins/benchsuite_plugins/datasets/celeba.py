"""CelebA: 202,599 aligned photographs of faces, 178 x 218, with 40 attributes each.

Source: Liu, Luo, Wang, Tang, Deep Learning Face Attributes in the Wild (2015). File names, addresses and checksums are
torchvision's. The zip is read in place and in one pass; torchvision's own reader wants it unpacked into 202,599 files,
beside three tables that nothing here needs.

Two crops are in use. Bojanowski et al., Optimizing the Latent Space of Generative Networks, section 4.1, resize to 64
or 128 pixels; here as DCGAN's code does it: the shorter side is resized, then the centred square taken. Kilcher, Lucchi
and Hofmann, Flexible Prior Distributions for Deep Generative Models, appendix D, take 118 x 118 pixels, here those in
the centre, and resize them to 64 x 64 (``preset=flexible_priors``).
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchsuite import Dataset, ParameterError, PositiveInt, PreparationError, hookimpl
from benchsuite.kit.download import Source
from benchsuite.kit.images import Block, ImageFile, View, decoded
from benchsuite.kit.prepared import Contents, PreparedDataset, damaged

_ZIP, _ATTRIBUTES, _PARTITION = "img_align_celeba.zip", "list_attr_celeba.txt", "list_eval_partition.txt"
_PARTS = {"0": "train", "1": "valid", "2": "test"}
_WIDTH = 178
_PAGE = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"


@dataclass(frozen=True)
class CelebA(PreparedDataset):
    """202,599 faces in colour, 64 x 64, with 40 attributes each."""

    name = "celeba"
    latent_dim = 256
    presets = {"flexible_priors": {"size": 64, "crop": 118}}

    size: PositiveInt = 64
    crop: PositiveInt | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.crop is not None and self.crop > _WIDTH:
            raise ParameterError(f"celeba: crop={self.crop} is not allowed; images have {_WIDTH} x 218 pixels")

    def sources(self) -> tuple[Source, ...]:
        """The aligned images, their attributes and the official split, on Google Drive."""
        from torchvision.datasets import CelebA as Reader

        wanted = (_ZIP, _ATTRIBUTES, _PARTITION)
        return tuple(Source(name, (_drive(id_),), md5, _PAGE) for id_, md5, name in Reader.file_list if name in wanted)

    def read(self, sources: Path, work: Path) -> Contents:
        """Read the images from the zip, in the order of their numbers."""
        view = View(self.size, 3, self.crop)
        parts = {row[0]: _PARTS[row[1]] for row in _rows(sources / _PARTITION)}
        _, names, *rows = _rows(sources / _ATTRIBUTES)
        attributes = {row[0]: [int(value == "1") for value in row[1:]] for row in rows}
        if parts.keys() != attributes.keys():
            raise PreparationError(f"{_PARTITION} and {_ATTRIBUTES} in {sources} do not name the same images")
        try:
            archive = zipfile.ZipFile(sources / _ZIP)
        except zipfile.BadZipFile as error:
            raise damaged(sources / _ZIP, error) from None
        files = (
            ImageFile(name, part, partial(archive.read, f"img_align_celeba/{name}"), attributes[name])
            for name, part in parts.items()
        )
        return Contents(view.shape, len(parts), _closing(archive, decoded(files, view)), tuple(names))


def _drive(id_: str) -> str:
    """The address behind which large files need no confirmation."""
    return f"https://drive.usercontent.google.com/download?id={id_}&export=download&confirm=t"


def _rows(path: Path) -> list[list[str]]:
    return [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def _closing(archive: zipfile.ZipFile, blocks: Iterator[Block]) -> Iterator[Block]:
    with archive:
        yield from blocks


@hookimpl
def benchsuite_datasets() -> Sequence[type[Dataset]]:
    """Provides ``celeba``."""
    return [CelebA]
