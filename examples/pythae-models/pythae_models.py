"""Autoencoders of the library pythae, on pythae's own perceptrons, trained by benchsuite's loop.

Source: Chadebec, Vincent, Allassonnière, Pythae: Unifying Generative Autoencoders in Python (2022). Changed: samples
are decoded draws of the generator that benchsuite hands out, where pythae's samplers go by global ones; and for vectors
the decoder's last sigmoid is left out, since they are not confined to [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from pythae.models import WAE_MMD, BetaVAE, BetaVAEConfig, WAE_MMD_Config
from pythae.models.nn.default_architectures import Decoder_AE_MLP
from torch import Tensor

import benchsuite


def log_normal(x: Tensor, mean: Tensor, sigma: float) -> Tensor:
    """The log density of N(mean, sigma^2 I) at every row of ``x``, (N, *shape) -> (N,) in nats."""
    each = -0.5 * ((x - mean) / sigma).square() - math.log(sigma) - 0.5 * math.log(2 * math.pi)
    return each.flatten(1).sum(1)


class Autoencoder(benchsuite.Model):
    """A pythae model as benchsuite knows models: it encodes, decodes, and samples by decoding draws of a prior."""

    def __init__(self, net: Any, latent_dim: int) -> None:
        super().__init__()
        self.net = net
        self.latent_dim = latent_dim
        self.prior = benchsuite.NormalPrior(latent_dim)

    def encode(self, x: Tensor) -> Tensor:
        """(N, *shape) -> (N, d)."""
        z: Tensor = self.net.encoder(x).embedding
        return z

    def decode(self, z: Tensor) -> Tensor:
        """(N, d) -> (N, *shape), images in [0, 1]."""
        x: Tensor = self.net.decoder(z).reconstruction
        return x

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """(n, *shape)."""
        return self.decode(self.prior.sample(n, generator))


class VariationalAutoencoder(Autoencoder):
    """An autoencoder with q(z | x), whose mean is the code of x, and with p(x | z) = N(x; decode(z), sigma^2 I)."""

    def __init__(self, net: Any, latent_dim: int, sigma: float) -> None:
        super().__init__(net, latent_dim)
        self.sigma = sigma

    @torch.no_grad()
    def elbo(self, x: Tensor, generator: torch.Generator, draws: int = 1) -> Tensor:
        """The evidence lower bound by ``draws`` codes for each row, (N, *shape) -> (N,) in nats, constants included."""
        encoded = self.net.encoder(x)
        mean, log_variance = encoded.embedding, encoded.log_covariance
        total = torch.zeros(len(x), device=x.device)
        for _ in range(draws):
            noise = torch.randn(mean.shape, generator=generator).to(mean.device)
            total += log_normal(x, self.decode(mean + noise * (log_variance / 2).exp()), self.sigma)
        divergence: Tensor = 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum(1)
        return total / draws - divergence


@dataclass(frozen=True)
class PythaeMethod(benchsuite.Method):
    """What the methods here have in common: how they are trained."""

    latent_dim: benchsuite.PositiveInt | None = None
    epochs: benchsuite.Count = 40
    batch_size: Annotated[int, benchsuite.Between(2)] = 64  # a discrepancy takes two rows
    learning_rate: benchsuite.Positive = 1e-3

    def fit(self, model: benchsuite.Model, train: benchsuite.Samples, run: benchsuite.Run) -> None:
        """Descends the loss that the pythae model itself computes."""
        assert isinstance(model, Autoencoder)
        model = run.prepare(model)
        optimiser = torch.optim.Adam(model.parameters(), lr=self.learning_rate)
        batches = run.batches(train, batch_size=self.batch_size, epochs=self.epochs, state=(model, optimiser))
        for batch in batches:
            with run.autocast():
                loss = model.net({"data": batch.x}).loss
            run.step(optimiser, loss)


@dataclass(frozen=True)
class PythaeVAE(PythaeMethod):
    """Variational autoencoder, with N(x_hat, sigma^2 I) as the likelihood.

    It is pythae's BetaVAE with beta = sigma^2, whose loss is sigma^2 times the negative evidence lower bound, up to a
    constant. ``sigma=1`` is pythae's VAE; in images in [0, 1] that leaves little that is worth a code.
    """

    name = "pythae_vae"

    sigma: benchsuite.Positive = 0.3

    def build(self, spec: benchsuite.DataSpec) -> VariationalAutoencoder:
        """Perceptrons of one hidden layer, untrained."""
        config = BetaVAEConfig(input_dim=spec.shape, latent_dim=spec.latent_dim, beta=self.sigma**2)
        return VariationalAutoencoder(BetaVAE(config, decoder=decoder(config, spec)), spec.latent_dim, self.sigma)


@dataclass(frozen=True)
class PythaeWAE(PythaeMethod):
    """Wasserstein autoencoder: codes are pulled towards the prior as a whole, by the maximum mean discrepancy.

    Source: Tolstikhin et al., Wasserstein Auto-Encoders (2018). ``weight`` is that of the discrepancy. Changed: it is
    10, not pythae's 0.03, which leaves the codes of digits too far from the prior for sampling.
    """

    name = "pythae_wae_mmd"

    weight: benchsuite.NonNegative = 10.0
    kernel: Literal["imq", "rbf"] = "imq"

    def build(self, spec: benchsuite.DataSpec) -> Autoencoder:
        """Perceptrons of one hidden layer, untrained."""
        config = WAE_MMD_Config(
            input_dim=spec.shape, latent_dim=spec.latent_dim, reg_weight=self.weight, kernel_choice=self.kernel
        )
        return Autoencoder(WAE_MMD(config, decoder=decoder(config, spec)), spec.latent_dim)


def decoder(config: Any, spec: benchsuite.DataSpec) -> Any:
    """pythae's default decoder, which ends in a sigmoid; less that where the data are vectors."""
    net: Any = Decoder_AE_MLP(config)
    if spec.kind == "vector":
        net.layers[-1] = net.layers[-1][0]
    return net


@benchsuite.hookimpl
def benchsuite_methods() -> Sequence[type[benchsuite.Method]]:
    """Provides ``pythae_vae`` and ``pythae_wae_mmd``."""
    return [PythaeVAE, PythaeWAE]
