"""Adversarial losses, one table of them: what a discriminator and the networks it judges minimise.

All but three of the discriminators learn the log ratio log p(x) / q(x) of data to samples by cross entropy; a generator
loss named after a divergence then has that divergence's gradient, the ratio held still. ``least_squares`` learns
p / (p + q), ``wasserstein`` a potential whose slope is at most 1, ``hinge`` the sign of p - q.

Source: Goodfellow et al., Generative Adversarial Networks (2014), section 3; Nowozin et al., f-GAN (2016), table 1;
Velasquez Vergara, Generative Adversarial Networks (2017), section 3.3. Its eq. 19 lacks a minus before the second term,
and its f* of the Kullback-Leibler divergence has e^(1-t) for e^(t-1) on the way; its final losses are right.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Elementwise = Callable[[Tensor], Tensor]
_LOG_2 = math.log(2)

LossName = Literal[
    "non_saturating",
    "minimax",
    "kl",
    "reverse_kl",
    "js",
    "pearson",
    "least_squares",
    "wasserstein",
    "hinge",
]


@dataclass(frozen=True)
class AdversarialLoss:
    """Functions of a discriminator's outputs, (N,) -> (N,), to be averaged and minimised.

    ``real`` and ``fake`` are the discriminator's, on data and on samples; ``generator`` that of the network that makes
    the samples; ``encoder`` that of a network that takes part in the data's side, as the encoder of adversarially
    learned inference does. ``gradient_penalty`` is the weight that the discriminator's slope needs by default.
    """

    real: Elementwise
    fake: Elementwise
    generator: Elementwise
    encoder: Elementwise
    gradient_penalty: float = 0.0

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """The discriminator's loss on its outputs for data (N,) and for samples (M,): a number."""
        return self.real(real).mean() + self.fake(fake).mean()


def f_divergence(f: Elementwise, derivative: Elementwise, conjugate: Elementwise) -> AdversarialLoss:
    """The loss of D_f(p || q) = E_q[f(p / q)] for a convex ``f`` with f(1) = 0, its derivative and its conjugate.

    With u = p / q the generator minimises -E_q[f*(f'(u))] and an encoder E_p[f'(u)]; the discriminator learns log u by
    cross entropy. Raises ValueError where f(1) is not 0 or f*(f'(u)) is not u f'(u) - f(u), the mark of a conjugate.
    The three are called with float64, u from exp(-700) to exp(700) as far as the discriminator goes.

    Source: Nowozin et al. (2016), eq. 4; Velasquez Vergara (2017), eq. 17.

    >>> hellinger = f_divergence(lambda u: (u.sqrt() - 1) ** 2, lambda u: 1 - u**-0.5, lambda t: t / (1 - t))
    >>> hellinger.generator(torch.zeros(1))
    tensor([-0.])
    """
    u = torch.logspace(-2, 2, 9, base=2, dtype=torch.float64)
    slope = derivative(u)
    if not torch.allclose(f(torch.ones_like(u)), torch.zeros_like(u), atol=1e-9):
        raise ValueError(f"an f-divergence needs f(1) = 0; got {float(f(u[4:5])):g}")
    if not torch.allclose(conjugate(slope), u * slope - f(u), atol=1e-9):
        raise ValueError(
            "conjugate(derivative(u)) is not u derivative(u) - f(u); check the derivative and the conjugate"
        )
    return AdversarialLoss(
        real=_cross_entropy_real,
        fake=_cross_entropy_fake,
        generator=lambda logits: -conjugate(derivative(logits.double().exp())).to(logits.dtype),
        encoder=lambda logits: derivative(logits.double().exp()).to(logits.dtype),
    )


def gradient_penalty(critic: Callable[..., Tensor], real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """E[(|gradient of the critic| - 1)^2] at random points between ``real`` and ``fake``.

    Both hold what the critic takes, (N, *shape) each: one tensor, or data and codes.

    Source: Gulrajani et al., Improved Training of Wasserstein GANs (2017), algorithm 1.
    """
    share = torch.rand(len(real[0]), device=real[0].device)
    between = []
    for a, b in zip(real, fake, strict=True):
        weight = share.to(a.dtype).view(-1, *[1] * (a.ndim - 1))
        between.append(torch.lerp(a.detach(), b.detach().to(a.dtype), weight).requires_grad_())
    slopes = torch.autograd.grad(critic(*between).sum(), between, create_graph=True)
    length = torch.cat([slope.flatten(1) for slope in slopes], 1).norm(dim=1)
    penalty: Tensor = (length - 1).square().mean()
    return penalty


def _cross_entropy_real(logits: Tensor) -> Tensor:
    return F.softplus(-logits)  # -log D


def _cross_entropy_fake(logits: Tensor) -> Tensor:
    return F.softplus(logits)  # -log(1 - D)


def _by_cross_entropy(generator: Elementwise, encoder: Elementwise) -> AdversarialLoss:
    return AdversarialLoss(_cross_entropy_real, _cross_entropy_fake, generator, encoder)


# The divergences among these are written in terms of the logit l = log u, which f_divergence would overflow.
LOSSES: Mapping[LossName, AdversarialLoss] = MappingProxyType(
    {
        # -E[log D]: the gradient of KL(q || p) - 2 JS(p, q) (Arjovsky and Bottou, 2017, theorem 2.5)
        "non_saturating": _by_cross_entropy(generator=_cross_entropy_real, encoder=_cross_entropy_fake),
        # E[log(1 - D)]: the gradient of 2 JS(p, q)
        "minimax": _by_cross_entropy(lambda out: -F.softplus(out), lambda out: -F.softplus(-out)),
        # f = u log u, KL(p || q)
        "kl": _by_cross_entropy(lambda out: -out.exp(), lambda out: out),
        # f = -log u, KL(q || p)
        "reverse_kl": _by_cross_entropy(lambda out: -out, lambda out: -(-out).exp()),
        # f = u log u - (u + 1) log((u + 1) / 2), 2 JS(p, q): minimax but for constants
        "js": _by_cross_entropy(lambda out: _LOG_2 - F.softplus(out), lambda out: _LOG_2 - F.softplus(-out)),
        # f = (u - 1)^2, chi^2 = E_q[(p / q - 1)^2]
        "pearson": _by_cross_entropy(lambda out: 1 - (2 * out).exp(), lambda out: 2 * out.exp() - 2),
        # Mao et al., Least Squares Generative Adversarial Networks (2017), eq. 9
        "least_squares": AdversarialLoss(
            real=lambda out: 0.5 * (out - 1).square(),
            fake=lambda out: 0.5 * out.square(),
            generator=lambda out: 0.5 * (out - 1).square(),
            encoder=lambda out: 0.5 * out.square(),
        ),
        # Gulrajani et al. (2017), eq. 3
        "wasserstein": AdversarialLoss(
            real=torch.neg,
            fake=torch.clone,
            generator=torch.neg,
            encoder=torch.clone,
            gradient_penalty=10.0,
        ),
        # Lim and Ye, Geometric GAN (2017), eqs. 11 and 12
        "hinge": AdversarialLoss(
            real=lambda out: F.relu(1 - out),
            fake=lambda out: F.relu(1 + out),
            generator=torch.neg,
            encoder=torch.clone,
        ),
    }
)
