"""Toy data: vectors whose law is known.

Source: Velasquez Vergara, Generative Adversarial Networks (2017): ``bivariate_normal`` (section 3.2.1), ``mixture`` of
two Gaussians (3.3.2.1), ``exponential_posterior`` (4.2.1). ``ring`` and ``grid`` are the usual tests of mode coverage,
with the sizes of Srivastava et al., VEEGAN (2017), section 4.1: eight normals of standard deviation 0.01 on a circle of
radius 1, and 25 of 0.05 on a grid of spacing 2.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from benchsuite import Dataset, PositiveInt, Samples, Split, hookimpl
from benchsuite.kit.laws import ExponentialRing, NormalMixture

_SEEDS: dict[Split, int] = {"train": 1, "test": 2}
_TEST_ROWS = 1000


@dataclass(frozen=True)
class _Toy(Dataset):
    """``size`` training vectors and 1000 test vectors, drawn from ``truth()`` with fixed seeds."""

    kind = "vector"

    size: PositiveInt = 10_000

    @abstractmethod
    def truth(self) -> NormalMixture | ExponentialRing:
        """The law itself."""

    def load(self, split: Split, cache: Path) -> Samples:
        """Drawn anew each time, always the same."""
        rows = self.size if split == "train" else _TEST_ROWS
        return Samples(self.truth().sample(rows, torch.Generator().manual_seed(_SEEDS[split])))


@dataclass(frozen=True)
class BivariateNormal(_Toy):
    """A normal in the plane: mean (1, 1), standard deviations 0.7, correlation 0.5."""

    name = "bivariate_normal"
    latent_dim = 2

    def truth(self) -> NormalMixture:
        """A mixture of one."""
        return NormalMixture(torch.ones(1, 2), 0.49 * torch.tensor([[1.0, 0.5], [0.5, 1.0]]))


@dataclass(frozen=True)
class Mixture(_Toy):
    """Two Gaussians on a line: N(1, 0.3^2) and N(3, 0.3^2), in equal parts."""

    name = "mixture"
    latent_dim = 1

    def truth(self) -> NormalMixture:
        """A mixture of two."""
        return NormalMixture(torch.tensor([[1.0], [3.0]]), torch.tensor([[0.09]]))


@dataclass(frozen=True)
class Ring(_Toy):
    """Eight narrow Gaussians on a circle."""

    name = "ring"
    latent_dim = 2

    def truth(self) -> NormalMixture:
        """A mixture of eight."""
        angle = torch.arange(8) * math.pi / 4
        return NormalMixture(torch.stack([angle.cos(), angle.sin()], 1), 0.01**2 * torch.eye(2))


@dataclass(frozen=True)
class Grid(_Toy):
    """Twenty-five narrow Gaussians on a 5 x 5 grid."""

    name = "grid"
    latent_dim = 2

    def truth(self) -> NormalMixture:
        """A mixture of twenty-five."""
        side: Tensor = torch.arange(-4.0, 5.0, 2.0)
        return NormalMixture(torch.cartesian_prod(side, side), 0.05**2 * torch.eye(2))


@dataclass(frozen=True)
class ExponentialPosterior(_Toy):
    """One number x, exponential with mean 1 + |z|^2 for a normal z in the plane; p(z | x) is what is to be learnt."""

    name = "exponential_posterior"
    latent_dim = 2

    def truth(self) -> ExponentialRing:
        """Prior, likelihood and posterior."""
        return ExponentialRing()


@hookimpl
def benchsuite_datasets() -> Sequence[type[Dataset]]:
    """Provides ``bivariate_normal``, ``mixture``, ``ring``, ``grid`` and ``exponential_posterior``."""
    return [BivariateNormal, Mixture, Ring, Grid, ExponentialPosterior]
