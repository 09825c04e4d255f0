"""SVHN: 32 x 32 colour images of house numbers, with the digit in their middle, in ten classes.

Source: Netzer, Wang, Coates, Bissacco, Wu, Ng, Reading Digits in Natural Images with Unsupervised Feature Learning
(2011), the "cropped digits". Files, addresses, checksums and reader are torchvision's.

Bojanowski et al., Optimizing the Latent Space of Generative Networks, do not say whether they use the 531,131 extra
images; they are left out unless ``extra`` asks for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchsuite import Dataset, PreparationError, hookimpl
from benchsuite.kit.download import Source
from benchsuite.kit.images import Block
from benchsuite.kit.prepared import Contents, PreparedDataset


@dataclass(frozen=True)
class Svhn(PreparedDataset):
    """99,289 house-number digits in colour, 32 x 32, in ten classes; with extra 630,420."""

    name = "svhn"
    latent_dim = 64

    extra: bool = False

    def _files(self) -> dict[str, Sequence[str]]:
        from torchvision.datasets import SVHN

        chosen = ("train", "test", "extra") if self.extra else ("train", "test")
        return {part: SVHN.split_list[part] for part in chosen}

    def sources(self) -> tuple[Source, ...]:
        """One MATLAB file for each part."""
        return tuple(Source(name, (url,), md5) for url, name, md5 in self._files().values())

    def read(self, sources: Path, work: Path) -> Contents:
        """Read the MATLAB files, one at a time."""
        found = {part: _images(sources, part) for part in self._files()}
        total = sum(len(images) for images, _ in found.values())
        return Contents((3, 32, 32), total, _blocks(found), tuple("0123456789"))


def _images(sources: Path, part: str) -> tuple[Any, Any]:
    from torchvision.datasets import SVHN

    try:
        reader = SVHN(str(sources), split=part)
    except MemoryError:
        raise
    except Exception as error:  # scipy raises whatever damaged bytes lead it to
        raise PreparationError(
            f"{sources / SVHN.split_list[part][1]} is damaged: {error}; remove it and prepare again"
        ) from None
    return reader.data, reader.labels


def _blocks(found: dict[str, tuple[Any, Any]]) -> Iterator[Block]:
    for part, (images, labels) in found.items():
        yield Block("train" if part == "extra" else part, images, labels.astype(np.int64))


@hookimpl
def benchsuite_datasets() -> Sequence[type[Dataset]]:
    """Provides ``svhn``."""
    return [Svhn]
