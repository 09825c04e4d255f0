"""Networks of the DCGAN family, for images of any size from 8 px and any channels, and small MLPs for vectors.

Images are in [-1, 1] inside these networks. ``generator``, ``discriminator`` and ``encoder`` choose by the shape of
the data, so that methods which share them differ only where they mean to.

Source: Radford, Metz, Chintala, Unsupervised Representation Learning with Deep Convolutional Generative Adversarial
Networks (2015); layer order and initialisation as in the PyTorch DCGAN tutorial. Changed: the number of stride-2
layers follows from the image size unless it is given.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn

from benchsuite.errors import NotApplicableError, ParameterError

Norm = Literal["batch", "layer", "none"]
Activation = Literal["tanh", "softplus", "relu"]
_ACTIVATIONS: dict[Activation, type[nn.Module]] = {"tanh": nn.Tanh, "softplus": nn.Softplus, "relu": nn.ReLU}
_SMALLEST = 8


def generator(
    shape: tuple[int, ...], latent_dim: int, width: int, *, depth: int | None = None, kernel_size: int = 4
) -> nn.Module:
    """(N, latent_dim) -> (N, *shape): a DCGAN generator for images, an MLP for vectors.

    ``depth`` counts the stride-2 layers (by default as many as lead to a grid of 4 to 8 px) or the MLP's hidden layers
    (by default 2). Raises ParameterError for more stride-2 layers than the images have room for.
    """
    if len(shape) == 1:
        return MLP(latent_dim, shape[0], [width] * (depth or 2))
    return ConvGenerator(shape, latent_dim, width, depth=depth, kernel_size=kernel_size)


def discriminator(
    shape: tuple[int, ...],
    width: int,
    *,
    depth: int | None = None,
    kernel_size: int = 4,
    norm: Norm = "batch",
    channels: Sequence[int] | None = None,
) -> nn.Module:
    """(N, *shape) -> (N,), high for data: a DCGAN discriminator for images, an MLP for vectors.

    ``channels`` are those of each stride-2 or hidden layer, in place of ``width`` and ``depth``.
    """
    if len(shape) == 1:
        net: nn.Module = MLP(shape[0], 1, channels or [width] * (depth or 2))
    else:
        net = ConvEncoder(shape, 1, width, depth=depth, kernel_size=kernel_size, norm=norm, channels=channels)
    return nn.Sequential(net, nn.Flatten(0))


def encoder(shape: tuple[int, ...], out_dim: int, width: int) -> nn.Module:
    """(N, *shape) -> (N, out_dim): the discriminator's body with another last layer."""
    return MLP(shape[0], out_dim, [width] * 2) if len(shape) == 1 else ConvEncoder(shape, out_dim, width)


