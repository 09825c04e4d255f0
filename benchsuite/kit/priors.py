"""Distributions of codes. As modules, so that they move and are saved with their model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import torch
from torch import Tensor, nn

PriorName = Literal["normal", "uniform"]


class NormalPrior(nn.Module):
    """Independent normal coordinates, N(0, std^2), ``std`` (d,) or one number for all d."""

    std: Tensor

    def __init__(self, latent_dim: int, std: float | Tensor = 1.0) -> None:
        super().__init__()
        self.register_buffer("std", torch.as_tensor(std, dtype=torch.float32).expand(latent_dim).clone())

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """(n, d). With a CPU ``generator`` drawn there; without, from the device's global one."""
        return _normal(n, self.std, generator) * self.std

    def log_prob(self, z: Tensor) -> Tensor:
        """(N, d) -> (N,) in nats."""
        return (-0.5 * (z / self.std).square() - self.std.log() - 0.5 * math.log(2 * math.pi)).sum(1)


class UniformPrior(nn.Module):
    """Independent uniform coordinates on [low, high)."""

    low: Tensor
    high: Tensor

    def __init__(self, latent_dim: int, low: float = -1.0, high: float = 1.0) -> None:
        super().__init__()
        self.register_buffer("low", torch.full((latent_dim,), low))
        self.register_buffer("high", torch.full((latent_dim,), high))

    @property
    def std(self) -> Tensor:
        """The standard deviation of each coordinate, (d,)."""
        return (self.high - self.low) / math.sqrt(12)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """(n, d). With a CPU ``generator`` drawn there; without, from the device's global one."""
        device = self.low.device if generator is None else torch.device("cpu")
        unit = torch.rand(n, len(self.low), generator=generator, device=device)
        return self.low + (self.high - self.low) * unit.to(self.low.device)

    def log_prob(self, z: Tensor) -> Tensor:
        """(N, d) -> (N,) in nats; minus infinity outside the box."""
        inside = ((z >= self.low) & (z <= self.high)).all(1)
        volume = (self.high - self.low).log().sum()
        return torch.where(inside, -volume, torch.full_like(volume, -torch.inf))


PRIORS: Mapping[PriorName, type[NormalPrior | UniformPrior]] = MappingProxyType(
    {"normal": NormalPrior, "uniform": UniformPrior}
)


class GaussianPrior(nn.Module):
    """N(mean, covariance) with a full covariance; N(0, I) until ``set`` or ``fit_to`` is called."""

    mean: Tensor
    factor: Tensor

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(latent_dim))
        self.register_buffer("factor", torch.eye(latent_dim))  # covariance = factor @ factor.T

    @property
    def std(self) -> Tensor:
        """The standard deviation of each coordinate, (d,)."""
        return self.factor.square().sum(1).sqrt()

    def fit_to(self, codes: Tensor, isotropic: bool = False) -> None:
        """Take the mean and covariance of ``codes``, (N, d); ``isotropic`` keeps only the mean variance."""
        centred = (codes - codes.mean(0)).double()
        covariance = centred.T @ centred / max(1, len(codes) - 1)
        if isotropic:
            covariance = torch.eye(len(covariance), device=codes.device).double() * covariance.diagonal().mean()
        values, vectors = torch.linalg.eigh(covariance)  # Cholesky fails where codes lie in a subspace
        self.mean.copy_(codes.mean(0))
        self.factor.copy_(vectors * values.clamp_min(0).sqrt())

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """(n, d). With a CPU ``generator`` drawn there; without, from the device's global one."""
        return self.mean + _normal(n, self.mean, generator) @ self.factor.T

    def log_prob(self, z: Tensor) -> Tensor:
        """(N, d) -> (N,) in nats. Raises ValueError for a singular covariance."""
        scales = torch.linalg.svdvals(self.factor.double())
        if float(scales[-1]) <= 1e-6 * float(scales[0]):
            raise ValueError("a Gaussian with a singular covariance has no density")
        covariance = self.factor @ self.factor.T
        normal = torch.distributions.MultivariateNormal(self.mean, covariance)
        log_density: Tensor = normal.log_prob(z)  # type: ignore[no-untyped-call]
        return log_density


def _normal(n: int, like: Tensor, generator: torch.Generator | None) -> Tensor:
    device = like.device if generator is None else torch.device("cpu")
    return torch.randn(n, len(like), generator=generator, device=device).to(like.device)
