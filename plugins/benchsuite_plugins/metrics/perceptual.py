"""``lpips``: how different reconstructions look, the Learned Perceptual Image Patch Similarity.

Source: Zhang, Isola, Efros, Shechtman, Wang, The Unreasonable Effectiveness of Deep Features as a Perceptual Metric
(2018), eq. 1. Weights have to be fetched once, by ``benchsuite prepare lpips``, so that it is not chosen unasked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

from torch import Tensor

from benchsuite import Metric, NotApplicableError, Selecting, hookimpl
from benchsuite.kit.samples import Reconstructions
from benchsuite.kit.scratch import collected

_BATCH = 64  # pairs whose features, longer than the images, are in memory at once


def lpips(
    reconstructed: Reconstructions,
    extractor: Callable[[Tensor], Tensor],
    *,
    features: Annotated[str, Selecting("lpips")] = "lpips",
) -> Tensor:
    """Test images: the mean LPIPS, by AlexNet, of images and their reconstructions; at least 0.

    Images have at least 32 x 32 pixels. Features are such that it is the squared distance of those of the two images.
    """
    if reconstructed.kind != "image":
        raise NotApplicableError("LPIPS is for images")
    distances = ((extractor(x) - extractor(x_hat)).square().sum(1) for x, x_hat in reconstructed.pairs(_BATCH))
    return collected(distances, len(reconstructed)).mean()


@hookimpl
def benchsuite_metrics() -> Sequence[Metric]:
    """Provides ``lpips``."""
    return [Metric("lpips", lpips, higher_is_better=False, kind="image", default=False)]
