"""SVHN: 32 x 32 colour images of house numbers, with the digit in their middle, in ten classes.

Source: Netzer, Wang, Coates, Bissacco, Wu, Ng, Reading Digits in Natural Images with Unsupervised Feature Learning
(2011), the "cropped digits". Files, addresses, checksums and reader are torchvision's.

Bojanowski et al., Optimizing the Latent Space of Generative Networks, do not say whether they use the 531,131 extra
images; they are left out unless ``extra`` asks for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchsuite import Dataset, hookimpl
from benchsuite.kit.download import Source
from benchsuite.kit.images import Block
from benchsuite.kit.prepared import Contents, PreparedDataset, damaged


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
        from scipy.io import whosmat

        counts = []
        for path in (sources / name for _, name, _ in self._files().values()):
            with _naming(path):
                counts += [shape[3] for name, shape, _ in whosmat(path) if name == "X"]
        return Contents((3, 32, 32), sum(counts), self._blocks(sources), tuple("0123456789"))

    def _blocks(self, sources: Path) -> Iterator[Block]:
        from torchvision.datasets import SVHN

        for part, (_, name, _) in self._files().items():
            with _naming(sources / name):
                reader = SVHN(str(sources), split=part)
            yield Block("train" if part == "extra" else part, reader.data, reader.labels.astype(np.int64))


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Name the file that is damaged; scipy raises whatever damaged bytes lead it to."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        raise damaged(path, error) from None


@hookimpl
def benchsuite_datasets() -> Sequence[type[Dataset]]:
    """Provides ``svhn``."""
    return [Svhn]
