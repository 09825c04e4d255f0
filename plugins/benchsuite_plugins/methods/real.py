"""Real images posing as a method: the floor of every distance between distributions.

One half of the training images, drawn by the seed, is what it samples, but at most 10,000, since a model is in memory;
distances compare it with the others. It has no codes, so reconstruction does not apply.

Source: own work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from benchsuite import DataSpec, Method, Model, PositiveInt, Run, Samples, hookimpl

_BATCH = 256


class RealModel(Model):
    """The rows it holds, and their numbers in the training set."""

    rows: Tensor
    copied_rows: Tensor

    def __init__(self, spec: DataSpec, images: int) -> None:
        super().__init__()
        held = max(1, min(images, spec.n_train // 2))
        self.register_buffer("rows", torch.zeros(held, *spec.shape))
        self.register_buffer("copied_rows", torch.zeros(held, dtype=torch.long))

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Its rows in random order, all of them before any a second time."""
        rounds = -(-n // len(self.rows))
        order = torch.cat([torch.randperm(len(self.rows), generator=generator) for _ in range(rounds)])
        return self.rows[order[:n].to(self.rows.device)]


@dataclass(frozen=True)
class Real(Method):
    """Half of the training images, at most 10,000, as they are."""

    name = "real"

    images: PositiveInt = 10_000

    def build(self, spec: DataSpec) -> RealModel:
        """Room for its rows."""
        return RealModel(spec, self.images)

    def fit(self, model: Model, train: Samples, run: Run) -> None:
        """Copies random rows."""
        assert isinstance(model, RealModel)
        chosen = torch.randperm(len(train))[: len(model.rows)]
        model.copied_rows.copy_(chosen)
        for rows, x in zip(torch.split(model.rows, _BATCH), train.fetched(torch.split(chosen, _BATCH)), strict=True):
            rows.copy_(x)


@hookimpl
def benchsuite_methods() -> Sequence[type[Method]]:
    """Provides ``real``."""
    return [Real]
