"""Training losses that are no adversary's: the terms of the evidence lower bound."""

from __future__ import annotations

from torch import Tensor


def gaussian_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, exp(log_variance)) || N(0, I)), (N, d) each -> (N,) in nats.

    Source: Kingma and Welling, Auto-Encoding Variational Bayes (2013), appendix B.

    >>> import torch
    >>> gaussian_kl(torch.zeros(1, 3), torch.zeros(1, 3))
    tensor([0.])
    """
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)
