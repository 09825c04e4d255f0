"""CIFAR-10: 60,000 colour images of 32 x 32 pixels in ten classes, 50,000 for training and 10,000 for testing.

Source: Krizhevsky, Learning Multiple Layers of Features from Tiny Images (2009). Archive, address, checksums and reader
are torchvision's; the archive holds pickles, which are read only once its checksum is right.
"""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchsuite import Dataset, hookimpl
from benchsuite.kit.download import Source
from benchsuite.kit.images import Block
from benchsuite.kit.prepared import Contents, PreparedDataset, damaged


@dataclass(frozen=True)
class Cifar10(PreparedDataset):
    """60,000 small colour photographs, 32 x 32, in ten classes."""

    name = "cifar10"
    latent_dim = 64

    def sources(self) -> tuple[Source, ...]:
        """The one archive."""
        from torchvision.datasets import CIFAR10

        return (Source(CIFAR10.filename, (CIFAR10.url,), CIFAR10.tgz_md5),)

    def read(self, sources: Path, work: Path) -> Contents:
        """Unpack the archive and read its batches."""
        from torchvision.datasets import CIFAR10

        archive = sources / CIFAR10.filename
        try:
            with tarfile.open(archive) as packed:
                packed.extractall(work, filter="data")
            parts = {part: CIFAR10(str(work), train=part == "train") for part in ("train", "test")}
        except (EOFError, gzip.BadGzipFile, zlib.error, tarfile.TarError, RuntimeError) as error:
            raise damaged(archive, error) from None
        total = sum(len(reader.data) for reader in parts.values())
        return Contents((3, 32, 32), total, _blocks(parts), tuple(parts["train"].classes))


def _blocks(parts: dict[str, Any]) -> Iterator[Block]:
    for part, reader in parts.items():
        yield Block(part, reader.data.transpose(0, 3, 1, 2), np.array(reader.targets, np.int64))


@hookimpl
def benchsuite_datasets() -> Sequence[type[Dataset]]:
    """Provides ``cifar10``."""
    return [Cifar10]
