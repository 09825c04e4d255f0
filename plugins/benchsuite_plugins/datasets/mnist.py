"""MNIST and Fashion-MNIST: 70,000 grey images in ten classes, 60,000 for training and 10,000 for testing.

Source: LeCun, Bottou, Bengio, Haffner, Gradient-Based Learning Applied to Document Recognition (1998); Xiao, Rasul,
Vollgraf, Fashion-MNIST (2017). Files, mirrors, checksums and reader are torchvision's.

Images have 28 x 28 pixels. Bojanowski et al., Optimizing the Latent Space of Generative Networks, section 4.1, keep
them "32 pixels large" and do not say how: here a border of 2 black pixels is added, which leaves every pixel as it was.
"""

from __future__ import annotations

import gzip
import shutil
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from benchsuite import Dataset, hookimpl
from benchsuite.kit.download import Source
from benchsuite.kit.images import Block
from benchsuite.kit.prepared import Contents, PreparedDataset, damaged

_PIXELS = 28
_PARTS = (("train", "train"), ("test", "t10k"))
_DAMAGED = (
    *(EOFError, gzip.BadGzipFile, zlib.error),
    *(AssertionError, KeyError, RuntimeError, TypeError, ValueError),  # torchvision's reader, of bytes that are no idx
)


@dataclass(frozen=True)
class Mnist(PreparedDataset):
    """70,000 handwritten digits, grey, 32 x 32, in ten classes."""

    name = "mnist"
    latent_dim = 32

    size: Literal[28, 32] = 32

    def _reader(self) -> Any:
        from torchvision.datasets import MNIST

        return MNIST

    def sources(self) -> tuple[Source, ...]:
        """Images and labels of both splits, in torchvision's mirrors."""
        reader = self._reader()
        return tuple(Source(name, tuple(m + name for m in reader.mirrors), md5) for name, md5 in reader.resources)

    def read(self, sources: Path, work: Path) -> Contents:
        """Read the gzipped idx files."""
        parts = [(part, *self._arrays(sources, work, stem)) for part, stem in _PARTS]
        shape = (1, self.size, self.size)
        total = sum(len(images) for _, images, _ in parts)
        names = tuple(name.partition(" - ")[2] or name for name in self._reader().classes)
        return Contents(shape, total, self._blocks(parts), names)

    def _arrays(self, sources: Path, work: Path, stem: str) -> tuple[Any, Any]:
        from torchvision.datasets.mnist import read_image_file, read_label_file

        found = []
        for name, reader in (
            (f"{stem}-images-idx3-ubyte", read_image_file),
            (f"{stem}-labels-idx1-ubyte", read_label_file),
        ):
            try:
                with gzip.open(sources / f"{name}.gz") as packed, (work / name).open("wb") as unpacked:
                    shutil.copyfileobj(packed, unpacked)
                found.append(reader(str(work / name)).numpy())
            except _DAMAGED as error:
                raise damaged(f"{sources / name}.gz", repr(error)) from None
        return found[0], found[1]

    def _blocks(self, parts: Sequence[tuple[str, Any, Any]]) -> Iterator[Block]:
        border = (self.size - _PIXELS) // 2
        for part, images, labels in parts:
            padded = np.pad(images, ((0, 0), (border, border), (border, border)))
            yield Block(part, padded[:, None], labels.astype(np.int64))


@dataclass(frozen=True)
class FashionMnist(Mnist):
    """70,000 articles of clothing, grey, 32 x 32, in ten classes."""

    name = "fashion_mnist"
    latent_dim = 32

    def _reader(self) -> Any:
        from torchvision.datasets import FashionMNIST

        return FashionMNIST


@hookimpl
def benchsuite_datasets() -> Sequence[type[Dataset]]:
    """Provides ``mnist`` and ``fashion_mnist``."""
    return [Mnist, FashionMnist]
