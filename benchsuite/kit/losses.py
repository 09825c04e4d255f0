"""Training losses: adversarial ones by name, and the terms of the evidence lower bound.

A discriminator gives logits; trained by ``discriminator_loss`` to its optimum they are log p_data(x)/p_model(x),
which is what the generator losses named after divergences use.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

AdversarialLoss = Literal["non_saturating", "minimax", "kl", "reverse_kl"]


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-E_data[log D] - E_model[log(1 - D)], with D the sigmoid of the logits, (N,) and (M,) -> a number.

    Source: Goodfellow et al., Generative Adversarial Networks (2014), eq. 1.
    """
    return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()


def _minimax(logits: Tensor) -> Tensor:
    return -F.softplus(logits).mean()  # E[log(1 - D)]


def _non_saturating(logits: Tensor) -> Tensor:
    return F.softplus(-logits).mean()  # -E[log D]


def _kl(logits: Tensor) -> Tensor:
    return -logits.exp().mean()


def _reverse_kl(logits: Tensor) -> Tensor:
    return -logits.mean()


_GENERATOR_LOSSES: dict[str, Callable[[Tensor], Tensor]] = {
    "minimax": _minimax,
    "non_saturating": _non_saturating,
    "kl": _kl,
    "reverse_kl": _reverse_kl,
}


def generator_loss(name: AdversarialLoss, fake_logits: Tensor) -> Tensor:
    """The generator's loss on the logits of its samples, (N,) -> a number.

    With the density ratio frozen, the gradient of ``kl`` is that of KL(data || model) and the gradient of
    ``reverse_kl`` that of KL(model || data); ``minimax`` is E[log(1 - D)] and ``non_saturating`` -E[log D].

    Source: Goodfellow et al. (2014), section 3; Nowozin et al., f-GAN (2016), table 6.
    """
    return _GENERATOR_LOSSES[name](fake_logits)


def gaussian_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, exp(log_variance)) || N(0, I)), (N, d) each -> (N,) in nats.

    Source: Kingma and Welling, Auto-Encoding Variational Bayes (2013), appendix B.

    >>> import torch
    >>> gaussian_kl(torch.zeros(1, 3), torch.zeros(1, 3))
    tensor([0.])
    """
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)
