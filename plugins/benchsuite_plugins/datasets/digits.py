"""The 1797 handwritten digits that ship inside scikit-learn, enlarged from 8 x 8 to 16 x 16.

Source: Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository (1998).
Bilinear enlargement; every 32nd image is held out as the test set, as in Bojanowski et al., Optimizing the Latent Space
of Generative Networks, section 4.1. ``images`` takes so many of the training images, evenly spaced; the test set stays.
"""

from __future__ import annotations

import gzip
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from benchsuite import DataMissingError, Dataset, ParameterError, PositiveInt, Samples, Split, hookimpl
from benchsuite.kit.samples import evenly_spaced, held_out_rows

_TRAIN = 1740
_LEVELS = 16  # pixels are counts from 0 to 16


@dataclass(frozen=True)
class Digits(Dataset):
    """1797 grey digits, 16 x 16, in ten classes: 1740 for training, 57 for testing."""

    name = "digits"
    latent_dim = 8  # the images come from 64 pixels

    images: PositiveInt | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.images is not None and self.images > _TRAIN:
            raise ParameterError(f"digits: images={self.images} is not allowed; there are {_TRAIN} for training")

    def default_features(self, cache: Path) -> str:
        """The classifier of digits, which ships with the package."""
        return "classifier"

    def load(self, split: Split, cache: Path) -> Samples:
        """From scikit-learn's own file; reading it directly saves the second that importing scikit-learn takes."""
        table = torch.from_numpy(_read())
        small = table[:, :64].view(-1, 1, 8, 8) / _LEVELS
        images = F.interpolate(small, size=16, mode="bilinear", align_corners=False)
        train, test = held_out_rows(len(table))
        samples = Samples((images * 255).round().to(torch.uint8), table[:, 64].long())
        if self.images is not None:
            train = train[evenly_spaced(len(train), self.images)]
        return samples.subset(train if split == "train" else test)


def _read() -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    spec = importlib.util.find_spec("sklearn")
    if spec is None or spec.origin is None:
        raise DataMissingError("digits come with scikit-learn, which is not installed; run: pip install scikit-learn")
    path = Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz"
    text = gzip.decompress(path.read_bytes()).replace(b"\n", b",").rstrip(b",")
    return np.array(text.split(b","), dtype=np.float32).reshape(-1, 65)


@hookimpl
def benchsuite_datasets() -> Sequence[type[Dataset]]:
    """Provides ``digits``."""
    return [Digits]
