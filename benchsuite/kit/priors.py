"""Distributions of codes. As modules, so that they move and are saved with their model."""

from __future__ import annotations

import math
import warnings
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
        return self.low + (self.high - self.low) * _uniform((n, len(self.low)), self.low, generator)

    def log_prob(self, z: Tensor) -> Tensor:
        """(N, d) -> (N,) in nats; minus infinity outside the box."""
        inside = ((z >= self.low) & (z <= self.high)).all(1)
        volume = (self.high - self.low).log().sum()
        return torch.where(inside, -volume, torch.full_like(volume, -torch.inf))


PRIORS: Mapping[PriorName, type[NormalPrior | UniformPrior]] = MappingProxyType(
    {"normal": NormalPrior, "uniform": UniformPrior}
)


class GaussianPrior(nn.Module):
    """N(mean, covariance) with a full covariance; N(0, I) until ``fit_to`` is called."""

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
        self.mean.copy_(codes.mean(0))
        self.factor.copy_(_factor_of(covariance))

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """(n, d). With a CPU ``generator`` drawn there; without, from the device's global one."""
        return self.mean + _normal(n, self.mean, generator) @ self.factor.T

    def log_prob(self, z: Tensor) -> Tensor:
        """(N, d) -> (N,) in nats. Raises ValueError for a singular covariance."""
        return _log_density(z, self.mean, self.factor)


class MixturePrior(nn.Module):
    """A mixture of ``components`` Gaussians with full covariances; N(0, I) until ``fit_to`` is called."""

    weights: Tensor
    mean: Tensor
    factor: Tensor

    def __init__(self, latent_dim: int, components: int) -> None:
        super().__init__()
        self.register_buffer("weights", torch.full((components,), 1 / components))
        self.register_buffer("mean", torch.zeros(components, latent_dim))
        self.register_buffer(
            "factor", torch.eye(latent_dim).repeat(components, 1, 1)
        )  # covariances as in GaussianPrior

    @property
    def std(self) -> Tensor:
        """The standard deviation of each coordinate of the whole mixture, (d,)."""
        within = self.weights @ self.factor.square().sum(2)
        between = self.weights @ (self.mean - self.weights @ self.mean).square()
        return (within + between).sqrt()

    def fit_to(self, codes: Tensor, seed: int) -> None:
        """Fit to ``codes``, (N, d), by expectation maximisation; ``seed`` decides where it starts.

        Each covariance has a millionth of the codes' mean variance added to its diagonal, so that codes in a subspace,
        or equal ones, can be fitted too. Raises ValueError for fewer codes than components.

        Source: Dempster, Laird, Rubin, Maximum Likelihood from Incomplete Data via the EM Algorithm (1977).
        """
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture

        components = len(self.weights)
        if len(codes) < components:
            raise ValueError(f"a mixture of {components} components needs as many codes; got {len(codes)}")
        rows = codes.detach().double().cpu()
        centre = rows.mean(0)
        scale = float((rows - centre).square().mean().sqrt()) or 1.0
        standard = (rows - centre) / scale  # the library adds its millionth in whatever unit the data are
        if len(standard) == 1:
            standard = standard.repeat(2, 1)  # the library refuses a single row
        mixture = GaussianMixture(components, random_state=seed % 2**32, max_iter=300)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct codes than components: nothing is lost
            mixture.fit(standard.numpy())
        self.weights.copy_(torch.from_numpy(mixture.weights_))
        self.mean.copy_(torch.from_numpy(mixture.means_) * scale + centre)
        self.factor.copy_(_factor_of(torch.from_numpy(mixture.covariances_)) * scale)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """(n, d). With a CPU ``generator`` drawn there; without, from the device's global one."""
        chosen = torch.searchsorted(self.weights.cumsum(0), _uniform((n,), self.weights, generator))
        chosen = chosen.clamp_max(len(self.weights) - 1)  # the sum of the weights may be a rounding below 1
        z = _normal(n, self.mean[0], generator)
        for component, (mean, factor) in enumerate(zip(self.mean, self.factor, strict=True)):
            own = chosen == component
            z[own] = mean + z[own] @ factor.T
        return z

    def log_prob(self, z: Tensor) -> Tensor:
        """(N, d) -> (N,) in nats. Raises ValueError for a singular covariance."""
        each = [_log_density(z, mean, factor) for mean, factor in zip(self.mean, self.factor, strict=True)]
        return torch.logsumexp(torch.stack(each, dim=1) + self.weights.log(), dim=1)


def _factor_of(covariance: Tensor) -> Tensor:
    """F with F F^T = ``covariance``, (..., d, d) each. Cholesky's would fail where codes lie in a subspace."""
    values, vectors = torch.linalg.eigh(covariance)
    return torch.as_tensor(vectors * values.clamp_min(0).sqrt().unsqueeze(-2))


def _log_density(z: Tensor, mean: Tensor, factor: Tensor) -> Tensor:
    """Of N(``mean``, ``factor`` ``factor``^T) at the rows of ``z``; in float64, since factors are ill-conditioned."""
    wide = factor.double()
    scales = torch.linalg.svdvals(wide)
    if float(scales[-1]) <= 1e-6 * float(scales[0]):
        raise ValueError("a Gaussian with a singular covariance has no density")
    white = torch.linalg.solve(wide, (z.double() - mean).T)
    normaliser = scales.log().sum() + 0.5 * len(mean) * math.log(2 * math.pi)
    return torch.as_tensor(-0.5 * white.square().sum(0) - normaliser, dtype=z.dtype)


def _normal(n: int, like: Tensor, generator: torch.Generator | None) -> Tensor:
    device = like.device if generator is None else torch.device("cpu")
    return torch.randn(n, len(like), generator=generator, device=device).to(like.device)


def _uniform(size: tuple[int, ...], like: Tensor, generator: torch.Generator | None) -> Tensor:
    device = like.device if generator is None else torch.device("cpu")
    return torch.rand(size, generator=generator, device=device).to(like.device)
