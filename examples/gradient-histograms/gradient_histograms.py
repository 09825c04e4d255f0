"""``hog``, the histograms of oriented gradients of images, and ``hog_distance``, how far samples are from data by them.

Source: Dalal and Triggs, Histograms of Oriented Gradients for Human Detection (2005), as scikit-image has them; Székely
and Rizzo, Energy Statistics: A Class of Statistics Based on Distances (2013), for the distance. Changed: an image is
cut into a given number of cells, whatever its size, so that small and large images have as many features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.feature import hog
from torch import Tensor

import benchsuite


@dataclass(frozen=True)
class GradientHistograms(benchsuite.FeatureExtractor):
    """Histograms of oriented gradients, (N, 4 (cells - 1)^2 orientations) in [0, 1], of images of any size.

    324 features, unless the options say otherwise. Cells are normalised in blocks of 2 x 2. Of several channels that
    with the largest gradient counts, at each pixel.
    """

    name = "hog"
    kind = "image"

    orientations: benchsuite.PositiveInt = 9
    cells: Annotated[int, benchsuite.Between(2)] = 4  # a side

    def fingerprint(self, cache: Path) -> str:
        """The options, and the version of the library: another one may compute other numbers."""
        return f"hog-{self.orientations}-{self.cells}-scikit-image-{version('scikit-image')}"

    def load(self, cache: Path, device: torch.device) -> Callable[[Tensor], Tensor]:
        """(N, C, H, W) -> (N, D), computed on the CPU."""

        def features(images: Tensor) -> Tensor:
            height, width = images.shape[2:]
            if min(height, width) < self.cells:
                raise benchsuite.NotApplicableError(
                    f"hog cuts images into {self.cells} x {self.cells} cells; got {height} x {width} pixels; "
                    "select fewer: [features=hog[cells=2]]"
                )
            rows = np.stack([self._histograms(image) for image in images.cpu().numpy()])
            return torch.from_numpy(rows).to(device)

        return features

    def _histograms(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        _, height, width = image.shape
        found: NDArray[np.float32] = hog(
            image,
            orientations=self.orientations,
            pixels_per_cell=(height // self.cells, width // self.cells),
            cells_per_block=(2, 2),
            channel_axis=0,
        )
        return found


def hog_distance(
    real_features: Tensor,
    generated_features: Tensor,
    *,
    features: Annotated[str, benchsuite.Selecting("hog")] = "hog",
    limit: Annotated[int, benchsuite.Between(2)] = 2000,
) -> benchsuite.Score:
    """The squared energy distance of samples from training images: about 0, maybe below it, where their laws are one.

    It is 2 E|X - Y| - E|X - X'| - E|Y - Y'|, over all pairs of rows of at most ``limit`` evenly spaced ones on each
    side, and no row with itself.
    """
    real, generated = (rows[_evenly_spaced(len(rows), limit)] for rows in (real_features, generated_features))
    if min(len(real), len(generated)) < 2:
        raise benchsuite.NotApplicableError("a distance of images needs at least two on each side")
    apart = torch.cdist(real, generated).mean()
    return benchsuite.Score(2 * apart - torch.pdist(real).mean() - torch.pdist(generated).mean(), n=len(generated))


def _evenly_spaced(n: int, limit: int) -> Tensor:
    count = min(n, limit)
    return torch.arange(count) * n // count


@benchsuite.hookimpl
def benchsuite_features() -> Sequence[type[benchsuite.FeatureExtractor]]:
    """Provides ``hog``."""
    return [GradientHistograms]


@benchsuite.hookimpl
def benchsuite_metrics() -> Sequence[benchsuite.Metric]:
    """Provides ``hog_distance``, for whom it names: features take a millisecond an image."""
    return [benchsuite.Metric("hog_distance", hog_distance, higher_is_better=False, kind="image", default=False)]
