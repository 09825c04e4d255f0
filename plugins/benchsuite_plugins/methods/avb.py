"""Adversarial variational Bayes: a VAE whose q(z | x) is any distribution that a network can sample.

Source: Mescheder, Nowozin, Geiger, Adversarial Variational Bayes (2017), algorithms 1 and 2, as in Velasquez Vergara,
Generative Adversarial Networks (2017), section 4.2. Prior-contrastive (``contrast=prior``): a discriminator learns
log q(z) / q(z | x), codes of the prior being labelled 1, and takes the place of the divergence in the evidence lower
bound, so that its loss is no parameter. Adaptive (the default): it tells q(z | x) from the normal with the same mean
and covariance, estimated from further codes, and the rest of the divergence is in closed form; where the posterior is
narrow, as it is for images, no discriminator learns its ratio to the prior.

The thesis's eq. 31 is upside down in print: under its own L_D, eq. 30, D / (1 - D) is q(z) / q(z | x), not its inverse.
Trained as printed (``ratio=printed``), q(z | x) collapses to a single point, which in one seed of five lies far from
the posterior. Here the sign is the one that eq. 29 needs.

Changed: learning rates fall linearly; the adaptive contrast has a full covariance where Mescheder et al. have standard
deviations. On digits (seed 7) ``fd`` is 13.0 under the prior's contrast, 5.4 with deviations and 2.4 with the
covariance: with less, codes settle on thin surfaces that the discriminator does not see.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from benchsuite import Method, Positive, hookimpl
from benchsuite.kit.adversarial import LOSSES
from benchsuite.kit.bidirectional import POSTERIOR, Bidirectional, BidirectionalModel


class _Codes(NamedTuple):
    """One code for each row, (N, d), as it is judged, and the log volume (N,) it was divided by for that."""

    z: Tensor
    judged: Tensor
    log_volume: Tensor | None


@dataclass(frozen=True)
class AVB(Bidirectional):
    """Adversarial variational Bayes.

    ``sigma`` is the Gaussian likelihood's standard deviation, in units of images in [0, 1]. ``ratio=printed`` takes the
    discriminator's ratio as the thesis's eq. 31 prints it, upside down, to show what comes of it.
    """

    name = "avb"
    presets = {"posterior": POSTERIOR | {"contrast": "prior"}}

    sigma: Positive = 0.3
    contrast: Literal["adaptive", "prior"] = "adaptive"
    ratio: Literal["right", "printed"] = "right"

    def discriminator_loss(self, model: BidirectionalModel, x: Tensor) -> Tensor:
        """Cross entropy; codes of the contrast are labelled 1, those of q(z | x) 0."""
        with torch.no_grad():
            codes = self._codes(model, x)
            contrast = model.draw(len(x)) if codes.log_volume is None else torch.randn_like(codes.judged)
        return LOSSES["minimax"].discriminator(model.judge(x, contrast), model.judge(x, codes.judged))

    def generator_loss(self, model: BidirectionalModel, x: Tensor) -> Tensor:
        """The negative evidence lower bound."""
        codes = self._codes(model, x)
        divergence = self.log_ratio(model.judge(x, codes.judged))
        if codes.log_volume is not None:  # what lies between the contrast, a normal, and the prior
            # Its mean over q(z | x), whose moments it has. The density of a single code would leave outliers unbounded.
            log_normal = -0.5 * model.latent_dim * (1 + math.log(2 * math.pi)) - codes.log_volume
            log_prior: Tensor = model.prior.log_prob(codes.z)  # type: ignore[operator]
            divergence = divergence + log_normal - log_prior
        return (divergence + model.negative_log_likelihood(x, codes.z, self.sigma)).mean()

    def log_ratio(self, logits: Tensor) -> Tensor:
        """log q(z | x) less the log density of the contrast, by the discriminator's logits, (N,): log (1 - D) / D."""
        return -logits if self.ratio == "right" else logits

    def _codes(self, model: BidirectionalModel, x: Tensor) -> _Codes:
        if self.contrast == "prior":
            z = model.draw_posterior(x)
            return _Codes(z, z, None)
        draws = model.posterior_draws(x, 1 + 2 * model.latent_dim + 8)  # more than a covariance has rows
        z = draws[0].float()
        judged, log_volume = standardise(z, draws[1:].float())
        return _Codes(z, judged, log_volume)


def standardise(z: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """``z`` less the mean of ``others``, divided by the Cholesky factor of their covariance; and its log determinant.

    (N, d) and (K, N, d) with K > d -> (N, d) and (N,). Differentiable.
    """
    with torch.autocast(z.device.type, enabled=False):
        mean = others.mean(0)
        centred = (others - mean).movedim(0, 2)
        covariance = centred @ centred.mT / (others.shape[0] - 1)
        spread = covariance.diagonal(dim1=1, dim2=2).mean(1)
        # A floor for directions without spread. Not a number gives not a number, which ends a run as diverged.
        floor = (1e-5 * spread + 1e-12)[:, None, None] * torch.eye(z.shape[1], device=z.device)
        factor = torch.linalg.cholesky_ex(covariance + floor).L
        judged = torch.linalg.solve_triangular(factor, (z - mean)[:, :, None], upper=False).squeeze(2)
        return judged, factor.diagonal(dim1=1, dim2=2).log().sum(1)


@hookimpl
def benchsuite_methods() -> Sequence[type[Method]]:
    """Provides ``avb``."""
    return [AVB]
