"""Methods made of estimators with the interface of scikit-learn: ``fit``, ``transform``, ``sample`` and so on.

Source: Buitinck et al., API Design for Machine Learning Software: Experiences from the scikit-learn Project (2013).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchsuite.contracts import DataSpec, Method, Model
from benchsuite.errors import ContractError, DivergedError, NotApplicableError, reason_of
from benchsuite.kit.adapters import AdaptedModel, only_where
from benchsuite.kit.fitted import Fitted, count, fitted_numbers, is_fitted, name_of_nan, restore, tensor_of
from benchsuite.kit.priors import GaussianPrior
from benchsuite.kit.samples import Samples
from benchsuite.kit.training import Run

_BATCH = 1024
_TRIED = 16  # training rows on which a restored estimator is compared with the fitted one
_SEEDS = 2**31 - 1


def _has(*calls: str) -> Callable[[Any], bool]:
    return lambda model: all(hasattr(model.estimator, call) for call in calls)


class EstimatorModel(AdaptedModel):
    """What an ``estimator`` has learnt. It computes on the processor, in float64, for inputs on any device.

    ``encode``, ``decode`` and ``log_prob`` are there where the estimator has ``transform``, ``inverse_transform`` and
    ``score_samples``, and ``prior`` where samples are decoded codes. What was fitted is extra state. There are no
    gradients.
    """

    home: Tensor  # empty; its device is where samples are returned

    def __init__(self, method: str, estimator: Any, spec: DataSpec) -> None:
        """Raises ContractError for an estimator that cannot be fitted, or of which no samples could be drawn."""
        super().__init__(method, type(estimator).__name__, spec)
        if isinstance(estimator, type) or not hasattr(estimator, "fit"):
            raise ContractError(f"{method}: estimator(spec) returned {estimator!r}; an object with fit(x) is needed")
        self.estimator = estimator
        self.register_buffer("home", torch.empty(0), persistent=False)
        if _has("transform")(self) or _has("inverse_transform")(self):
            self.latent_dim = spec.latent_dim
        if not _has("sample")(self):
            if not _has("transform", "inverse_transform")(self):
                raise ContractError(
                    f"{method}: {self.wrapped} has neither sample(n) nor both transform(x) and inverse_transform(z), "
                    "without which no samples can be drawn"
                )
            self.prior = GaussianPrior(spec.latent_dim)

    @only_where(_has("transform"))
    def encode(self, x: Tensor) -> Tensor:
        """(N, *shape) -> (N, latent_dim)."""
        return self.codes_of(_rows(x)).float().to(x.device)

    @only_where(_has("inverse_transform"))
    def decode(self, z: Tensor) -> Tensor:
        """(N, latent_dim) -> (N, *shape), images cut to [0, 1]; without gradient."""
        return self._data("inverse_transform(z)", self.ask("inverse_transform", _rows(z)), len(z)).to(z.device)

    @only_where(_has("score_samples"))
    def log_prob(self, x: Tensor) -> Tensor:
        """(N, *shape) -> (N,) in nats, of a law whose images are not cut to [0, 1]."""
        found = self.ask("score_samples", _rows(x))
        return self.checked("score_samples(x)", found, (len(x),)).float().to(x.device)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """(n, *shape), images cut to [0, 1]: the estimator's own in random order, else decoded draws of ``prior``."""
        if not _has("sample")(self):
            return self.decode(self.prior.sample(n, generator))
        drawn = self._data("sample(n)", self.ask("sample", n, seed=_seed(generator)), n)
        order = torch.randperm(n, generator=generator)  # mixtures draw one component after the other
        return drawn[order].to(self.home.device)

    def codes_of(self, rows: np.ndarray[Any, Any]) -> Tensor:
        """(N, D) -> (N, latent_dim), as the estimator computes them. Raises ContractError for another length."""
        found = self.ask("transform", rows)
        found = found[None] if found.ndim == 1 and len(rows) == 1 else found  # of a single row some leave out the axis
        return self.as_codes("transform(x)", found, len(rows))

    def ask(self, call: str, argument: object, seed: int = 0) -> Tensor:
        """The array, the first one of several, that the estimator's method ``call`` returns.

        What it draws depends on ``seed`` only, and numpy's global generator is left as it was. Raises
        NotApplicableError before the fit, ContractError for what is no array of numbers.
        """
        if not is_fitted(self.estimator):
            raise NotApplicableError(f"{self.method}: {self.wrapped} can do nothing before it is fitted")
        with _seeded(self.estimator, seed):
            answer = getattr(self.estimator, call)(argument)
        answer = answer[0] if isinstance(answer, tuple) else answer
        if not isinstance(answer, np.ndarray):
            raise ContractError(
                f"{self.method}: {call} of {self.wrapped} returned a {type(answer).__name__}; an array is needed"
            )
        try:
            return tensor_of(np.ascontiguousarray(answer))
        except TypeError as error:
            raise ContractError(
                f"{self.method}: {call} of {self.wrapped} returned a {error}; numbers are needed"
            ) from None

    @property
    def learnt_numbers(self) -> int:
        """How many real numbers the estimator keeps, those that follow from others among them."""
        return count(self.get_extra_state())

    def get_extra_state(self) -> dict[str, Any]:
        """The fitted attributes by name, see benchsuite.kit.fitted; none before the fit."""
        return fitted_numbers(self.method, self.estimator)

    def set_extra_state(self, state: Fitted) -> None:
        """The inverse of ``get_extra_state``."""
        restore(self.estimator, state)

    def _data(self, call: str, rows: Tensor, n: int) -> Tensor:
        flat = self.checked(call, rows, (n, math.prod(self.spec.shape)))
        return self.as_data(call, flat.view(n, *self.spec.shape), n)


