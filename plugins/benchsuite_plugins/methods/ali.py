"""Adversarially learned inference: encoder and decoder against one discriminator of pairs (x, z), joint-contrastive.

Source: Dumoulin et al., Adversarially Learned Inference (2016), algorithm 1, as in Velasquez Vergara, Generative
Adversarial Networks (2017), section 4.2, whose L_D has a sign error in its second term (both need a minus).
Pairs of data and their codes are the discriminator's real side. Any adversarial loss will do; the thesis's is
``kl``, under which the encoder minimises KL(q(z | x) p(x) || p(x | z) q(z)).

Changed: the decoder of images is deterministic, and learning rates fall linearly, the discriminator's from a fifth of
the others': from equal rates, 1e-3, ``fd`` on digits was 3.0 to 28 (seeds 7 to 9), from these 1.0 to 1.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from benchsuite import Method, NonNegative, Positive, hookimpl
from benchsuite.kit.adversarial import LOSSES, LossName, gradient_penalty
from benchsuite.kit.bidirectional import POSTERIOR, Bidirectional, BidirectionalModel
from benchsuite.kit.nets import Norm


@dataclass(frozen=True)
class ALI(Bidirectional):
    """Adversarially learned inference."""

    name = "ali"
    presets = {"posterior": POSTERIOR | {"loss": "kl"}}

    learning_rate: Positive = 5e-4
    discriminator_learning_rate: Positive | None = 1e-4
    loss: LossName = "non_saturating"
    gradient_penalty: NonNegative | None = None

    @property
    def penalty(self) -> float:
        """The weight of the gradient penalty: the one given, else the loss's own."""
        return LOSSES[self.loss].gradient_penalty if self.gradient_penalty is None else self.gradient_penalty

    @property
    def critic_norm(self) -> Norm:
        """A penalty is defined for one pair at a time."""
        return "layer" if self.penalty else "batch"

    def discriminator_loss(self, model: BidirectionalModel, x: Tensor) -> Tensor:
        """Data with codes from q(z | x) are real, codes of the prior with what they decode to fake."""
        with torch.no_grad():
            posterior, prior = model.draw_posterior(x), model.draw(len(x))
            decoded = model.observe(prior)
        loss = LOSSES[self.loss].discriminator(model.judge(x, posterior), model.judge(decoded, prior))
        if self.penalty:
            loss = loss + self.penalty * gradient_penalty(model.judge, (x, posterior), (decoded, prior))
        return loss

    def generator_loss(self, model: BidirectionalModel, x: Tensor) -> Tensor:
        """The decoder's part and the encoder's."""
        loss = LOSSES[self.loss]
        prior = model.draw(len(x))
        decoders = loss.generator(model.judge(model.observe(prior), prior)).mean()
        return decoders + loss.encoder(model.judge(x, model.draw_posterior(x))).mean()


@hookimpl
def benchsuite_methods() -> Sequence[type[Method]]:
    """Provides ``ali``."""
    return [ALI]
