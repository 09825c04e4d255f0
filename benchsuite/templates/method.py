"""TemplateName: an autoencoder whose codes are drawn towards a normal law, so that samples are decoded normal codes.

Source: own work. (Name the paper here, and what you changed from it.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import benchsuite


class TemplateNameModel(benchsuite.Model):
    """A linear encoder and a decoder with one hidden layer. All state is in parameters and buffers."""

    def __init__(self, spec: benchsuite.DataSpec, width: int) -> None:
        super().__init__()
        self.shape, self.kind, self.latent_dim = spec.shape, spec.kind, spec.latent_dim
        size = math.prod(spec.shape)
        self.encoder = nn.Linear(size, spec.latent_dim)
        self.decoder = nn.Sequential(nn.Linear(spec.latent_dim, width), nn.ReLU(), nn.Linear(width, size))
        self.prior = benchsuite.NormalPrior(spec.latent_dim)

    def encode(self, x: Tensor) -> Tensor:
        """(N, *shape) -> (N, latent_dim)."""
        z: Tensor = self.encoder(x.flatten(1))
        return z

    def decode(self, z: Tensor) -> Tensor:
        """(N, latent_dim) -> (N, *shape), images in [0, 1]."""
        x: Tensor = self.decoder(z).view(-1, *self.shape)
        return x.sigmoid() if self.kind == "image" else x

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draws of the prior, decoded. The generator is the only randomness."""
        return self.decode(self.prior.sample(n, generator))


@dataclass(frozen=True)
class TemplateName(benchsuite.Method):
    """An autoencoder with normal codes."""

    name = "template_name"

    epochs: benchsuite.PositiveInt = 20
    batch_size: benchsuite.PositiveInt = 64
    learning_rate: benchsuite.Positive = 0.003
    width: benchsuite.PositiveInt = 128
    pull: benchsuite.NonNegative = 0.01

    def build(self, spec: benchsuite.DataSpec) -> TemplateNameModel:
        """The untrained model."""
        return TemplateNameModel(spec, self.width)

    def fit(self, model: benchsuite.Model, train: benchsuite.Samples, run: benchsuite.Run) -> None:
        """Squared error of the reconstruction, and ``pull`` times the distance of the codes' moments from 0 and 1."""
        assert isinstance(model, TemplateNameModel)
        net = run.prepare(model)
        optimiser = torch.optim.Adam(net.parameters(), lr=self.learning_rate)
        for batch in run.batches(train, batch_size=self.batch_size, epochs=self.epochs, state=(net, optimiser)):
            with run.autocast():
                z = net.encode(batch.x)
                error = (net.decode(z) - batch.x).square().mean()
                moments = z.mean(0).square() + (z.var(0, unbiased=False) - 1).square()
            run.step(optimiser, error + self.pull * moments.mean())


@benchsuite.hookimpl
def benchsuite_methods() -> Sequence[type[benchsuite.Method]]:
    """Provides ``template_name``."""
    return [TemplateName]
