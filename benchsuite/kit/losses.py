"""Training losses that are no adversary's: the terms of the evidence lower bound."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def gaussian_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, exp(log_variance)) || N(0, I)), (N, d) each -> (N,) in nats.

    Source: Kingma and Welling, Auto-Encoding Variational Bayes (2013), appendix B.

    >>> gaussian_kl(torch.zeros(1, 3), torch.zeros(1, 3))
    tensor([0.])
    """
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)


def gaussian_energy(x_hat: Tensor, x: Tensor, sigma: float) -> Tensor:
    """|x_hat - x|^2 / (2 sigma^2), (N, *shape) each -> (N,): -log N(x; x_hat, sigma^2 I) in nats, less its constant.

    >>> gaussian_energy(torch.zeros(1, 2), torch.ones(1, 2), sigma=0.5)
    tensor([4.])
    """
    return (x_hat - x).square().flatten(1).sum(1) / (2 * sigma**2)


def bernoulli_energy(p: Tensor, x: Tensor) -> Tensor:
    """The cross entropy -x log p - (1 - x) log(1 - p), both in [0, 1], summed: (N, *shape) each -> (N,) in nats.

    For x of 0 and 1 it is -log p(x), for others a loss of the same form. Logarithms are cut at -100. In float32 at
    least, also under autocast, whose p is coarse.

    >>> bernoulli_energy(torch.tensor([[0.5, 1.0]]), torch.tensor([[0.0, 1.0]]))
    tensor([0.6931])
    """
    at_least = torch.promote_types(p.dtype, torch.float32)
    with torch.autocast(p.device.type, enabled=False):
        return F.binary_cross_entropy(p.to(at_least), x.to(at_least), reduction="none").flatten(1).sum(1)
