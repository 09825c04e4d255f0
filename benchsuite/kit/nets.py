"""Networks of the DCGAN family, for images of any size from 8 px and any channels, and small MLPs for vectors.

Images are in [-1, 1] inside these networks. ``generator``, ``discriminator`` and ``encoder`` choose by the shape of
the data, so that methods which share them differ only where they mean to.

Source: Radford, Metz, Chintala, Unsupervised Representation Learning with Deep Convolutional Generative Adversarial
Networks (2015); layer order and initialisation as in the PyTorch DCGAN tutorial. Changed: the number of stride-2
layers follows from the image size.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from benchsuite.errors import NotApplicableError

_SMALLEST = 8


def generator(shape: tuple[int, ...], latent_dim: int, width: int) -> nn.Module:
    """(N, latent_dim) -> (N, *shape): a DCGAN generator for images, an MLP for vectors."""
    if len(shape) == 1:
        return MLP(latent_dim, shape[0], width)
    return ConvGenerator(shape, latent_dim, width)


def discriminator(shape: tuple[int, ...], width: int) -> nn.Module:
    """(N, *shape) -> (N,) logits, high for data: a DCGAN discriminator for images, an MLP for vectors."""
    net = MLP(shape[0], 1, width) if len(shape) == 1 else ConvEncoder(shape, 1, width)
    return nn.Sequential(net, nn.Flatten(0))


def encoder(shape: tuple[int, ...], out_dim: int, width: int) -> nn.Module:
    """(N, *shape) -> (N, out_dim): the discriminator's body with another last layer."""
    return MLP(shape[0], out_dim, width) if len(shape) == 1 else ConvEncoder(shape, out_dim, width)


class ConvGenerator(nn.Module):
    """(N, latent_dim) -> (N, C, H, W) in [-1, 1].

    One layer makes a grid of 4 to 8 px, transposed convolutions of stride 2 double it until the image is covered,
    halving the channels down to ``width``; sizes that are no multiple are cut from the middle.
    """

    def __init__(self, shape: tuple[int, ...], latent_dim: int, width: int) -> None:
        super().__init__()
        channels, height, size = shape
        doublings = _doublings(shape)
        grid = (math.ceil(height / 2**doublings), math.ceil(size / 2**doublings))
        features = width * 2 ** (doublings - 1)
        layers: list[nn.Module] = [nn.ConvTranspose2d(latent_dim, features, grid, bias=False)]
        for _ in range(doublings - 1):
            layers += [nn.BatchNorm2d(features), nn.ReLU(inplace=True)]
            layers += [nn.ConvTranspose2d(features, features // 2, 4, 2, 1, bias=False)]
            features //= 2
        layers += [nn.BatchNorm2d(features), nn.ReLU(inplace=True)]
        layers += [nn.ConvTranspose2d(features, channels, 4, 2, 1, bias=False), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        self.top = (grid[0] * 2**doublings - height) // 2
        self.left = (grid[1] * 2**doublings - size) // 2
        self.height, self.width = height, size
        initialise(self)

    def forward(self, z: Tensor) -> Tensor:
        images: Tensor = self.layers(z[:, :, None, None])
        return images[:, :, self.top : self.top + self.height, self.left : self.left + self.width]


class ConvEncoder(nn.Module):
    """(N, C, H, W) in [-1, 1] -> (N, out_dim): stride-2 convolutions, then one over the whole grid that is left."""

    def __init__(self, shape: tuple[int, ...], out_dim: int, width: int) -> None:
        super().__init__()
        channels, height, size = shape
        halvings = _doublings(shape)
        layers: list[nn.Module] = [
            nn.Conv2d(channels, width, 4, 2, 1, bias=False),
            nn.LeakyReLU(0.2, inplace=True),
        ]
        features = width
        for _ in range(halvings - 1):
            layers += [nn.Conv2d(features, features * 2, 4, 2, 1, bias=False)]
            layers += [nn.BatchNorm2d(features * 2), nn.LeakyReLU(0.2, inplace=True)]
            features *= 2
        grid = (height // 2**halvings, size // 2**halvings)
        layers += [nn.Conv2d(features, out_dim, grid, bias=False), nn.Flatten()]
        self.layers = nn.Sequential(*layers)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out


class MLP(nn.Sequential):
    """(N, in_dim) -> (N, out_dim) through two hidden layers of ``width`` tanh units."""

    def __init__(self, in_dim: int, out_dim: int, width: int) -> None:
        hidden = [nn.Linear(in_dim, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh()]
        super().__init__(*hidden, nn.Linear(width, out_dim))


def initialise(net: nn.Module) -> None:
    """Convolutions from N(0, 0.02), batch norm weights from N(1, 0.02), their biases 0, as DCGAN."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
            nn.init.zeros_(module.bias)


@contextmanager
def frozen(net: nn.Module) -> Iterator[None]:
    """Parameters of ``net`` take no gradient inside the block; saves the backward pass that nobody reads."""
    flags = [(p, p.requires_grad) for p in net.parameters()]
    try:
        for parameter, _ in flags:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter, flag in flags:
            parameter.requires_grad_(flag)


def parameter_count(net: nn.Module) -> int:
    """How many learnt numbers ``net`` has."""
    return sum(p.numel() for p in net.parameters())


def _doublings(shape: tuple[int, ...]) -> int:
    """How many stride-2 layers lead from a grid of 4 to 8 px to images of this shape."""
    smaller = min(shape[1:])
    if smaller < _SMALLEST:
        raise NotApplicableError(f"convolutional networks need images of at least {_SMALLEST} px; got {shape}")
    return int(torch.tensor(smaller / 4).log2())
