"""Subproblem GAN: the generator's step split into making inverse examples and regressing on them.

Source: Weber, Exploiting the Hidden Tasks of GANs: Making Implicit Subproblems Explicit (2021), algorithm 1. With
``regression_loss=l2`` (half the sum of squares), SGD in both subproblems and one step each, an update is that of the
standard GAN with the learning rate inversion_rate * regression_rate, for every loss (eq. 13).

Read with care: algorithm 1 divides both rates by their numbers of steps, section 5.1 states rates that are divided
already; here they are given undivided. Eq. 13 is about SGD. Under Adam, which the paper's experiments use, the size of
a step does not depend on inversion_rate, so that inversion_rate=0.25, regression_rate=0.0008 is a learning rate four
times the baseline's, as dcgan's default is. On digits ``fd`` was 1.13 so, 1.64 for dcgan with 0.0002 and 1.04 for dcgan
with 0.0008 (means of seeds 7 and 8): the gain is the learning rate's.

Changed: rates fall linearly by default, as dcgan's do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchsuite import DataSpec, Method, NonNegative, ParameterError, Positive, PositiveInt, Run, hookimpl
from benchsuite.kit.adversarial import LOSSES, LossName
from benchsuite.kit.gan import ConvGAN, GANModel
from benchsuite.kit.optimisers import OptimiserName
from benchsuite.kit.similarity import total_variation
from benchsuite.kit.subproblems import REGRESSIONS, RegressionLoss, inverse_change
from benchsuite.kit.training import Schedule

_KEPT = 8


class SubproblemGANModel(GANModel):
    """A GANModel that may keep eight samples of the last batch and the inverse examples made of them."""

    samples: Tensor
    inverse_examples: Tensor
    kept: Tensor

    def __init__(self, spec: DataSpec, prior: nn.Module, decoder: nn.Module, critic: nn.Module, keep: bool) -> None:
        super().__init__(spec, prior, decoder, critic)
        for name in ("samples", "inverse_examples"):
            self.register_buffer(name, torch.zeros(_KEPT if keep else 0, *spec.shape))
        self.register_buffer("kept", torch.tensor(0))

    def keep(self, fake: Tensor, examples: Tensor) -> None:
        """Keep the first of these for ``pictures``."""
        n = min(len(fake), len(self.samples))
        for kept, new in ((self.samples, fake), (self.inverse_examples, examples)):
            kept.zero_()[:n] = new[:n]
        self.kept.fill_(n)

    def pictures(self) -> Mapping[str, Tensor]:
        """A row of samples, one of their inverse examples, and one of the difference, enlarged to the full range."""
        if self.kind != "image" or not self.kept:
            return {}
        difference = self.inverse_examples - self.samples
        rows = [self.samples, self.inverse_examples, difference / difference.abs().max().clamp_min(1e-12)]
        return {"inverse_examples": ((torch.cat(rows) + 1) / 2).clamp(0, 1)}


@dataclass(frozen=True)
class SubproblemGAN(ConvGAN):
    """DCGAN whose generator regresses on inverse examples.

    delta_1 is ``inversion_loss`` (by default ``loss``) and ``inversion_smoothness`` times total variation, averaged
    over the batch; lambda_1 is ``inversion_rate``. delta_2 is ``regression_loss`` and ``regression_smoothness`` times
    total variation, summed over the batch; lambda_2 is ``regression_rate``, by default learning_rate / inversion_rate.
    lambda_1 goes by ``inversion_schedule`` to ``inversion_final`` times its value, lambda_2 by ``regression_schedule``
    to ``regression_final`` times its own, by default as the discriminator's rate does. The inversion's optimiser starts
    anew with each batch, since its variables do; ``beta1``, ``epsilon`` and ``weight_decay`` are not for it.
    """

    name = "subproblem_gan"
    presets = {
        "hidden_tasks": {
            "latent_dim": 100,
            "epochs": 10,
            "batch_size": 128,
            "beta1": 0.5,
            "final_rate": 1.0,
            "width": 64,
            "tutorial_draws": True,
        },
    }

    inversion_loss: LossName | None = None
    inversion_smoothness: NonNegative = 0.0
    inversion_rate: Positive = 0.25
    inversion_steps: PositiveInt = 1
    inversion_optimiser: OptimiserName = "sgd"
    inversion_schedule: Schedule = "linear"
    inversion_final: NonNegative = 1.0
    regression_loss: RegressionLoss = "l2"
    regression_smoothness: NonNegative = 0.0
    regression_rate: Positive | None = None
    regression_steps: PositiveInt = 1
    regression_optimiser: OptimiserName | None = None
    regression_schedule: Schedule | None = None
    regression_final: NonNegative | None = None
    keep_inverse_examples: bool = False

    def build(self, spec: DataSpec) -> SubproblemGANModel:
        """Generator and discriminator, untrained. Raises ParameterError for image losses on vectors."""
        for_images = {
            "regression_loss=ssim": self.regression_loss == "ssim",
            "inversion_smoothness": self.inversion_smoothness > 0,
            "regression_smoothness": self.regression_smoothness > 0,
            "keep_inverse_examples": self.keep_inverse_examples,
        }
        if spec.kind == "vector" and any(for_images.values()):
            asked = ", ".join(name for name, wanted in for_images.items() if wanted)
            raise ParameterError(f"{self.name}: {asked} needs images; got vectors of shape {spec.shape}")
        return SubproblemGANModel(spec, self.make_prior(spec), *self.networks(spec), keep=self.keep_inverse_examples)

    def generator_optimiser(self, model: GANModel) -> torch.optim.Optimizer:
        """The optimiser of the regression, with lambda_2 / N_2."""
        rate = self.regression_rate or self.learning_rate / self.inversion_rate
        name = self.regression_optimiser or self.optimiser
        return self.make_optimiser(name, model.decoder, rate / self.regression_steps)

    def generator_step(
        self, model: GANModel, optimiser: torch.optim.Optimizer, z: Tensor, fake: Tensor, run: Run
    ) -> None:
        """Make inverse examples of ``fake`` and regress the generator on them."""
        assert isinstance(model, SubproblemGANModel)
        start = fake.detach().to(torch.promote_types(fake.dtype, torch.float32))
        change = self.invert(model, start, run)
        final = self.final_rate if self.regression_final is None else self.regression_final
        run.decay(optimiser, final=final, schedule=self.regression_schedule or self.schedule)
        model.keep(start, start + change)
        for step in range(self.regression_steps):
            with run.autocast():
                output = fake if step == 0 else model.decoder(z)  # a second pass would move the batch norm's averages
            output = output.to(start.dtype)
            loss = REGRESSIONS[self.regression_loss](output, start, change)
            if self.regression_smoothness:
                loss = loss + self.regression_smoothness * total_variation(output).sum()
            run.step(optimiser, loss, name="regression")

    def invert(self, model: GANModel, start: Tensor, run: Run) -> Tensor:
        """What N_1 steps down delta_1 add to ``start`` to make inverse examples of it, (N, *shape)."""
        delta_1 = (LOSSES[self.inversion_loss] if self.inversion_loss else self.objective).generator
        return inverse_change(
            model.discriminator,
            start,
            delta_1,
            rate=self.inversion_rate * run.decay_factor(self.inversion_final, self.inversion_schedule),
            steps=self.inversion_steps,
            optimiser=self.inversion_optimiser,
            smoothness=self.inversion_smoothness,
            autocast=run.autocast,
        )


@hookimpl
def benchsuite_methods() -> Sequence[type[Method]]:
    """Provides ``subproblem_gan``."""
    return [SubproblemGAN]
