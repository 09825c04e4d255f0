"""GLO: a generator and one free code per training image, learnt together by reconstruction.

Source: Bojanowski, Joulin, Lopez-Paz, Szlam, Optimizing the Latent Space of Generative Networks (2018), eq. 1; mean
squared error, as the paper uses for MNIST. Codes stay in the unit ball: the text says sphere, its formula,
z / max(|z|, 1), is the ball. ``optimiser=sgd`` takes the paper's learning rates, 1 and 10, which fit a loss averaged
over pixels and batch and images in [-1, 1]. Changed by default: Adam with a state of its own for each code, which
reconstructs better in the same number of epochs, and codes that start as scaled principal components.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from benchsuite import Count, DataSpec, Method, Model, Positive, PositiveInt, Run, Samples, hookimpl
from benchsuite.kit.models import LatentModel
from benchsuite.kit.moments import principal_axes
from benchsuite.kit.nets import generator
from benchsuite.kit.optimisers import RowAdam, project_to_ball
from benchsuite.kit.priors import GaussianPrior

_LEARNING_RATES = {"adam": (2e-3, 2e-2), "sgd": (1.0, 10.0)}  # of the generator and of the codes


class GLOModel(LatentModel):
    """A decoder, the codes of the training rows (n_train, d), and a Gaussian fitted to them for sampling."""

    codes: Tensor

    def __init__(self, spec: DataSpec, width: int) -> None:
        decoder = generator(spec.shape, spec.latent_dim, width)
        super().__init__(spec, GaussianPrior(spec.latent_dim), decoder)
        codes = project_to_ball(torch.randn(spec.n_train, spec.latent_dim) / spec.latent_dim**0.5)
        self.register_buffer("codes", codes)

    def project(self, z: Tensor) -> Tensor:
        """The nearest codes in the unit ball."""
        return project_to_ball(z)


@dataclass(frozen=True)
class GLO(Method):
    """Generative latent optimisation."""

    name = "glo"

    latent_dim: PositiveInt | None = None
    epochs: Count = 30
    batch_size: PositiveInt = 64
    optimiser: Literal["adam", "sgd"] = "adam"
    learning_rate: Positive | None = None
    code_learning_rate: Positive | None = None
    width: PositiveInt = 32
    init: Literal["pca", "gaussian"] = "pca"
    prior: Literal["gaussian", "isotropic"] = "gaussian"

    def build(self, spec: DataSpec) -> GLOModel:
        """Decoder and random codes, untrained."""
        return GLOModel(spec, self.width)

    def fit(self, model: Model, train: Samples, run: Run) -> None:
        """Alternates nothing: each batch moves the generator and its own rows of codes, then projects these."""
        assert isinstance(model, GLOModel)
        model = run.prepare(model)
        if self.init == "pca":
            model.codes.copy_(_pca_codes(train, model.latent_dim))
        rate, code_rate = self.learning_rates()
        optimiser = self._optimiser(model, rate)
        code_adam = RowAdam(model.codes)
        final = 0.02 if self.optimiser == "adam" else 1.0  # the paper's rates stay as they are
        state = (model, optimiser, code_adam)
        for batch in run.batches(train, batch_size=self.batch_size, epochs=self.epochs, state=state):
            run.decay(optimiser, final=final)
            z = model.codes[batch.index].requires_grad_()
            with run.autocast():
                loss = F.mse_loss(model.decoder(z), model.signal(batch.x))
            run.step(optimiser, loss)
            assert z.grad is not None
            step = z.grad if self.optimiser == "sgd" else code_adam.direction(batch.index, z.grad)
            moved = z.detach() - code_rate * run.decay_factor(final) * step
            model.codes[batch.index] = model.project(moved)
        assert isinstance(model.prior, GaussianPrior)
        model.prior.fit_to(model.codes, isotropic=self.prior == "isotropic")

    def learning_rates(self) -> tuple[float, float]:
        """Those of the generator and of the codes: as given, else what suits the optimiser."""
        rate, code_rate = _LEARNING_RATES[self.optimiser]
        return self.learning_rate or rate, self.code_learning_rate or code_rate

    def _optimiser(self, model: GLOModel, rate: float) -> torch.optim.Optimizer:
        if self.optimiser == "sgd":
            return torch.optim.SGD(model.decoder.parameters(), lr=rate)
        return torch.optim.Adam(model.decoder.parameters(), lr=rate, fused=True)


def _pca_codes(train: Samples, latent_dim: int) -> Tensor:
    """Principal components divided by the largest norm among them, so that all lie in the unit ball."""
    axes = principal_axes(train, latent_dim)
    codes = torch.cat([(x.flatten(1) - axes.mean) @ axes.axes.T for x in train.batches(1024)])
    return torch.div(codes, codes.norm(dim=1).max()).float()


@hookimpl
def benchsuite_methods() -> Sequence[type[Method]]:
    """Provides ``glo``."""
    return [GLO]
