"""GLO: a generator and one free code per training image, learnt together by reconstruction.

Source: Bojanowski, Joulin, Lopez-Paz, Szlam, Optimizing the Latent Space of Generative Networks (2018), eq. 1 and
section 4, "Implementation details". Where the paper leaves a choice:

- ``space``: its text says sphere, its formula, z / max(|z|, 1), is the ``ball``; both are here.
- ``loss``: mean squared error, as for MNIST, ``lap1`` or ``l2_lap1``. The paper does not state how it weighs l2 and
  Lap1; here ``l2_lap1`` is the plain sum of the two, each divided by the number of pixels, images being in [-1, 1].
- ``level_weights``: the formula of Lap1 and the text beside it disagree; see benchsuite.kit.pyramid.
- ``code_learning_rate``: the paper's rates, 1 and 10, which ``optimiser=sgd`` takes, fit a loss averaged over pixels
  and batch, but it states no size of batch, on which a code's step would then depend. Here the rate is that of a loss
  averaged over 64 rows, however many the batch has.
- Epochs and batch size are not stated. Draws of the fitted Gaussian are decoded as they are, on the sphere too.

Changed by default: Adam with a state of its own for each code, given the gradient of that code's own loss, which
reconstructs better in the same number of epochs, and codes that start as scaled principal components, as for LSUN.
``prior=mixture`` goes beyond the paper, which fits one Gaussian with a full covariance.

Presets: ``paper`` is what its experiments share (SGD, l2 + Lap1, codes from a Gaussian); ``mnist``, ``svhn``,
``celeba`` and ``lsun`` add what it states of each: size of codes, loss, initialisation. ``adam`` is the default.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from benchsuite import Count, DataSpec, Method, Model, ParameterError, Positive, PositiveInt, Run, Samples, hookimpl
from benchsuite.kit.models import LatentModel
from benchsuite.kit.moments import most_axes, principal_axes
from benchsuite.kit.nets import generator
from benchsuite.kit.optimisers import RowAdam, project_to_ball, project_to_sphere
from benchsuite.kit.priors import GaussianPrior, MixturePrior
from benchsuite.kit.pyramid import LevelWeights, lap1

Space = Literal["ball", "sphere"]

_LEARNING_RATES = {"adam": (2e-3, 2e-2), "sgd": (1.0, 10.0)}  # of the generator and of the codes
_ROWS = 64  # over which the loss that the codes' learning rate of SGD is for is averaged
_BLOCK = 1024
_PAPER = {"optimiser": "sgd", "loss": "l2_lap1", "init": "gaussian", "width": 64}


class GLOModel(LatentModel):
    """A decoder, the codes of the training rows (n_train, d), and a prior fitted to them for sampling."""

    codes: Tensor

    def __init__(self, spec: DataSpec, width: int, prior: GaussianPrior | MixturePrior, space: Space) -> None:
        decoder = generator(spec.shape, spec.latent_dim, width)
        super().__init__(spec, prior, decoder)
        self.space = space
        codes = self.project(torch.randn(spec.n_train, spec.latent_dim) / spec.latent_dim**0.5)
        self.register_buffer("codes", codes)

    def project(self, z: Tensor) -> Tensor:
        """The nearest codes in the unit ball, or on the unit sphere."""
        return project_to_ball(z) if self.space == "ball" else project_to_sphere(z)


@dataclass(frozen=True)
class GLO(Method):
    """Generative latent optimisation.

    ``init=pca`` starts codes at their principal components: in the ball all divided by the largest norm among them, on
    the sphere each by its own, so that codes keep their direction only.
    """

    name = "glo"
    presets = {
        "paper": _PAPER,
        "mnist": _PAPER | {"latent_dim": 32, "loss": "mse"},
        "svhn": _PAPER | {"latent_dim": 64},
        "celeba": _PAPER | {"latent_dim": 256},
        "lsun": _PAPER | {"latent_dim": 256, "init": "pca"},
        "adam": {"optimiser": "adam", "learning_rate": 2e-3, "code_learning_rate": 2e-2, "init": "pca"},
    }

    latent_dim: PositiveInt | None = None
    epochs: Count = 30
    batch_size: PositiveInt = 64
    optimiser: Literal["adam", "sgd"] = "adam"
    learning_rate: Positive | None = None
    code_learning_rate: Positive | None = None
    width: PositiveInt = 32
    loss: Literal["mse", "lap1", "l2_lap1"] = "mse"
    level_weights: LevelWeights = "printed"
    space: Space = "ball"
    init: Literal["pca", "gaussian"] = "pca"
    prior: Literal["gaussian", "isotropic", "mixture"] = "gaussian"
    components: PositiveInt = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.loss == "mse" and self.level_weights != "printed":
            raise ParameterError(f"{self.name}: level_weights is for loss=lap1 and loss=l2_lap1; got loss={self.loss}")
        if self.prior != "mixture" and self.components != 10:
            raise ParameterError(f"{self.name}: components is for prior=mixture; got prior={self.prior}")

    def build(self, spec: DataSpec) -> GLOModel:
        """Decoder and random codes, untrained; a mixture of no more components than there are training rows.

        Raises ParameterError for a loss on a pyramid of vectors, and for codes of more dimensions than there are
        principal components to start them at.
        """
        most = most_axes(spec.n_train, spec.shape)
        if self.init == "pca" and spec.latent_dim > most:
            raise ParameterError(
                f"{self.name}: init=pca with latent_dim={spec.latent_dim} is not allowed; {spec.n_train} samples of "
                f"shape {spec.shape} have at most {most} components; use init=gaussian or a smaller latent_dim"
            )
        if self.loss != "mse" and spec.kind != "image":
            raise ParameterError(
                f"{self.name}: loss={self.loss} is for images; got {spec.kind}s of shape {spec.shape}, use loss=mse"
            )
        prior: GaussianPrior | MixturePrior = GaussianPrior(spec.latent_dim)
        if self.prior == "mixture":
            prior = MixturePrior(spec.latent_dim, min(self.components, spec.n_train))
        return GLOModel(spec, self.width, prior, self.space)

    def fit(self, model: Model, train: Samples, run: Run) -> None:
        """Alternates nothing: each batch moves the generator and its own rows of codes, then projects these."""
        assert isinstance(model, GLOModel)
        model = run.prepare(model)
        if self.init == "pca":
            model.codes.copy_(model.project(_pca_codes(train, model.latent_dim)))
        rate, code_rate = self.learning_rates()
        optimiser = self._optimiser(model, rate)
        code_adam = RowAdam(model.codes)
        final = 0.02 if self.optimiser == "adam" else 1.0  # the paper's rates stay as they are
        state = (model, optimiser, code_adam)
        for batch in run.batches(train, batch_size=self.batch_size, epochs=self.epochs, state=state):
            run.decay(optimiser, final=final)
            z = model.codes[batch.index].requires_grad_()
            with run.autocast():
                x_hat = model.decoder(z)
            # Outside, since half precision would lose the small differences that Lap1 is made of.
            run.step(optimiser, self.loss_of(x_hat.float(), model.signal(batch.x)))
            assert z.grad is not None
            own = z.grad * len(batch.index)  # the gradient of each row's own loss
            step = own / _ROWS if self.optimiser == "sgd" else code_adam.direction(batch.index, own)
            moved = z.detach() - code_rate * run.decay_factor(final) * step
            model.codes[batch.index] = model.project(moved)
        self._fit_prior(model, run.seed)

    def loss_of(self, x_hat: Tensor, x: Tensor) -> Tensor:
        """The loss of reconstructions ``x_hat`` of ``x``, (N, *shape) each in the decoder's range; a mean over all."""
        if self.loss == "mse":
            return F.mse_loss(x_hat, x)
        laplacian = lap1(x_hat, x, self.level_weights).mean()
        return laplacian if self.loss == "lap1" else F.mse_loss(x_hat, x) + laplacian

    def learning_rates(self) -> tuple[float, float]:
        """Those of the generator and of the codes: as given, else what suits the optimiser."""
        rate, code_rate = _LEARNING_RATES[self.optimiser]
        return self.learning_rate or rate, self.code_learning_rate or code_rate

    def _optimiser(self, model: GLOModel, rate: float) -> torch.optim.Optimizer:
        if self.optimiser == "sgd":
            return torch.optim.SGD(model.decoder.parameters(), lr=rate)
        return torch.optim.Adam(model.decoder.parameters(), lr=rate, fused=True)

    def _fit_prior(self, model: GLOModel, seed: int) -> None:
        if isinstance(model.prior, MixturePrior):
            model.prior.fit_to(model.codes, seed)
        elif isinstance(model.prior, GaussianPrior):
            model.prior.fit_to(model.codes, isotropic=self.prior == "isotropic")


def _pca_codes(train: Samples, latent_dim: int) -> Tensor:
    """Principal components divided by the largest norm among them, (N, d); holds one block of ``train`` at a time."""
    axes = principal_axes(train, latent_dim)
    codes = torch.empty(len(train), latent_dim, device=train.device)
    for rows, x in zip(torch.split(codes, _BLOCK), train.batches(_BLOCK), strict=True):
        rows.copy_((x.flatten(1) - axes.mean) @ axes.axes.T)
    return codes.div_(codes.norm(dim=1).max().clamp_min(torch.finfo(codes.dtype).tiny))


@hookimpl
def benchsuite_methods() -> Sequence[type[Method]]:
    """Provides ``glo``."""
    return [GLO]