class ConvGenerator(nn.Module):
    """(N, latent_dim) -> (N, C, H, W) in [-1, 1].

    One layer makes a grid, by default of 4 to 8 px; ``depth`` transposed convolutions of stride 2 double it until the
    image is covered, halving the channels down to ``width``; sizes that are no multiple are cut from the middle.
    """

    def __init__(
        self, shape: tuple[int, ...], latent_dim: int, width: int, *, depth: int | None = None, kernel_size: int = 4
    ) -> None:
        super().__init__()
        channels, height, size = shape
        doublings = _stride_2_layers(shape, depth)
        grid = (math.ceil(height / 2**doublings), math.ceil(size / 2**doublings))
        features = width * 2 ** (doublings - 1)
        # Padding and output padding under which a stride of 2 exactly doubles.
        doubling = (kernel_size, 2, (kernel_size - 1) // 2, kernel_size % 2)
        layers: list[nn.Module] = [nn.ConvTranspose2d(latent_dim, features, grid, bias=False)]
        for _ in range(doublings - 1):
            layers += [nn.BatchNorm2d(features), nn.ReLU(inplace=True)]
            layers += [nn.ConvTranspose2d(features, features // 2, *doubling, bias=False)]
            features //= 2
        layers += [nn.BatchNorm2d(features), nn.ReLU(inplace=True)]
        layers += [nn.ConvTranspose2d(features, channels, *doubling, bias=False), nn.Tanh()]
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

    def __init__(
        self,
        shape: tuple[int, ...],
        out_dim: int,
        width: int,
        *,
        depth: int | None = None,
        kernel_size: int = 4,
        norm: Norm = "batch",
        channels: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        halvings = _stride_2_layers(shape, len(channels) if channels else depth)
        widths = channels or [width * 2**layer for layer in range(halvings)]
        halving = (kernel_size, 2, (kernel_size - 1) // 2)
        layers: list[nn.Module] = [
            nn.Conv2d(shape[0], widths[0], *halving, bias=False),
            nn.LeakyReLU(0.2, inplace=True),
        ]
        for before, features in itertools.pairwise(widths):
            layers += [nn.Conv2d(before, features, *halving, bias=False), *_normalisation(norm, features)]
            layers += [nn.LeakyReLU(0.2, inplace=True)]
        height, size = (_after_halvings(side, halvings, kernel_size) for side in shape[1:])
        layers += [nn.Conv2d(widths[-1], out_dim, (height, size), bias=False), nn.Flatten()]
        self.layers = nn.Sequential(*layers)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out


class MLP(nn.Sequential):
    """(N, in_dim) -> (N, out_dim) through fully connected layers of the sizes ``hidden``, with one activation."""

    def __init__(self, in_dim: int, out_dim: int, hidden: Sequence[int], activation: Activation = "tanh") -> None:
        layers: list[nn.Module] = []
        for size in hidden:
            layers += [nn.Linear(in_dim, size), _ACTIVATIONS[activation]()]
            in_dim = size
        super().__init__(*layers, nn.Linear(in_dim, out_dim))


class Affine(nn.Module):
    """(N, d) -> (N, d): mean + scale z, each coordinate by itself. Starts as the identity."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(dim))
        self.scale = nn.Parameter(torch.ones(dim))

    def forward(self, z: Tensor) -> Tensor:
        return self.mean + self.scale * z


class PairNet(nn.Module):
    """Data x (N, *shape) and a vector v (N, vector_dim) -> (N, out_dim).

    An MLP of both; images pass through stride-2 convolutions to ``hidden[0]`` features first.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        vector_dim: int,
        out_dim: int,
        *,
        width: int,
        hidden: Sequence[int],
        activation: Activation = "tanh",
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        images = len(shape) == 3
        self.body = ConvEncoder(shape, hidden[0], width, norm=norm) if images else nn.Identity()
        self.head = MLP((hidden[0] if images else shape[0]) + vector_dim, out_dim, hidden, activation)

    def forward(self, x: Tensor, v: Tensor) -> Tensor:
        out: Tensor = self.head(torch.cat([self.body(x), v], dim=1))
        return out


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


def sizes_of(model: nn.Module) -> tuple[int, int | None]:
    """How many learnt numbers ``model`` has, codes apart, and how many its table of codes, None where it has none.

    Those outside of its parameters are the ``learnt_numbers`` that it states.
    """
    codes: Tensor | None = getattr(model, "codes", None)
    own = parameter_count(model) + int(getattr(model, "learnt_numbers", 0))
    if codes is None:
        return own, None
    return own - (codes.numel() if isinstance(codes, nn.Parameter) else 0), codes.numel()


def _stride_2_layers(shape: tuple[int, ...], depth: int | None) -> int:
    """``depth``, by default what leads from a grid of 4 to 8 px to images of this shape."""
    smaller = min(shape[1:])
    if smaller < _SMALLEST:
        raise NotApplicableError(f"convolutional networks need images of at least {_SMALLEST} px; got {shape}")
    most = smaller.bit_length() - 1
    if depth is not None and depth > most:
        raise ParameterError(
            f"{depth} stride-2 layers (depth, or discriminator_channels) are not allowed; "
            f"images of {shape} have room for at most {most}"
        )
    return depth or most - 2


def _after_halvings(side: int, halvings: int, kernel_size: int) -> int:
    """What stride-2 convolutions leave of a side: even kernels round its half down, odd ones up."""
    divisor: int = 2**halvings
    return -(-side // divisor) if kernel_size % 2 else side // divisor


def _normalisation(norm: Norm, features: int) -> list[nn.Module]:
    layers: dict[Norm, list[nn.Module]] = {
        "batch": [nn.BatchNorm2d(features)],
        "layer": [nn.GroupNorm(1, features)],
        "none": [],
    }
    return layers[norm]
