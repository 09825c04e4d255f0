"""Adversarial training: what every method with a generator and a discriminator shares.

Source: Goodfellow et al., Generative Adversarial Networks (2014), algorithm 1; the training step is that of the PyTorch
DCGAN tutorial: real and fake batches go through the discriminator apart, and the generator is judged by the updated
discriminator on the same samples. Changed: no gradient is computed for the discriminator in the generator's step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.data import RandomSampler

from benchsuite.contracts import DataSpec, Method, Model
from benchsuite.errors import ParameterError
from benchsuite.kit.adversarial import LOSSES, AdversarialLoss, LossName, gradient_penalty
from benchsuite.kit.models import LatentModel
from benchsuite.kit.nets import Norm, discriminator, frozen, generator
from benchsuite.kit.optimisers import OptimiserName, make_optimiser
from benchsuite.kit.priors import PRIORS, NormalPrior, PriorName, UniformPrior
from benchsuite.kit.samples import Samples
from benchsuite.kit.training import Run, Schedule, batch_sizes
from benchsuite.parameters import BelowOne, Between, Count, NonNegative, Positive, PositiveInt, Sizes

_TUTORIAL_PICTURES = 64

# The GAN of Kilcher, Lucchi, Hofmann, Flexible Prior Distributions for Deep Generative Models (2017), appendix D.
FLEXIBLE_PRIORS: dict[str, Any] = {
    "latent_dim": 20,
    "epochs": 40,
    "batch_size": 100,
    "optimiser": "rmsprop",
    "learning_rate": 3e-4,
    "discriminator_learning_rate": None,
    "final_rate": 1.0,
    "width": 64,
    "discriminator_channels": (512, 256, 128, 64),
}


class GANModel(LatentModel):
    """A generator (the ``decoder``) with its prior, and the discriminator it is trained against."""

    def __init__(self, spec: DataSpec, prior: nn.Module, decoder: nn.Module, critic: nn.Module) -> None:
        super().__init__(spec, prior, decoder)
        self.discriminator = critic


@dataclass(frozen=True)
class GAN(Method):
    """The training of a GANModel; subclasses build it, and may have another ``generator_step`` or ``objective``.

    Every batch is a step of the discriminator; after each ``discriminator_steps`` of these the generator makes
    ``generator_steps``, the first on the samples that the discriminator has just seen; the first ``warm_up`` batches
    are the discriminator's alone. Learning rates go by ``schedule`` to ``final_rate`` times their first values.
    ``beta1`` is Adam's, ``epsilon`` Adam's and RMSProp's. ``gradient_penalty`` is by default the loss's own.
    """

    latent_dim: PositiveInt | None = None
    epochs: Count = 40
    batch_size: PositiveInt = 64
    optimiser: OptimiserName = "adam"
    learning_rate: Positive = 2e-4
    discriminator_learning_rate: Positive | None = None
    beta1: BelowOne = 0.0
    epsilon: Positive = 1e-8
    weight_decay: NonNegative = 0.0
    schedule: Schedule = "linear"
    final_rate: NonNegative = 0.02
    prior: PriorName = "normal"
    loss: LossName = "non_saturating"
    gradient_penalty: NonNegative | None = None
    discriminator_steps: PositiveInt = 1
    generator_steps: PositiveInt = 1
    warm_up: Count = 0

    @property
    def objective(self) -> AdversarialLoss:
        """What discriminator and generator minimise."""
        return LOSSES[self.loss]

    @property
    def penalty(self) -> float:
        """The weight of the gradient penalty: the one given, else the loss's own."""
        return self.objective.gradient_penalty if self.gradient_penalty is None else self.gradient_penalty

    def fit(self, model: Model, train: Samples, run: Run) -> None:
        """Alternate steps of the discriminator and of the generator."""
        assert isinstance(model, GANModel)
        self.check_that_the_generator_learns(train, self.epochs)
        self.play(run.prepare(model), train, run, self.epochs)

    def play(self, model: GANModel, train: Samples, run: Run, epochs: int) -> None:
        """Alternate their steps for ``epochs`` passes over ``train``, with new optimisers."""
        optimiser = self.generator_optimiser(model)
        critic_rate = self.discriminator_learning_rate or self.learning_rate
        critic_optimiser = self.make_optimiser(self.optimiser, model.discriminator, critic_rate)
        batches = run.batches(
            train,
            batch_size=self.batch_size,
            epochs=epochs,
            state=(model, optimiser, critic_optimiser),
            shuffle=self.shuffle(),
        )
        total = epochs * len(batch_sizes(len(train), self.batch_size))
        for batch in batches:
            for each in (optimiser, critic_optimiser):
                run.decay(each, final=self.final_rate, schedule=self.schedule)
            done = round(run.fraction * total)  # batches of this loop; a counter would not survive an interruption
            generating = done >= self.warm_up and (done + 1) % self.discriminator_steps == 0
            z = model.draw(len(batch.x))
            with torch.set_grad_enabled(generating), run.autocast():
                fake = model.decoder(z)
            real = model.signal(batch.x)
            with run.autocast():
                loss = self.discriminator_loss(model, real, fake.detach())
            run.step(critic_optimiser, loss, name="discriminator")
            for step in range(self.generator_steps if generating else 0):
                if step:
                    z = model.draw(len(batch.x))
                    with run.autocast():
                        fake = model.decoder(z)
                self.generator_step(model, optimiser, z, fake, run)

    def check_that_the_generator_learns(self, train: Samples, epochs: int) -> None:
        """Raises ParameterError where ``epochs`` passes over ``train`` leave the generator no step."""
        batches = epochs * len(batch_sizes(len(train), self.batch_size))
        last = batches // self.discriminator_steps * self.discriminator_steps
        if batches and last <= self.warm_up:
            raise ParameterError(
                f"{self.name}: warm_up={self.warm_up} and discriminator_steps={self.discriminator_steps} leave the "
                f"generator no step in {batches} batches; raise epochs or lower these"
            )

    def shuffle(self) -> Callable[[int], Tensor] | None:
        """The order of each pass over the data, see ``Run.batches``; None for the run's own."""
        return None

    def discriminator_loss(self, model: GANModel, real: Tensor, fake: Tensor) -> Tensor:
        """The discriminator's loss on data and samples, (N, *shape) each in the networks' own range: a number."""
        critic = model.discriminator
        loss = self.objective.discriminator(critic(real), critic(fake))
        return loss + self.penalty * gradient_penalty(critic, [real], [fake]) if self.penalty else loss

    def generator_step(
        self, model: GANModel, optimiser: torch.optim.Optimizer, z: Tensor, fake: Tensor, run: Run
    ) -> None:
        """One step of the generator, whose samples of ``z`` are ``fake``, graph and all."""
        with frozen(model.discriminator), run.autocast():
            loss = self.objective.generator(model.discriminator(fake)).mean()
        run.step(optimiser, loss, name="generator")

    def make_prior(self, spec: DataSpec) -> NormalPrior | UniformPrior:
        """The distribution of codes that training begins with."""
        return PRIORS[self.prior](spec.latent_dim)

    def generator_optimiser(self, model: GANModel) -> torch.optim.Optimizer:
        """The generator's optimiser."""
        return self.make_optimiser(self.optimiser, model.decoder, self.learning_rate)

    def make_optimiser(self, name: OptimiserName, net: nn.Module, learning_rate: float) -> torch.optim.Optimizer:
        """The optimiser ``name`` with this method's settings."""
        settings = {"beta1": self.beta1, "epsilon": self.epsilon, "weight_decay": self.weight_decay}
        return make_optimiser(name, net.parameters(), learning_rate, **settings)


