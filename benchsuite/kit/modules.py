"""Methods made of a ``torch.nn.Module`` with ``encode`` and ``decode``, trained by Adam."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from benchsuite.contracts import DataSpec, Method, Model
from benchsuite.errors import ContractError
from benchsuite.kit.adapters import AdaptedModel, only_where
from benchsuite.kit.priors import GaussianPrior
from benchsuite.kit.samples import Samples
from benchsuite.kit.training import Run
from benchsuite.parameters import Count, Positive, PositiveInt

# What a model may have besides, handed on as the module has it.
_HANDED_ON = ("log_prob", "elbo", "log_likelihood", "posterior_sample", "project", "pictures")
_BATCH = 256


def _has(*names: str) -> Callable[[Any], bool]:
    return lambda model: all(getattr(model.module, name, None) is not None for name in names)


class ModuleModel(AdaptedModel):
    """A ``module``, and ``fitted_prior``, a Gaussian over its codes, where it has neither ``sample`` nor ``prior``.

    ``encode`` and ``decode`` are there where the module has them, and so is whatever else a model may have but
    ``codes``, which a loss of x alone could not train, and ``copied_rows``.
    """

    module: Any  # whose methods type checkers cannot know

    def __init__(self, method: str, module: nn.Module, spec: DataSpec) -> None:
        """Raises ContractError for a module that cannot be trained or of which no samples could be drawn."""
        super().__init__(method, type(module).__name__, spec)
        if not isinstance(module, nn.Module):
            raise ContractError(f"{method}: module(spec) returned {module!r}; a torch.nn.Module is needed")
        self.module = module
        self.latent_dim = spec.latent_dim
        self._check()
        if not _has("sample")(self) and not _has("prior")(self):
            self.fitted_prior = GaussianPrior(spec.latent_dim)

    @only_where(_has("encode"))
    def encode(self, x: Tensor) -> Tensor:
        """(N, *shape) -> (N, latent_dim)."""
        return self.as_codes("encode(x)", self.module.encode(x), len(x)).float()

    @only_where(_has("decode"))
    def decode(self, z: Tensor) -> Tensor:
        """(N, latent_dim) -> (N, *shape), images cut to [0, 1]."""
        return self.as_data("decode(z)", self.module.decode(z), len(z))

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """(n, *shape), images cut to [0, 1]: the module's own, else draws of ``prior``, decoded."""
        if _has("sample")(self):
            return self.as_data("sample(n, generator)", self.module.sample(n, generator), n)
        return self.decode(self.prior.sample(n, generator))

    def loss(self, x: Tensor) -> Tensor:
        """What training descends, for a batch (N, *shape): the module's own, else the mean squared error.

        That of ``decode(encode(x))``, before images are cut to [0, 1], where gradients would end.
        """
        if _has("loss")(self):
            return self.checked("loss(x)", self.module.loss(x), ())
        z = self.as_codes("encode(x)", self.module.encode(x), len(x))
        x_hat = self.checked("decode(z)", self.module.decode(z), tuple(x.shape))
        return (x_hat - x).square().mean()

    @torch.no_grad()
    def fit_to(self, train: Samples) -> None:
        """``fitted_prior`` takes mean and covariance of the training rows' codes, found in eval mode."""
        training = self.training
        self.eval()
        self.fit_prior(self.fitted_prior, torch.cat([self.encode(x) for x in train.batches(_BATCH)]))
        self.train(training)

    def __getattr__(self, name: str) -> Any:
        if name == "prior":
            return self.module.prior if _has("prior")(self) else self.fitted_prior
        return getattr(self.module, name) if name in _HANDED_ON else super().__getattr__(name)

    def _check(self) -> None:
        """Raises ContractError as ``__init__`` does."""
        if not any(parameter.requires_grad for parameter in self.module.parameters()):
            raise ContractError(f"{self.method}: {self.wrapped} has no parameters to train")
        if _has("loss")(self):
            self._check_call(self.module.loss, "loss(x)")
        elif not _has("encode", "decode")(self):
            raise ContractError(f"{self.method}: {self.wrapped} needs loss(x), or both encode(x) and decode(z)")
        if _has("sample")(self):
            self._check_call(self.module.sample, "sample(n, generator)")
        elif _has("prior", "decode")(self):
            self._check_call(self.module.prior.sample, "prior.sample(n, generator)")
        elif not _has("encode", "decode")(self):
            raise ContractError(
                f"{self.method}: {self.wrapped} needs sample(n, generator), or decode(z) and either encode(x) or a "
                "prior with sample(n, generator)"
            )

    def _check_call(self, function: Callable[..., Any], call: str) -> None:
        """That ``function`` can be called as ``call`` says, as far as can be known."""
        signature = inspect.signature(function.forward if isinstance(function, nn.Module) else function)
        try:
            signature.bind(*[None] * (call.count(",") + 1))
        except TypeError:
            name = call.partition("(")[0]
            raise ContractError(
                f"{self.method}: {name} of {self.wrapped} takes {signature}; benchsuite calls {call}"
            ) from None


@dataclass(frozen=True)
class ModuleMethod(Method):
    """A method that is a ``torch.nn.Module``, which a subclass returns from ``module``, trained by Adam.

    The module has ``encode(x)``, (N, *shape) -> (N, latent_dim), and ``decode(z)`` back, for images in [0, 1]. It may
    have ``loss(x)``, which training descends in place of the mean squared error, and what a model may have, see
    benchsuite.Model. Samples are its own ``sample(n, generator)``, else draws of its ``prior``, else of a Gaussian that
    has the mean and covariance of the training rows' codes, decoded. Everything it learns is in parameters and buffers.
    """

    latent_dim: PositiveInt | None = None
    epochs: Count = 40
    batch_size: PositiveInt = 64
    learning_rate: Positive = 1e-3

    @abstractmethod
    def module(self, spec: DataSpec) -> nn.Module:
        """A new module for such data, not trained."""

    def build(self, spec: DataSpec) -> ModuleModel:
        """The module before training. Raises ContractError as ModuleModel does."""
        return ModuleModel(self.name, self.module(spec), spec)

    def fit(self, model: Model, train: Samples, run: Run) -> None:
        """Descends the model's ``loss``, then fits the Gaussian where there is one."""
        assert isinstance(model, ModuleModel)
        model = run.prepare(model)
        optimiser = torch.optim.Adam(model.parameters(), lr=self.learning_rate)
        batches = run.batches(train, batch_size=self.batch_size, epochs=self.epochs, state=(model, optimiser))
        for batch in batches:
            with run.autocast():
                loss = model.loss(batch.x)
            run.step(optimiser, loss)
        if hasattr(model, "fitted_prior"):
            run.stage("prior", lambda: model.fit_to(train), state=(model.fitted_prior,))
