"""Variational autoencoder with a DCGAN decoder and a mirrored encoder.

Source: Kingma and Welling, Auto-Encoding Variational Bayes (2013). Gaussian likelihood with a fixed standard deviation
``sigma``, in units of images in [0, 1]; ``beta`` weighs the divergence from the prior (Higgins et al., beta-VAE, 2017).
Changed: learning rates fall linearly to 2%, which the small default data rewards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from benchsuite import (
    Count,
    DataSpec,
    Method,
    Model,
    NonNegative,
    Positive,
    PositiveInt,
    Run,
    Samples,
    hookimpl,
)
from benchsuite.kit.losses import gaussian_kl
from benchsuite.kit.models import LatentModel
from benchsuite.kit.nets import encoder, generator
from benchsuite.kit.priors import NormalPrior


class VAEModel(LatentModel):
    """A decoder with the prior N(0, I), and an encoder to the mean and log variance of q(z | x)."""

    def __init__(self, spec: DataSpec, width: int) -> None:
        decoder = generator(spec.shape, spec.latent_dim, width)
        super().__init__(spec, NormalPrior(spec.latent_dim), decoder)
        self.encoder = encoder(spec.shape, 2 * spec.latent_dim, width)

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The mean and log variance of q(z | x), (N, d) each."""
        mean, log_variance = self.encoder(self.signal(x)).chunk(2, dim=1)
        return mean, log_variance

    def encode(self, x: Tensor) -> Tensor:
        """The mean of q(z | x), (N, *shape) -> (N, d)."""
        return self.posterior(x)[0]


@dataclass(frozen=True)
class VAE(Method):
    """Variational autoencoder."""

    name = "vae"

    latent_dim: PositiveInt | None = None
    epochs: Count = 40
    batch_size: PositiveInt = 64
    learning_rate: Positive = 1e-3
    width: PositiveInt = 32
    sigma: Positive = 0.3
    beta: NonNegative = 1.0

    def build(self, spec: DataSpec) -> VAEModel:
        """Decoder and encoder, untrained."""
        return VAEModel(spec, self.width)

    def fit(self, model: Model, train: Samples, run: Run) -> None:
        """Ascends the evidence lower bound, per sample: squared error / (2 sigma^2) + beta KL."""
        assert isinstance(model, VAEModel)
        model = run.prepare(model)
        optimiser = torch.optim.Adam(model.parameters(), lr=self.learning_rate, fused=True)
        batches = run.batches(train, batch_size=self.batch_size, epochs=self.epochs, state=(model, optimiser))
        for batch in batches:
            run.decay(optimiser, final=0.02)
            with run.autocast():
                mean, log_variance = model.posterior(batch.x)
                z = mean + torch.randn_like(mean) * (log_variance / 2).exp()
                error = (model.decode(z) - batch.x).square().flatten(1).sum(1)
                loss = (error / (2 * self.sigma**2) + self.beta * gaussian_kl(mean, log_variance)).mean()
            run.step(optimiser, loss, name="negative_elbo")


@hookimpl
def benchsuite_methods() -> Sequence[type[Method]]:
    """Provides ``vae``."""
    return [VAE]
