"""The model that most methods build: a prior over codes and a decoder from codes to data."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchsuite.contracts import DataSpec, Model


class LatentModel(Model):
    """A ``prior`` and a ``decoder`` whose images are in [-1, 1]; ``decode`` and ``sample`` give them in [0, 1].

    ``prior`` is a module with ``sample(n, generator)``, see benchsuite.kit.priors.
    """

    def __init__(self, spec: DataSpec, prior: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.latent_dim = spec.latent_dim
        self.kind = spec.kind
        self.prior = prior
        self.decoder = decoder

    def decode(self, z: Tensor) -> Tensor:
        """(N, latent_dim) -> (N, *shape)."""
        decoded: Tensor = self.decoder(z)
        return (decoded + 1) / 2 if self.kind == "image" else decoded

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """(n, *shape): codes from the prior, decoded."""
        z: Tensor = self.prior.sample(n, generator)  # type: ignore[operator]
        return self.decode(z)

    def draw(self, n: int) -> Tensor:
        """``n`` codes from the prior by the device's global generator, (n, latent_dim)."""
        z: Tensor = self.prior.sample(n)  # type: ignore[operator]
        return z

    def signal(self, x: Tensor) -> Tensor:
        """``x`` in the decoder's own range: images [0, 1] -> [-1, 1], vectors unchanged."""
        return x * 2 - 1 if self.kind == "image" else x
