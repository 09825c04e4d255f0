"""Optimisers: torch's by name, and one for codes, of which a batch touches only its own rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor, nn

OptimiserName = Literal["adam", "rmsprop", "sgd"]


def make_optimiser(
    name: OptimiserName,
    parameters: Iterable[Tensor],
    learning_rate: float,
    *,
    beta1: float = 0.9,
    epsilon: float = 1e-8,
    weight_decay: float = 0.0,
) -> torch.optim.Optimizer:
    """torch's optimiser ``name``; ``beta1`` is Adam's first moment, ``epsilon`` Adam's and RMSProp's.

    ``weight_decay`` adds that multiple of each parameter to its gradient, as torch does.
    """
    if name == "sgd":
        return torch.optim.SGD(parameters, lr=learning_rate, weight_decay=weight_decay)
    if name == "rmsprop":
        return torch.optim.RMSprop(parameters, lr=learning_rate, eps=epsilon, weight_decay=weight_decay)
    betas = (beta1, 0.999)
    return torch.optim.Adam(
        parameters, lr=learning_rate, betas=betas, eps=epsilon, weight_decay=weight_decay, fused=True
    )


class RowAdam(nn.Module):
    """Adam for the rows of a table, each row with its own moments and step count.

    A step costs what its batch costs, whatever the size of the table, and rows outside the batch do not move (which
    they would under torch's Adam, by momentum). A module, so that its state is saved like any other.

    Source: Kingma and Ba, Adam (2014), algorithm 1.
    """

    first: Tensor
    second: Tensor
    steps: Tensor

    def __init__(self, table: Tensor, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8) -> None:
        """``table`` is (N, d) and gives the size only."""
        super().__init__()
        self.register_buffer("first", torch.zeros_like(table))
        self.register_buffer("second", torch.zeros_like(table))
        self.register_buffer("steps", torch.zeros(len(table), 1, dtype=table.dtype, device=table.device))
        self.betas, self.eps = betas, eps

    def direction(self, rows: Tensor, gradient: Tensor) -> Tensor:
        """The step of ``rows`` (n,) for their ``gradient`` (n, d), to be multiplied by minus the learning rate."""
        beta1, beta2 = self.betas
        steps = self.steps[rows] + 1
        first = self.first[rows] * beta1 + gradient * (1 - beta1)
        second = self.second[rows] * beta2 + gradient.square() * (1 - beta2)
        self.first[rows], self.second[rows], self.steps[rows] = first, second, steps
        # In single precision 1 - beta^steps would lose four of its seven digits at the first step.
        unbiased_first: Tensor = first / (1 - beta1 ** steps.double()).to(first.dtype)
        unbiased_second: Tensor = second / (1 - beta2 ** steps.double()).to(first.dtype)
        return torch.div(unbiased_first, unbiased_second.sqrt() + self.eps)


def project_to_ball(z: Tensor) -> Tensor:
    """Each row divided by max(its norm, 1), (N, d) -> (N, d).

    Source: Bojanowski et al., Optimizing the Latent Space of Generative Networks, section 2 (whose text says sphere).

    >>> project_to_ball(torch.tensor([[3.0, 4.0], [0.3, 0.4]]))
    tensor([[0.6000, 0.8000],
            [0.3000, 0.4000]])
    """
    return torch.div(z, z.norm(dim=1, keepdim=True).clamp_min(1))


def project_to_sphere(z: Tensor) -> Tensor:
    """Each row divided by its norm, (N, d) -> (N, d); the first unit vector for a row of zeros, which is near no point.

    >>> project_to_sphere(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    tensor([[0.6000, 0.8000],
            [1.0000, 0.0000]])
    """
    largest = z.abs().amax(1, keepdim=True)
    scaled = z / largest.where(largest > 0, torch.ones_like(largest))  # squares of tiny or huge entries are not numbers
    first = torch.zeros_like(z)
    first[:, 0] = 1
    scaled = torch.where(largest > 0, scaled, first)
    return torch.div(scaled, scaled.norm(dim=1, keepdim=True))
