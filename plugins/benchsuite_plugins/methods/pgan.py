"""A GAN whose prior is learnt from the codes of the data, by a second GAN, and which is then trained further under it.

Source: Kilcher, Lucchi, Hofmann, Flexible Prior Distributions for Deep Generative Models (2017), sections 2.1 and 3.
Stages: ``gan`` trains under the given prior; ``reverse`` finds the code of each training image (algorithm 1); ``prior``
trains the second GAN, four fully connected layers each, whose generator takes normal vectors of at least as many
dimensions to such codes; ``retrain`` goes on with the first GAN, codes being drawn from the second. ``rounds`` repeats
all but the first, with the second GAN going on from where it was.

Changed by default: the DCGAN's own settings, and Adam for the second GAN, in place of RMSProp at 3e-4 for all networks,
which the preset ``flexible_priors`` has; learning rates fall to 2% in each stage; the two stages of the first GAN have
20 epochs each, together those of ``dcgan``. The paper states no number of epochs or of reversal steps, nor which
optimiser its reversal's learning rate, 0.05, is for; the preset has 300 steps of RMSProp.

The codes depend on how far reversal goes, and with them all that follows: on digits with 20 dimensions, trained for 60
epochs, their mean square is 0.6 by 300 steps of RMSProp at 0.01 and 2.0 at 0.05, for reconstructions of 24.3 and 26.0
dB. Where codes come out longer than the first prior's, retraining lengthens them further; the default, 100 steps
at 0.02, keeps them shorter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from benchsuite import Count, DataSpec, Method, Model, ParameterError, Positive, PositiveInt, Run, Samples, hookimpl
from benchsuite.kit.gan import FLEXIBLE_PRIORS, GAN, ConvGAN, GANModel
from benchsuite.kit.nets import discriminator, generator
from benchsuite.kit.priors import NormalPrior, UniformPrior
from benchsuite.kit.recovery import recover
from benchsuite.kit.solvers import Adam, GradientDescent, RMSProp, Solver

_HIDDEN = 3  # of four fully connected layers
_START = 1e-4  # the standard deviation of codes where reversal begins
_RATE = 0.02  # of reversal, in units of codes
_ROWS = 256  # reversed at once


class InducedPrior(nn.Module):
    """The codes that a second GAN makes of normal vectors, once it is ``learnt``; until then those of the ``first``."""

    learnt: Tensor

    def __init__(self, first: NormalPrior | UniformPrior, second: GANModel) -> None:
        super().__init__()
        self.first = first
        self.second = second
        self.register_buffer("learnt", torch.zeros((), dtype=torch.bool))

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """(n, d). With a CPU ``generator`` drawn there; without, from the device's global one."""
        if not self.learnt:
            return self.first.sample(n, generator)
        z: Tensor = self.second.decoder(self.second.prior.sample(n, generator))  # type: ignore[operator]
        return z


class PGANModel(GANModel):
    """A GAN with an InducedPrior."""

    prior: InducedPrior


@dataclass(frozen=True)
class _CodeGAN(GAN):
    """The second GAN, whose data are codes."""

    name = "pgan"

    width: PositiveInt = 128

    def build(self, spec: DataSpec) -> GANModel:
        """Networks of four fully connected layers each."""
        decoder = generator(spec.shape, spec.latent_dim, self.width, depth=_HIDDEN)
        critic = discriminator(spec.shape, self.width, depth=_HIDDEN)
        return GANModel(spec, NormalPrior(spec.latent_dim), decoder, critic)


