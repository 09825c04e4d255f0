"""Variational autoencoder with a DCGAN decoder and a mirrored encoder.

Source: Kingma and Welling, Auto-Encoding Variational Bayes (2013). ``beta`` weighs the divergence from the prior
(Higgins et al., beta-VAE, 2017). Likelihoods: Gaussian with a fixed standard deviation ``sigma``, in units of images in
[0, 1] (``l2``); Bernoulli (``bernoulli``); and the squared error with the Laplacian pyramid loss of Bojanowski et al.,
Optimizing the Latent Space of Generative Networks (2018), sections 2 and 4 (``lap1``), whose weights they do not state:
here sigma is the scale of a normal in the one and of a Laplace distribution in the other. The importance-weighted bound
is that of Burda, Grosse, Salakhutdinov, Importance Weighted Autoencoders (2016), eq. 8.
Changed: learning rates fall linearly to 2%, which the small default data rewards.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from benchsuite import (
    Count,
    DataSpec,
    Method,
    Model,
    NonNegative,
    NotApplicableError,
    ParameterError,
    Positive,
    PositiveInt,
    Run,
    Samples,
    hookimpl,
)
from benchsuite.kit.losses import bernoulli_energy, gaussian_energy, gaussian_kl
from benchsuite.kit.models import LatentModel
from benchsuite.kit.nets import encoder, generator
from benchsuite.kit.priors import NormalPrior
from benchsuite.kit.pyramid import LevelWeights, lap1

LikelihoodName = Literal["l2", "lap1", "bernoulli"]

_SIGMA = 0.3
_ROWS = 256  # whose codes are decoded at once in estimates


@dataclass(frozen=True)
class Likelihood:
    """p(x | z) by the decoder's output x_hat.

    ``l2`` is N(x; x_hat, sigma^2 I); ``bernoulli`` has x_hat in [0, 1] as the probability of each pixel; ``lap1`` is an
    energy whose normalising constant is not known: that of ``l2`` + C H W lap1(x_hat, x) / sigma.
    """

    name: LikelihoodName = "l2"
    sigma: float = _SIGMA
    level_weights: LevelWeights = "printed"

    def energy(self, x_hat: Tensor, x: Tensor) -> Tensor:
        """-log p(x | z) less its constant, (N, *shape) each -> (N,) in nats. It is what training minimises."""
        if self.name == "bernoulli":
            return bernoulli_energy(x_hat, x)
        energy = gaussian_energy(x_hat, x, self.sigma)
        if self.name == "lap1":
            with torch.autocast(x.device.type, enabled=False):  # which would round the differences
                energy = energy + x[0].numel() * lap1(x_hat.to(x.dtype), x, self.level_weights) / self.sigma
        return energy

    def log_prob(self, x_hat: Tensor, x: Tensor) -> Tensor:
        """log p(x | z), (N, *shape) each -> (N,) in nats, in float64. Raises NotApplicableError for ``lap1``.

        ``bernoulli`` takes pixels between 0 and 1 too, for which it is minus the cross entropy and no density.
        """
        if self.name == "lap1":
            raise NotApplicableError("likelihood=lap1 is no normalised density; likelihood=l2 and bernoulli have one")
        log_prob = -self.energy(x_hat.double(), x.double())
        if self.name == "l2":
            log_prob = log_prob - x[0].numel() * (math.log(self.sigma) + 0.5 * math.log(2 * math.pi))
        return log_prob


class VAEModel(LatentModel):
    """A decoder with the prior N(0, I), an encoder to the mean and log variance of q(z | x), and the likelihood.

    ``decoder`` takes (N, d) to (N, *shape) and ``encoder`` (N, *shape) to (N, 2 d), images in [-1, 1].
    """

    def __init__(self, spec: DataSpec, decoder: nn.Module, encoder: nn.Module, likelihood: Likelihood) -> None:
        super().__init__(spec, NormalPrior(spec.latent_dim), decoder)
        self.encoder = encoder
        self.likelihood = likelihood

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The mean and log variance of q(z | x), (N, d) each."""
        mean, log_variance = self.encoder(self.signal(x)).chunk(2, dim=1)
        return mean, log_variance

    def encode(self, x: Tensor) -> Tensor:
        """The mean of q(z | x), (N, *shape) -> (N, d)."""
        return self.posterior(x)[0]

    @torch.no_grad()
    def elbo(self, x: Tensor, generator: torch.Generator, draws: int = 1) -> Tensor:
        """An estimate of the evidence lower bound (beta = 1), (N, *shape) -> (N,) in nats, in float64.

        The mean of log p(x, z) / q(z | x) over ``draws`` codes z from q(z | x), constants included. The divergence is
        not taken in closed form: near the posterior, draws vary less without that. ``generator`` is on the CPU. Raises
        NotApplicableError for a likelihood that is no density.
        """
        parts = [sum(self._log_weights(rows, generator, draws), _zeros(rows)) for rows in torch.split(x, _ROWS)]
        return torch.cat(parts) / draws

    @torch.no_grad()
    def log_likelihood(self, x: Tensor, generator: torch.Generator, draws: int = 64) -> Tensor:
        """The importance-weighted bound of log p(x), (N, *shape) -> (N,) in nats, in float64.

        The logarithm of the mean of p(x, z) / q(z | x) over ``draws`` codes z from q(z | x), the same number for every
        row. In expectation it is below log p(x) and rises to it with ``draws``; with 1 it is the evidence lower bound.
        Memory does not grow with ``draws``. ``generator`` is on the CPU. Raises NotApplicableError for a likelihood
        that is no density.
        """
        parts = []
        for rows in torch.split(x, _ROWS):
            total = _zeros(rows) - torch.inf
            for log_weight in self._log_weights(rows, generator, draws):
                total = torch.logaddexp(total, log_weight)
            parts.append(total)
        return torch.cat(parts) - math.log(draws)

    def _log_weights(self, x: Tensor, generator: torch.Generator, draws: int) -> Iterator[Tensor]:
        """log p(x, z) / q(z | x) for ``draws`` codes z from q(z | x) of every row, (N,) each."""
        mean, log_variance = self.posterior(x)
        for _ in range(draws):
            noise = torch.randn(mean.shape, generator=generator).to(mean.device)
            z = mean + noise * (log_variance / 2).exp()
            log_ratio = 0.5 * (noise.double().square() - z.double().square() + log_variance.double()).sum(1)
            yield self.likelihood.log_prob(self.decode(z), x) + log_ratio


