"""``classifier``: the penultimate layer of a small digit classifier whose weights ship with the package.

Three 3 x 3 convolutions and two linear layers; features are the 32 inputs of the last layer before their activation,
standardised on the training images, so that none of them is dead. Made by ``train_digits_classifier.py`` beside this
file. Scores under it are Frechet distances on these very weights and comparable with no published FID.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchsuite import FeatureExtractor, NotApplicableError, hookimpl
from benchsuite.kit.features import verified_weights

WEIGHTS = Path(__file__).with_name("digits_classifier.safetensors")
SHA256 = "0e326ac981693f42fc29092ffcb11748c16045c4c1db8e58c346d0b45992ede0"


class DigitsClassifier(nn.Module):
    """(N, 1, 16, 16) in [0, 1] -> (N, 32) standardised features; ``logits`` gives (N, 10)."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 12, 3, padding=1)
        self.conv2 = nn.Conv2d(12, 24, 3, padding=1)
        self.conv3 = nn.Conv2d(24, 24, 3, padding=1)
        self.hidden = nn.Linear(24 * 4 * 4, 32)
        self.output = nn.Linear(32, 10)
        self.register_buffer("mean", torch.zeros(32))
        self.register_buffer("std", torch.ones(32))

    def raw_features(self, x: Tensor) -> Tensor:
        """(N, 32), before activation and standardisation."""
        x = F.silu(self.conv1(x * 2 - 1))
        x = F.max_pool2d(F.silu(self.conv2(x)), 2)
        x = F.max_pool2d(F.silu(self.conv3(x)), 2)
        hidden: Tensor = self.hidden(x.flatten(1))
        return hidden

    def logits(self, x: Tensor) -> Tensor:
        """(N, 10)."""
        out: Tensor = self.output(F.silu(self.raw_features(x)))
        return out

    def forward(self, x: Tensor) -> Tensor:
        return (self.raw_features(x) - self.mean) / self.std


@dataclass(frozen=True)
class Classifier(FeatureExtractor):
    """Features of the shipped digit classifier."""

    name = "classifier"

    @property
    def fingerprint(self) -> str:
        """The checksum of the weights; the preprocessing is none."""
        return f"digits-classifier-{SHA256[:12]}"

    def load(self, device: torch.device) -> Callable[[Tensor], Tensor]:
        """The network with its verified weights."""
        net = DigitsClassifier()
        net.load_state_dict(verified_weights(WEIGHTS, SHA256))
        net = net.to(device).eval()

        def features(x: Tensor) -> Tensor:
            if tuple(x.shape[1:]) != (1, 16, 16):
                raise NotApplicableError(f"the digit classifier takes 1 x 16 x 16 images; got {tuple(x.shape[1:])}")
            out: Tensor = net(x)
            return out

        return features


@hookimpl
def benchsuite_features() -> Sequence[type[FeatureExtractor]]:
    """Provides ``classifier``."""
    return [Classifier]