@dataclass(frozen=True)
class PGAN(ConvGAN):
    """A GAN retrained under the prior that the data induce.

    ``epochs`` are those of stage ``gan``, ``retraining_epochs`` of each ``retrain``, ``prior_epochs`` of ``prior``.
    ``reversal_rate`` is by default 0.02, for gradient descent 1 / L of each code, see benchsuite.kit.solvers.
    ``prior_latent_dim`` is the second GAN's, by default that of codes, ``prior_width`` the units of its layers.
    Optimiser, its settings, schedule and batch size are both GANs'; loss, penalty and numbers of steps are the first's.
    ``retraining_prior=first`` is the control: the same further training under the first prior, and nothing reversed.
    """

    name = "pgan"
    presets = {
        "flexible_priors": FLEXIBLE_PRIORS
        | {
            "reversal": "rmsprop",
            "reversal_steps": 300,
            "reversal_rate": 0.05,
            "prior_learning_rate": 3e-4,
            "prior_discriminator_learning_rate": None,
        },
    }

    learning_rate: Positive = 8e-4
    discriminator_learning_rate: Positive | None = 2e-4
    epochs: Count = 20
    retraining_epochs: Count = 20
    retraining_prior: Literal["induced", "first"] = "induced"
    rounds: PositiveInt = 1
    reversal: Literal["rmsprop", "adam", "gradient_descent"] = "rmsprop"
    reversal_steps: PositiveInt = 100
    reversal_rate: Positive | None = None
    prior_epochs: PositiveInt = 100
    prior_learning_rate: Positive = 1e-3
    prior_discriminator_learning_rate: Positive | None = 4e-3
    prior_latent_dim: PositiveInt | None = None
    prior_width: PositiveInt = 128

    def build(self, spec: DataSpec) -> PGANModel:
        """Both GANs, untrained. Raises ParameterError for a ``prior_latent_dim`` below the size of codes."""
        dim = self.prior_latent_dim or spec.latent_dim
        if dim < spec.latent_dim:
            raise ParameterError(
                f"{self.name}: prior_latent_dim={dim} is not allowed; codes have {spec.latent_dim} dimensions, and the "
                "second GAN needs at least as many"
            )
        networks = self.networks(spec)
        codes = DataSpec((spec.latent_dim,), "vector", spec.n_train, latent_dim=dim)
        with torch.random.fork_rng(devices=[]):  # what follows draws as it would for a GAN alone
            second = self.code_gan().build(codes)
        prior = InducedPrior(self.make_prior(spec), second)
        return PGANModel(spec, prior, *networks)

    def fit(self, model: Model, train: Samples, run: Run) -> None:
        """Train, then in each round reverse, learn the prior, and retrain; each is a stage."""
        assert isinstance(model, PGANModel)
        self.check_that_the_generator_learns(train, self.retraining_epochs)
        run.stage("gan", lambda: super(PGAN, self).fit(model, train, run), (model,))
        model = run.prepare(model)
        for number in range(1, self.rounds + 1):
            if self.retraining_prior == "induced":
                self._induce(model, train, run, number)
            if run.stopped_early:
                return
            run.stage(f"retrain {number}", lambda: self.play(model, train, run, self.retraining_epochs), (model,))

    def _induce(self, model: PGANModel, train: Samples, run: Run, number: int) -> None:
        codes = torch.zeros(len(train), model.latent_dim, device=run.device)
        run.stage(f"reverse {number}", lambda: self.reverse(model, train, run, codes), (codes,))
        if not run.stopped_early:  # some are zeros still
            run.stage(f"prior {number}", lambda: self.learn_prior(model, codes, run), (model,))

    def reverse(self, model: PGANModel, train: Samples, run: Run, codes: Tensor) -> None:
        """Fill ``codes`` (n_train, d) with those whose samples come closest to ``train``.

        Source: Kilcher, Lucchi, Hofmann (2017), algorithm 1 and appendix D.
        """
        for batch in run.batches(train, batch_size=_ROWS, epochs=1, state=(codes,), shuffle=torch.arange):
            start = _START * torch.randn(1, len(batch.x), model.latent_dim, device=run.device)
            found = recover(model.decode, batch.x, start, solver=self.solver(), net=model)
            codes[batch.index] = found.codes
            run.log("reversal_mse", found.loss.mean())

    def solver(self) -> Solver:
        """What reverses: ``reversal`` with its steps and rate."""
        if self.reversal == "gradient_descent":
            return GradientDescent(self.reversal_steps, learning_rate=self.reversal_rate, momentum=0.0)
        rate = self.reversal_rate or _RATE
        if self.reversal == "rmsprop":
            return RMSProp(self.reversal_steps, learning_rate=rate)
        return Adam(self.reversal_steps, learning_rate=rate, final_rate=1.0)

    def learn_prior(self, model: PGANModel, codes: Tensor, run: Run) -> None:
        """Fit the second GAN to ``codes`` (n_train, d), and have the prior be its."""
        self.code_gan().play(model.prior.second, Samples(codes), run, self.prior_epochs)
        if not run.stopped_early:
            model.prior.learnt.fill_(True)

    def code_gan(self) -> _CodeGAN:
        """The second GAN: its optimiser, schedule and batch size are this one's, its loss and steps the defaults."""
        return _CodeGAN(
            batch_size=self.batch_size,
            optimiser=self.optimiser,
            learning_rate=self.prior_learning_rate,
            discriminator_learning_rate=self.prior_discriminator_learning_rate,
            beta1=self.beta1,
            epsilon=self.epsilon,
            schedule=self.schedule,
            final_rate=self.final_rate,
            width=self.prior_width,
        )


@hookimpl
def benchsuite_methods() -> Sequence[type[Method]]:
    """Provides ``pgan``."""
    return [PGAN]