def _zeros(x: Tensor) -> Tensor:
    return torch.zeros(len(x), dtype=torch.float64, device=x.device)


@dataclass(frozen=True)
class VAE(Method):
    """Variational autoencoder.

    ``sigma`` is for the likelihoods l2 and lap1, ``level_weights`` (see benchsuite.kit.pyramid) for lap1 alone;
    lap1 and bernoulli are for images.
    """

    name = "vae"

    latent_dim: PositiveInt | None = None
    epochs: Count = 40
    batch_size: PositiveInt = 64
    learning_rate: Positive = 1e-3
    width: PositiveInt = 32
    sigma: Positive = _SIGMA
    beta: NonNegative = 1.0
    likelihood: LikelihoodName = "l2"
    level_weights: LevelWeights = "printed"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.likelihood == "bernoulli" and self.sigma != _SIGMA:
            raise ParameterError(f"{self.name}: sigma is for likelihood=l2 and lap1; got likelihood=bernoulli")
        if self.likelihood != "lap1" and self.level_weights != "printed":
            raise ParameterError(f"{self.name}: level_weights is for likelihood=lap1; got likelihood={self.likelihood}")

    def build(self, spec: DataSpec) -> VAEModel:
        """Decoder and encoder, untrained. Raises ParameterError for a likelihood of images where there are vectors."""
        if spec.kind == "vector" and self.likelihood != "l2":
            raise ParameterError(
                f"{self.name}: likelihood={self.likelihood} is for images and not allowed for vectors of shape "
                f"{spec.shape}; select likelihood=l2"
            )
        return VAEModel(spec, *self.networks(spec), Likelihood(self.likelihood, self.sigma, self.level_weights))

    def networks(self, spec: DataSpec) -> tuple[nn.Module, nn.Module]:
        """The decoder and the encoder that VAEModel takes."""
        decoder = generator(spec.shape, spec.latent_dim, self.width)
        return decoder, encoder(spec.shape, 2 * spec.latent_dim, self.width)

    def fit(self, model: Model, train: Samples, run: Run) -> None:
        """Ascends the evidence lower bound, per sample: the likelihood's energy + beta KL."""
        assert isinstance(model, VAEModel)
        model = run.prepare(model)
        optimiser = torch.optim.Adam(model.parameters(), lr=self.learning_rate, fused=True)
        batches = run.batches(train, batch_size=self.batch_size, epochs=self.epochs, state=(model, optimiser))
        for batch in batches:
            run.decay(optimiser, final=0.02)
            with run.autocast():
                mean, log_variance = model.posterior(batch.x)
                z = mean + torch.randn_like(mean) * (log_variance / 2).exp()
                energy = model.likelihood.energy(model.decode(z), batch.x)
                loss = (energy + self.beta * gaussian_kl(mean, log_variance)).mean()
            run.step(optimiser, loss, name="negative_elbo")


@hookimpl
def benchsuite_methods() -> Sequence[type[Method]]:
    """Provides ``vae``."""
    return [VAE]
