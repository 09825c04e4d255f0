"""Recovery as metrics offer it: codes drawn from a model's prior, and a search for codes that parameters describe."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from benchsuite.contracts import Model
from benchsuite.errors import NotApplicableError, ParameterError
from benchsuite.kit.coding import decoded, decoder_of, prior_draws
from benchsuite.kit.newton import BFGS, LevenbergMarquardt
from benchsuite.kit.recovery import ClippingName, Constraint, Progress, Recovered, clipping, recover
from benchsuite.kit.samples import Samples
from benchsuite.kit.solvers import Adam, GradientDescent, RMSProp, Solver
from benchsuite.parameters import BelowOne, NonNegative, Positive, PositiveInt, check_fields

SolverName = Literal["bfgs", "levenberg_marquardt", "gradient_descent", "adam", "rmsprop"]

SOLVERS: Mapping[SolverName, type[Solver]] = MappingProxyType(
    {
        "bfgs": BFGS,
        "levenberg_marquardt": LevenbergMarquardt,
        "gradient_descent": GradientDescent,
        "adam": Adam,
        "rmsprop": RMSProp,
    }
)
# The artefact of that name, by which metrics have work in common.
Shared = Callable[[str, Callable[[], Any]], Any]

_SETTINGS = ("steps", "learning_rate", "momentum", "final_rate")


@dataclass(frozen=True)
class Search:
    """How codes are searched for; what is None is the solver's own default. Codes are projected to no ball or sphere.

    Raises ParameterError for a setting that the solver does not take, and for clipping by one that cannot be kept in a
    box.
    """

    solver: SolverName = "bfgs"
    clipping: ClippingName = "none"
    steps: PositiveInt | None = None
    learning_rate: Positive | None = None
    momentum: BelowOne | None = None
    final_rate: NonNegative | None = None

    def __post_init__(self) -> None:
        check_fields("search", self)
        known = {field.name for field in dataclasses.fields(SOLVERS[self.solver])}
        for name in self._given():
            if name not in known:
                allowed = ", ".join(setting for setting in _SETTINGS if setting in known)
                raise ParameterError(f"solver={self.solver} takes no {name}; what it takes is {allowed}")
        if self.clipping != "none" and not SOLVERS[self.solver].takes_constraints:
            able = ", ".join(name for name, solver in SOLVERS.items() if solver.takes_constraints)
            raise ParameterError(f"solver={self.solver} takes no clipping={self.clipping}; solvers that do are {able}")

    def _given(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _SETTINGS if getattr(self, name) is not None}

    def recover(
        self,
        model: Model,
        x: Tensor | Samples,
        starts: Tensor,
        generator: torch.Generator,
        watch: Callable[[Progress], None] | None = None,
    ) -> Recovered:
        """The codes of ``x`` (N, *shape) by mean squared error from ``starts`` (restarts, N, d), see ``recover``.

        ``generator`` draws what stochastic clipping draws. Raises NotApplicableError for a model without decoder, and
        for clipping where its prior has no bounds.
        """
        solver, constrain = SOLVERS[self.solver](**self._given()), self._clipping(model, generator)
        return recover(decoder_of(model), x, starts, solver=solver, constrain=constrain, net=model, watch=watch)

    def _clipping(self, model: Model, generator: torch.Generator) -> Constraint | None:
        if self.clipping == "none":
            return None
        bounds = prior_bounds(model)
        if bounds is None:
            raise NotApplicableError("clipping needs a prior with bounds, such as prior=uniform")
        return clipping(self.clipping, *bounds, generator)


DEFAULT_SEARCH = Search()


def prior_bounds(model: Model) -> tuple[Tensor, Tensor] | None:
    """The least and the largest code of the model's prior, (d,) each; None where it states none."""
    prior: Any = getattr(model, "prior", None)
    low, high = getattr(prior, "low", None), getattr(prior, "high", None)
    return None if low is None or high is None else (low, high)


class Generated(NamedTuple):
    """``codes`` (n, d) of a model's prior, the ``data`` (n, *shape) that they decode to, and other draws of the prior
    from which to search for them, ``starts`` (restarts, n, d)."""

    codes: Tensor
    data: Tensor
    starts: Tensor


def generated_data(model: Model, n: int, restarts: int, generator: torch.Generator) -> Generated:
    """``n`` draws of the model, whose codes are known. Raises NotApplicableError for one without decoder or prior."""
    decoder_of(model)  # that it is missing is said before anything is done
    codes = prior_draws(model, n, generator)
    starts = prior_draws(model, restarts * n, generator).view(restarts, n, -1)
    return Generated(codes, decoded(model, codes), starts)


def generator_of_shared() -> torch.Generator:
    """A CPU generator for what metrics share: seeded by the global one, which is seeded there for that work alone.

    The metric's own would make it depend on which metric asks first.
    """
    return torch.Generator().manual_seed(int(torch.randint(2**62, ())))


def code_errors(found: Tensor, codes: Tensor) -> Tensor:
    """|z' - z|^2 / d of each pair, (n, d) each -> (n,), in the square of their units; float64 on the processor.

    Source: Lipton and Tripathi, Precise Recovery of Latent Vectors (2017), Table 1.
    """
    return (found.cpu().double() - codes.cpu().double()).square().mean(1)
