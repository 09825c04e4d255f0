"""``random_conv``: a small convolutional network with fixed random filters, for images that no network was trained on.

Source: Saxe et al., On Random Weights and Unsupervised Feature Learning (2011): convolution and pooling select features
even with random filters. Three 3 x 3 convolutions of stride 2 with SiLU, averaged over the quarters of the image. The
weights ship with the package, made by ``make_random_conv.py`` beside this file, so that everyone's features are the
same; scores under it compare with no published FID.

Chosen among eleven such networks, two seeds each, by Frechet distances of 870 digits from 870 samples, as multiples of
that of real ones: DCGAN after 60 epochs 7, VAE 9, PCA 11, DCGAN after 10 epochs 12, a single class 54, noise 264. Under
the classifier they rank likewise, but for PCA, which is behind the young DCGAN there. Averages over the whole image
instead of its quarters put a DCGAN of one epoch 15 or 31 times as far as a single class; here it is 4 or 7 times.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from benchsuite import FeatureExtractor, NotApplicableError, hookimpl
from benchsuite.kit.features import in_colour, verified_weights

WEIGHTS = Path(__file__).with_name("random_conv.safetensors")
SHA256 = "580424f96808f7060b95b76f24d5ec098a2e27f32953352a9a9c42048aed525e"
_SMALLEST = 8  # pixels of a side, which the three convolutions leave one of


@dataclass(frozen=True)
class RandomConv(FeatureExtractor):
    """96 features of images of any size from 8 x 8, grey or in colour."""

    name = "random_conv"
    kind = "image"

    def fingerprint(self, cache: Path) -> str:
        """The checksum of the weights; the preprocessing is none."""
        return f"random-conv-{SHA256[:12]}"

    def load(self, cache: Path, device: torch.device) -> Callable[[Tensor], Tensor]:
        """The network with its verified weights."""
        weights = {name: tensor.to(device) for name, tensor in verified_weights(WEIGHTS, SHA256).items()}

        def features(images: Tensor) -> Tensor:
            if min(images.shape[2:], default=0) < _SMALLEST:
                size = " x ".join(map(str, images.shape[1:]))
                raise NotApplicableError(f"random_conv takes images of at least {_SMALLEST} x {_SMALLEST}; got {size}")
            x = in_colour(images) * 2 - 1
            for level in (1, 2, 3):
                x = F.pad(x, (1, 1, 1, 1), mode="replicate")
                x = F.silu(F.conv2d(x, weights[f"weight{level}"], weights[f"bias{level}"], stride=2))
            return F.adaptive_avg_pool2d(x, 2).flatten(1)

        return features


@hookimpl
def benchsuite_features() -> Sequence[type[FeatureExtractor]]:
    """Provides ``random_conv``."""
    return [RandomConv]
