"""DCGAN: a generator against a discriminator, both convolutional.

Source: Radford, Metz, Chintala, Unsupervised Representation Learning with Deep Convolutional Generative Adversarial
Networks (2015); training step as in the PyTorch DCGAN tutorial (real and fake batches through the discriminator apart,
the generator against the updated discriminator on the same samples). Changed: narrower, smaller batches and learning
rates that fall linearly to 2%, for small images; Adam without its first moment (beta1 = 0 for 0.5), which brought
``fd`` on digits from 2.29 to 1.86 (means of seeds 7 to 11, each of them lower); no gradient is computed for the
discriminator in the generator's step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from benchsuite import Count, DataSpec, Fraction, Method, Model, Positive, PositiveInt, Run, Samples, hookimpl
from benchsuite.kit.losses import AdversarialLoss, discriminator_loss, generator_loss
from benchsuite.kit.models import LatentModel
from benchsuite.kit.nets import discriminator, frozen, generator
from benchsuite.kit.priors import NormalPrior, UniformPrior

Prior = Literal["normal", "uniform"]


class DCGANModel(LatentModel):
    """A generator with a fixed prior, and the discriminator it was trained against."""

    def __init__(self, spec: DataSpec, width: int, prior: Prior) -> None:
        priors: dict[Prior, type[nn.Module]] = {"normal": NormalPrior, "uniform": UniformPrior}
        decoder = generator(spec.shape, spec.latent_dim, width)
        super().__init__(spec, priors[prior](spec.latent_dim), decoder)
        self.discriminator = discriminator(spec.shape, width)


@dataclass(frozen=True)
class DCGAN(Method):
    """Deep convolutional generative adversarial network."""

    name = "dcgan"

    latent_dim: PositiveInt | None = None
    epochs: Count = 40
    batch_size: PositiveInt = 64
    learning_rate: Positive = 2e-4
    beta1: Fraction = 0.0
    width: PositiveInt = 32
    prior: Prior = "normal"
    loss: AdversarialLoss = "non_saturating"

    def build(self, spec: DataSpec) -> DCGANModel:
        """Generator and discriminator, untrained."""
        return DCGANModel(spec, self.width, self.prior)

    def fit(self, model: Model, train: Samples, run: Run) -> None:
        """One discriminator step and one generator step a batch."""
        assert isinstance(model, DCGANModel)
        model = run.prepare(model)
        net, critic = model.decoder, model.discriminator
        net_optimiser, critic_optimiser = self._adam(net), self._adam(critic)
        state = (model, net_optimiser, critic_optimiser)
        for batch in run.batches(train, batch_size=self.batch_size, epochs=self.epochs, state=state):
            run.decay(net_optimiser, final=0.02)
            run.decay(critic_optimiser, final=0.02)
            z: Tensor = model.prior.sample(len(batch.x))  # type: ignore[operator]
            with run.autocast():
                fake = net(z)
                loss = discriminator_loss(critic(model.signal(batch.x)), critic(fake.detach()))
            run.step(critic_optimiser, loss, name="discriminator")
            with frozen(critic), run.autocast():
                loss = generator_loss(self.loss, critic(fake))
            run.step(net_optimiser, loss, name="generator")

    def _adam(self, net: nn.Module) -> torch.optim.Adam:
        return torch.optim.Adam(net.parameters(), lr=self.learning_rate, betas=(self.beta1, 0.999), fused=True)


@hookimpl
def benchsuite_methods() -> Sequence[type[Method]]:
    """Provides ``dcgan``."""
    return [DCGAN]