@dataclass(frozen=True)
class ConvGAN(GAN):
    """A GAN with networks of the DCGAN family, for vectors with MLPs.

    ``width`` is the channels at the outermost layer, doubling inwards, or the units of an MLP's layers; ``depth`` the
    number of stride-2 or hidden layers; ``discriminator_channels`` those of each of the discriminator's layers, in
    place of the two. ``norm`` is the discriminator's; ``auto`` is batch norm, and layer norm under a gradient penalty,
    which is defined for one sample at a time. ``tutorial_draws`` makes the random draws of the PyTorch DCGAN tutorial
    in its order, the same numbers on a CPU: a look at one batch, the networks, the codes of its pictures, and in each
    pass the order of rows and the codes of each batch.
    """

    width: PositiveInt = 32
    depth: PositiveInt | None = None
    kernel_size: Annotated[int, Between(2, 15)] = 4
    norm: Literal["auto", "batch", "layer", "none"] = "auto"
    discriminator_channels: Sizes | None = None
    tutorial_draws: bool = False

    def build(self, spec: DataSpec) -> GANModel:
        """Generator and discriminator, untrained. Raises ParameterError for a ``depth`` that the images rule out."""
        return GANModel(spec, self.make_prior(spec), *self.networks(spec))

    def networks(self, spec: DataSpec) -> tuple[nn.Module, nn.Module]:
        """(generator, discriminator), newly initialised."""
        if self.tutorial_draws:
            dataloader_order(spec.n_train)
        norm: Norm = ("layer" if self.penalty else "batch") if self.norm == "auto" else self.norm
        decoder = generator(spec.shape, spec.latent_dim, self.width, depth=self.depth, kernel_size=self.kernel_size)
        critic = discriminator(
            spec.shape,
            self.width,
            depth=self.depth,
            kernel_size=self.kernel_size,
            norm=norm,
            channels=self.discriminator_channels,
        )
        return decoder, critic

    def fit(self, model: Model, train: Samples, run: Run) -> None:
        """Alternate steps of the discriminator and of the generator."""
        if self.tutorial_draws:
            assert isinstance(model, GANModel)
            model.draw(_TUTORIAL_PICTURES)
        super().fit(model, train, run)

    def shuffle(self) -> Callable[[int], Tensor] | None:
        """The run's own order, or the tutorial's."""
        return dataloader_order if self.tutorial_draws else None


def dataloader_order(n: int) -> Tensor:
    """The order in which torch's DataLoader would now go through ``n`` shuffled rows, (n,), by the same draws."""
    torch.empty((), dtype=torch.int64).random_()  # the seed of its workers
    return torch.tensor(list(RandomSampler(range(n))))
