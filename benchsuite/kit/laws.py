"""Laws: distributions of vectors whose density is known, for toy data whose truth metrics can be told.

Densities are computed in float64 on the CPU; samples are float32, drawn by a CPU generator.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_BLOCK = 256


class NormalMixture:
    """Equal parts of normals N(modes[k], covariance), ``modes`` (K, D) and ``covariance`` (D, D) the same for all."""

    def __init__(self, modes: Tensor, covariance: Tensor) -> None:
        self.modes = modes.double()
        self.component_covariance = covariance.double()
        self._factor = torch.linalg.cholesky(self.component_covariance)

    @property
    def mean(self) -> Tensor:
        """(D,)."""
        return self.modes.mean(0)

    @property
    def covariance(self) -> Tensor:
        """(D, D): that of a component and that of the modes."""
        centred = self.modes - self.mean
        spread: Tensor = centred.T @ centred / len(self.modes)
        return self.component_covariance + spread

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """(n, D)."""
        chosen = torch.randint(len(self.modes), (n,), generator=generator)
        noise = torch.randn(n, self.modes.shape[1], generator=generator, dtype=torch.float64)
        rows: Tensor = self.modes[chosen] + noise @ self._factor.T
        return rows.float()

    def log_prob(self, x: Tensor) -> Tensor:
        """(N, D) -> (N,) in nats."""
        offsets = x.double().cpu()[:, None] - self.modes
        whitened = torch.linalg.solve_triangular(self._factor, offsets.mT, upper=False)
        normaliser = self._factor.diagonal().log().sum() + 0.5 * self.modes.shape[1] * math.log(2 * math.pi)
        logs = -0.5 * whitened.square().sum(1) - normaliser
        return torch.logsumexp(logs, 1) - math.log(len(self.modes))


class ExponentialRing:
    """z ~ N(0, 2 I) in the plane, and x given z exponential with mean 1 + |z|^2.

    The posterior of z given a large x is a ring. ``latent_dim`` is 2, x has one coordinate.

    Source: Velasquez Vergara, Generative Adversarial Networks (2017), section 4.2.1, where Exp(1/beta) is by its rate.
    """

    latent_dim = 2
    prior_std = math.sqrt(2.0)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """x from its marginal law, (n, 1)."""
        z = self.prior_std * torch.randn(n, 2, generator=generator, dtype=torch.float64)
        return self.sample_given(z, generator).float()

    def expectation(self, z: Tensor) -> Tensor:
        """E[x | z], (N, 2) -> (N, 1)."""
        return 1 + z.square().sum(1, keepdim=True)

    def sample_given(self, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """One x for each z, (N, 2) -> (N, 1). With a CPU ``generator`` drawn there."""
        device = z.device if generator is None else torch.device("cpu")
        unit = torch.empty(len(z), 1, dtype=z.dtype, device=device).exponential_(generator=generator)
        return self.expectation(z) * unit.to(z.device)

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x | z) in nats, (N, 1) and (N, 2) -> (N,)."""
        mean = self.expectation(z)
        return (-mean.log() - x / mean).squeeze(1)

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) in nats, (N, 1) -> (N,), by integration over |z|."""
        radius, weight = _radii()
        densities = weight * radius * (-radius.square() / 4).exp() / 2  # of |z|
        mean = 1 + radius.square()
        weighted = densities / mean
        blocks = torch.split(x.double().cpu(), _BLOCK)
        return torch.cat([((-block / mean).exp() @ weighted).log() for block in blocks])

    def posterior_radius_cdf(self, radius: Tensor, x: float) -> Tensor:
        """P(|z| <= radius given x), (N,) -> (N,)."""
        grid, weight = _radii()
        mean = 1 + grid.square()
        density = grid * (-grid.square() / 4 - x / mean).exp() / mean
        cumulative = (weight * density).cumsum(0)
        nearest = torch.searchsorted(grid, radius.double().to(grid.device).contiguous()).clamp_max(len(grid) - 1)
        return cumulative[nearest] / cumulative[-1]


def _radii(most: float = 14.0, points: int = 28_001) -> tuple[Tensor, Tensor]:
    """Points and weights of the trapezoid rule on [0, most]; beyond 14, z has a probability under 1e-21."""
    radius = torch.linspace(0, most, points, dtype=torch.float64)
    weight = torch.full_like(radius, most / (points - 1))
    weight[[0, -1]] /= 2
    return radius, weight
