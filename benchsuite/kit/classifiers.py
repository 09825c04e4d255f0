"""Small convolutional classifiers whose last hidden layer serves as features, and how they are trained."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchsuite.kit.samples import Samples

_BATCH = 2048  # images whose features are made at once
_LARGEST = 64  # pixels of a side; larger images are averaged down by powers of two
_SMALLEST_MAP = 4  # pixels of a side of the last convolution's output, at least
_WIDTHS = (32, 64, 64, 64)


class FeatureClassifier(nn.Module, ABC):
    """A classifier; called, it gives (N, features), the inputs of its last layer before their activation.

    They are standardised by ``mean`` and ``std``, buffers that ``standardise`` sets, so that none of them is dead.
    """

    mean: Tensor
    std: Tensor
    output: nn.Linear

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("std", torch.ones(features))

    @abstractmethod
    def raw_features(self, x: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] -> (N, features), before activation and standardisation."""

    def logits(self, x: Tensor) -> Tensor:
        """Of images: (N, C, H, W) in [0, 1] -> (N, classes or attributes)."""
        out: Tensor = self.output(F.silu(self.raw_features(x)))
        return out

    def logits_of_features(self, features: Tensor) -> Tensor:
        """Of standardised features: (N, features) -> (N, classes or attributes)."""
        out: Tensor = self.output(F.silu(features * self.std + self.mean))
        return out

    def forward(self, x: Tensor) -> Tensor:
        return (self.raw_features(x) - self.mean) / self.std

    @torch.no_grad()
    def standardise(self, images: Samples) -> None:
        """Set ``mean`` and ``std`` to those of the raw features of ``images``."""
        features = torch.cat([self.raw_features(x) for x in images.batches(_BATCH)])
        self.mean.copy_(features.mean(0))
        self.std.copy_(features.std(0).clamp_min(1e-6))


class SmallClassifier(FeatureClassifier):
    """For images of ``shape``, at least 8 px and any number of channels; ``outputs`` classes or attributes.

    Up to four 3 x 3 convolutions of stride 2, each with batch normalisation and SiLU, and a hidden layer of
    ``features``.
    """

    def __init__(self, shape: tuple[int, ...], outputs: int, features: int = 48) -> None:
        super().__init__(features)
        channels, height, width = shape
        self.shrink = 1
        while min(height, width) // self.shrink > _LARGEST:
            self.shrink *= 2
        height, width = height // self.shrink, width // self.shrink
        layers: list[nn.Module] = []
        for after in _WIDTHS:
            if min(height, width) < 2 * _SMALLEST_MAP:
                break
            layers += [nn.Conv2d(channels, after, 3, 2, 1, bias=False), nn.BatchNorm2d(after), nn.SiLU()]
            channels, height, width = after, -(-height // 2), -(-width // 2)
        self.convolutions = nn.Sequential(*layers)
        self.hidden = nn.Linear(channels * height * width, features)
        self.output = nn.Linear(features, outputs)

    def raw_features(self, x: Tensor) -> Tensor:
        x = F.avg_pool2d(x, self.shrink) if self.shrink > 1 else x
        hidden: Tensor = self.hidden(self.convolutions(x * 2 - 1).flatten(1))
        return hidden


def fit_classifier(
    net: FeatureClassifier,
    train: Samples,
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    report: Callable[[int, int], None] = lambda done, of: None,
) -> None:
    """Train ``net`` in place for ``steps`` batches, put it into eval mode and standardise its features on ``train``.

    Cross entropy of classes, binary cross entropy of attributes; AdamW with a one-cycle schedule that peaks at
    ``learning_rate``; images shifted by up to one pixel. Draws from torch's global generator. Raises ValueError for
    samples without labels.

    Source: Smith and Topin, Super-Convergence (2018), for the schedule.
    """
    if train.labels is None:
        raise ValueError("a classifier needs labels")
    loss_of = F.cross_entropy if train.labels.ndim == 1 else F.binary_cross_entropy_with_logits
    labels = train.labels if train.labels.ndim == 1 else train.labels.float()
    net.train()
    optimiser = torch.optim.AdamW(net.parameters(), lr=learning_rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, learning_rate, total_steps=steps)
    done = 0
    while done < steps:
        for rows in torch.split(torch.randperm(len(train)), batch_size)[: steps - done]:
            loss = loss_of(net.logits(_shifted(train[rows])), labels[rows])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            done += 1
            report(done, steps)
    net.eval()
    net.standardise(train)


@torch.no_grad()
def accuracy(net: FeatureClassifier, test: Samples) -> float:
    """The part of the ``test`` images whose class is right, or of their attributes."""
    assert test.labels is not None
    logits = torch.cat([net.logits(x) for x in test.batches(_BATCH)])
    right = logits.argmax(1) == test.labels if test.labels.ndim == 1 else (logits > 0) == test.labels.bool()
    return float(right.double().mean())


def _shifted(x: Tensor) -> Tensor:
    """Each image moved by -1, 0 or 1 px along both axes."""
    padded = F.pad(x, (1, 1, 1, 1))
    moved = torch.empty_like(x)
    offsets = torch.randint(3, (len(x), 2))
    for top in range(3):
        for left in range(3):
            chosen = (offsets == torch.tensor([top, left])).all(1)
            moved[chosen] = padded[chosen, :, top : top + x.shape[2], left : left + x.shape[3]]
    return moved
