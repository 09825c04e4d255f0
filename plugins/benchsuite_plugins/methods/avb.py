"""Adversarial variational Bayes, prior-contrastive: a VAE whose q(z | x) is any distribution that a network can sample.

Source: Mescheder, Nowozin, Geiger, Adversarial Variational Bayes (2017), algorithm 1, as in Velasquez Vergara,
Generative Adversarial Networks (2017), section 4.2. The discriminator learns log q(z) / q(z | x), codes of the prior
being labelled 1, and takes the place of the divergence in the evidence lower bound, so that its loss is no parameter.

The thesis's eq. 31 is upside down in print: under its own L_D, eq. 30, D / (1 - D) is q(z) / q(z | x), not its inverse.
Trained as printed, q(z | x) flees to a point far from the posterior. Here the sign is the one that eq. 29 needs.

Changed: learning rates fall linearly. Mescheder's adaptive contrast is not used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from benchsuite import Method, Positive, hookimpl
from benchsuite.kit.adversarial import LOSSES
from benchsuite.kit.bidirectional import Bidirectional, BidirectionalModel


@dataclass(frozen=True)
class AVB(Bidirectional):
    """Adversarial variational Bayes.

    ``sigma`` is the Gaussian likelihood's standard deviation, in units of images in [0, 1].
    """

    name = "avb"
    presets = {
        "posterior": {
            "latent_dim": 2,
            "epochs": 62,
            "batch_size": 256,
            "discriminator_learning_rate": 5e-3,
            "discriminator_steps": 3,
            "hidden": (20, 20, 20),
            "activation": "tanh",
            "noise_dim": 3,
            "likelihood": "exponential",
        },
    }

    sigma: Positive = 0.3

    def discriminator_loss(self, model: BidirectionalModel, x: Tensor) -> Tensor:
        """Cross entropy; codes of the prior are labelled 1, those of q(z | x) 0."""
        with torch.no_grad():
            prior, posterior = model.draw_prior(len(x)), model.draw_posterior(x)
        return LOSSES["minimax"].discriminator(model.judge(x, prior), model.judge(x, posterior))

    def generator_loss(self, model: BidirectionalModel, x: Tensor) -> Tensor:
        """The negative evidence lower bound."""
        z = model.draw_posterior(x)
        return (self.divergence(model.judge(x, z)) + model.negative_log_likelihood(x, z, self.sigma)).mean()

    def divergence(self, logits: Tensor) -> Tensor:
        """log q(z | x) / q(z) by the discriminator's logits, (N,) -> (N,) in nats: log (1 - D) / D."""
        return -logits


@hookimpl
def benchsuite_methods() -> Sequence[type[Method]]:
    """Provides ``avb``."""
    return [AVB]
