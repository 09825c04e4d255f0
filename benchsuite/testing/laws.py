"""The law that a dataset says its rows were drawn from, held to what metrics ask of one."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from benchsuite.contracts import Dataset
from benchsuite.kit.samples import Samples, evenly_spaced
from benchsuite.testing.contract import BrokenContractError, calling
from benchsuite.testing.returned import check_returned
from benchsuite.testing.surroundings import generators_kept

_ROWS = 512
_FAR = 8.0  # standard errors between two means that cannot be those of one law
_PARTS = ("sample", "log_prob", "mean", "covariance", "modes", "component_covariance", "log_likelihood")
_INSTEAD = "draw by the generator that is given"


def check_law(dataset: Dataset, test: Samples, read: str) -> None:
    """Raises BrokenContractError where a part of ``truth()`` breaks its promise, or ``test`` rows do not follow it.

    Raises NotApplicableError where the law is not known. Parts are those of benchsuite.kit.laws.
    """
    with calling("truth()", expected="truth() returns the law of the data", read=read):
        law: Any = dataset.truth()
    parts = [name for name in _PARTS if hasattr(law, name)]
    if not parts:
        raise BrokenContractError(
            expected=f"a law has some of {', '.join(_PARTS)}; see benchsuite.kit.laws",
            got=f"a {type(law).__name__} with none of them",
            read=read,
        )
    x = test[evenly_spaced(len(test), _ROWS)]
    with generators_kept("the law", read, _INSTEAD), calling("the law", expected="a law that works", read=read):
        _check_moments(law, x.shape[1:], read)
        drawn = _drawn(law, x.shape[1:], read) if "sample" in parts else None
        if "log_prob" in parts:
            own = check_returned(law.log_prob(x), call="log_prob(x) of test rows", shape=(len(x),), read=read)
            if drawn is not None:
                _check_alike(own, law.log_prob(drawn), read)


def _drawn(law: Any, shape: torch.Size, read: str) -> Tensor:
    drawn: Tensor
    again: Tensor
    drawn, again = (law.sample(_ROWS, torch.Generator().manual_seed(3)) for _ in range(2))
    check_returned(drawn, call=f"sample({_ROWS}, generator) of the law", shape=(_ROWS, *shape), read=read)
    if not torch.equal(drawn, again):
        raise BrokenContractError(
            expected="the law's sample(n, generator) follows its generator",
            got=f"other rows for a generator in the same state; {_INSTEAD}",
            read=read,
        )
    return drawn


def _check_moments(law: Any, shape: torch.Size, read: str) -> None:
    dim = shape.numel()
    modes = len(law.modes) if hasattr(law, "modes") else 0
    shapes = {"mean": (dim,), "covariance": (dim, dim), "modes": (modes, dim), "component_covariance": (dim, dim)}
    for name, expected in shapes.items():
        if hasattr(law, name):
            check_returned(getattr(law, name), call=f"{name} of the law", shape=expected, read=read)


def _check_alike(of_data: Tensor, of_law: Tensor, read: str) -> None:
    a, b = of_data.double(), of_law.double()
    error = math.sqrt(float(a.var() / len(a) + b.var() / len(b)))
    if abs(float(a.mean() - b.mean())) > _FAR * error:
        raise BrokenContractError(
            expected="the data are drawn from the law that truth() returns",
            got=f"under it their log density is {float(a.mean()):.4g} on average, that of its own draws "
            f"{float(b.mean()):.4g}, {_FAR:g} standard errors or more apart",
            read=read,
        )
