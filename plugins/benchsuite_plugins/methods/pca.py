"""PCA as a latent-variable model: codes are principal components, samples are decoded Gaussian codes.

Source: Pearson, On Lines and Planes of Closest Fit (1901); the baseline of Bojanowski et al., Optimizing the Latent
Space of Generative Networks (section 4.1). Its density is that of Tipping and Bishop, Probabilistic Principal Component
Analysis (1999), eq. 7 and 8. Changed: decoded images are cut to [0, 1], as every model's are; variances are divided by
N - 1, not by N.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchsuite import (
    DataSpec,
    Method,
    Model,
    NotApplicableError,
    ParameterError,
    PositiveInt,
    Run,
    Samples,
    hookimpl,
)
from benchsuite.kit.moments import most_axes, principal_axes
from benchsuite.kit.priors import NormalPrior

_SMALLEST = 1e-10  # of the largest variance: what rounding makes of a variance of zero is below


class PCAModel(Model):
    """``mean`` (D,) and orthonormal ``axes`` (d, D); codes are (x - mean) axes^T.

    ``noise_variance`` is the mean variance of the D - d directions left out.
    """

    noise_variance: Tensor

    def __init__(self, spec: DataSpec) -> None:
        super().__init__()
        dim = math.prod(spec.shape)
        self.shape, self.kind, self.latent_dim = spec.shape, spec.kind, spec.latent_dim
        self.mean = nn.Parameter(torch.zeros(dim), requires_grad=False)
        self.axes = nn.Parameter(torch.eye(spec.latent_dim, dim), requires_grad=False)
        self.prior = NormalPrior(spec.latent_dim)
        self.register_buffer("noise_variance", torch.ones(()))

    def encode(self, x: Tensor) -> Tensor:
        """(N, *shape) -> (N, d)."""
        return (x.flatten(1) - self.mean) @ self.axes.T

    def decode(self, z: Tensor) -> Tensor:
        """(N, d) -> (N, *shape)."""
        x = (z @ self.axes + self.mean).view(-1, *self.shape)
        return x.clamp(0, 1) if self.kind == "image" else x

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Codes from N(0, the variances of the components), decoded."""
        return self.decode(self.prior.sample(n, generator))

    def log_prob(self, x: Tensor) -> Tensor:
        """The log density of probabilistic PCA, (N, *shape) -> (N,) in nats, in float64.

        That of N(mean, axes^T diag(variances) axes + noise_variance (I - axes^T axes)), which does not cut its images
        to [0, 1]. Raises NotApplicableError where a direction is left without variance, so that there is no density.
        """
        axes, std = self.axes.double(), self.prior.std.double()
        left_out = axes.shape[1] - axes.shape[0]
        noise = float(self.noise_variance)
        largest = float(std.max()) ** 2
        if min(float(std.min()) ** 2, noise if left_out else math.inf) <= _SMALLEST * largest:
            raise NotApplicableError(
                f"no density: the training data have no variance in some directions of {axes.shape[1]}, "
                f"of which {axes.shape[0]} are axes; a smaller latent_dim may leave noise in all others"
            )
        centred = x.flatten(1).double() - self.mean.double()
        z = centred @ axes.T
        # Not |centred|^2 - |z|^2, whose digits cancel where the noise is small.
        outside = (centred - z @ axes).square().sum(1)
        log_volume = 2 * std.log().sum()
        distance = (z / std).square().sum(1)
        if left_out:
            log_volume = log_volume + left_out * math.log(noise)
            distance = distance + outside / noise
        return -0.5 * (axes.shape[1] * math.log(2 * math.pi) + log_volume + distance)


@dataclass(frozen=True)
class PCA(Method):
    """Principal component analysis with a Gaussian over its components."""

    name = "pca"

    latent_dim: PositiveInt | None = None

    def build(self, spec: DataSpec) -> PCAModel:
        """Refuses more components than the data can have: min(N - 1, D)."""
        most = most_axes(spec.n_train, spec.shape)
        if spec.latent_dim > most:
            raise ParameterError(
                f"pca: latent_dim={spec.latent_dim} is not allowed; {spec.n_train} samples of "
                f"{math.prod(spec.shape)} numbers allow at most {most}"
            )
        return PCAModel(spec)

    def fit(self, model: Model, train: Samples, run: Run) -> None:
        """Exact, in one or a few passes over the data; memory does not grow with their number."""
        assert isinstance(model, PCAModel)
        found = principal_axes(train, model.latent_dim)
        model.mean.copy_(found.mean)
        model.axes.copy_(found.axes)
        model.prior.std.copy_(found.variances.sqrt())
        model.noise_variance.fill_(found.residual_variance)


@hookimpl
def benchsuite_methods() -> Sequence[type[Method]]:
    """Provides ``pca``."""
    return [PCA]