@dataclass(frozen=True)
class EstimatorMethod(Method):
    """A method that is an estimator of scikit-learn's kind; a subclass says which, in ``estimator``.

    The estimator has ``fit(x)``, and ``sample(n)`` or both ``transform(x)`` and ``inverse_transform(z)``; with these,
    samples are decoded draws of a Gaussian that has the mean and covariance of the training rows' codes. It is given
    all training rows at once, in memory, as float64 (N, D). Codes must be as long as ``spec.latent_dim`` says.

    The seed of the run decides ``random_state``, unless the estimator states one, which then holds for all seeds.
    Everything that is learnt must be numbers and arrays in attributes whose names end with an underscore.
    """

    @abstractmethod
    def estimator(self, spec: DataSpec) -> Any:
        """A new estimator for such data, not fitted."""

    def build(self, spec: DataSpec) -> EstimatorModel:
        """The estimator before its fit. Raises ContractError as EstimatorModel does."""
        return EstimatorModel(self.name, self.estimator(spec), spec)

    def fit(self, model: Model, train: Samples, run: Run) -> None:
        """The estimator's own fit, which is not made again where a cell is cut off later.

        Raises ContractError where there are no learnt attributes, for those that are no numbers and arrays, by name,
        and where those that are do not suffice to compute the same; DivergedError where they hold NaN.
        """
        assert isinstance(model, EstimatorModel)
        run.stage("estimator", lambda: self._fit(model, _all_rows(train)), state=(model,))

    def _fit(self, model: EstimatorModel, rows: np.ndarray[Any, Any]) -> None:
        seed = _seed()
        if getattr(model.estimator, "random_state", seed) is None:
            model.estimator.random_state = seed
        model.estimator.fit(rows)
        if not is_fitted(model.estimator):
            raise ContractError(
                f"{self.name}: {model.wrapped} keeps no fitted attributes of its own, whose names end, and do not "
                "start, with an underscore, so that nothing of it could be kept; choose another estimator, or write a "
                "Method whose model has all that it learns in parameters and buffers"
            )
        name = name_of_nan(model.get_extra_state())
        if name is not None:
            raise DivergedError(f"{self.name}: the fitted attribute '{name}' of {model.wrapped} holds NaN")
        self._compare(model, rows[:: max(1, len(rows) // _TRIED)])
        if hasattr(model, "prior"):
            model.fit_prior(model.prior, model.codes_of(rows))

    def _compare(self, model: EstimatorModel, rows: np.ndarray[Any, Any]) -> None:
        """Raises ContractError unless a new estimator with the numbers of ``model`` computes the same."""
        again = self.build(model.spec)
        again.set_extra_state(model.get_extra_state())
        arguments: dict[str, object] = {"transform": rows, "score_samples": rows, "sample": len(rows)}
        if _has("transform", "inverse_transform")(model):
            arguments["inverse_transform"] = model.codes_of(rows).numpy()
        for call in filter(lambda call: _has(call)(model), arguments):
            problem = _difference(model, again, call, arguments[call])
            if problem:
                raise ContractError(
                    f"{self.name}: {call} of {model.wrapped} needs more than is kept of it, the fitted attributes "
                    f"whose names end, and do not start, with an underscore; with these alone {problem}; choose "
                    "another estimator, or write a Method whose model has all that it learns in parameters and buffers"
                )


def _difference(model: EstimatorModel, again: EstimatorModel, call: str, argument: object) -> str:
    """What is wrong with the answer of ``again``, which is to be that of ``model``; empty where nothing is."""
    expected = model.ask(call, argument)
    try:
        found = again.ask(call, argument)
    except Exception as error:  # whatever an estimator that misses something may raise
        return f"it fails with {reason_of(error)}"
    same = found.shape == expected.shape and torch.allclose(found, expected, rtol=1e-6, atol=1e-9, equal_nan=True)
    return "" if same else "it returns other numbers"


@contextmanager
def _seeded(estimator: Any, seed: int) -> Iterator[None]:
    """Estimators draw by ``random_state``, which is theirs to state, or by numpy's global generator."""
    before, stated = np.random.get_state(), getattr(estimator, "random_state", None)
    has_state = hasattr(estimator, "random_state")
    np.random.seed(seed)
    if has_state:
        estimator.random_state = seed
    try:
        yield
    finally:
        np.random.set_state(before)
        if has_state:
            estimator.random_state = stated


def _seed(generator: torch.Generator | None = None) -> int:
    return int(torch.randint(_SEEDS, (), generator=generator))


def _rows(x: Tensor) -> np.ndarray[Any, Any]:
    rows: np.ndarray[Any, Any] = x.detach().flatten(1).to("cpu", torch.float64).numpy()
    return rows


def _all_rows(train: Samples) -> np.ndarray[Any, Any]:
    rows = torch.empty(len(train), math.prod(train.shape), dtype=torch.float64)
    for block, into in zip(train.batches(_BATCH), torch.split(rows, _BATCH), strict=True):
        into.copy_(block.flatten(1))
    array: np.ndarray[Any, Any] = rows.numpy()
    return array
