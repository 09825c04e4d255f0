"""PCA as a latent-variable model: codes are principal components, samples are decoded Gaussian codes.

Source: Pearson, On Lines and Planes of Closest Fit (1901); the baseline of Bojanowski et al., Optimizing the Latent
Space of Generative Networks (section 4.1). Changed: decoded images are cut to [0, 1], as every model's are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchsuite import DataSpec, Method, Model, ParameterError, PositiveInt, Run, Samples, hookimpl
from benchsuite.kit.moments import principal_axes
from benchsuite.kit.priors import NormalPrior


class PCAModel(Model):
    """``mean`` (D,) and orthonormal ``axes`` (d, D); codes are (x - mean) axes^T."""

    def __init__(self, spec: DataSpec) -> None:
        super().__init__()
        dim = int(torch.tensor(spec.shape).prod())
        self.shape, self.kind, self.latent_dim = spec.shape, spec.kind, spec.latent_dim
        self.mean = nn.Parameter(torch.zeros(dim), requires_grad=False)
        self.axes = nn.Parameter(torch.eye(spec.latent_dim, dim), requires_grad=False)
        self.prior = NormalPrior(spec.latent_dim)

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


@dataclass(frozen=True)
class PCA(Method):
    """Principal component analysis with a Gaussian over its components."""

    name = "pca"

    latent_dim: PositiveInt | None = None

    def build(self, spec: DataSpec) -> PCAModel:
        """Refuses more components than the data can have."""
        most = min(spec.n_train - 1, int(torch.tensor(spec.shape).prod()))
        if spec.latent_dim > most:
            raise ParameterError(f"pca: latent_dim={spec.latent_dim} is not allowed; this data allows at most {most}")
        return PCAModel(spec)

    def fit(self, model: Model, train: Samples, run: Run) -> None:
        """Exact, in one or a few passes over the data."""
        assert isinstance(model, PCAModel)
        found = principal_axes(train, model.latent_dim)
        model.mean.copy_(found.mean)
        model.axes.copy_(found.axes)
        model.prior.std.copy_(found.variances.sqrt())


@hookimpl
def benchsuite_methods() -> Sequence[type[Method]]:
    """Provides ``pca``."""
    return [PCA]
