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
_FEWEST = 30  # rows by which errors can be told
_ROUNDING = 1e-5  # of float32, relative
_PARTS = ("sample", "log_prob", "mean", "covariance", "modes", "component_covariance", "log_likelihood")
_ONE_LAW = "the data are drawn from the law that truth() returns"
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
        _check_shapes(law, x.shape[1:], read)
        _check_moments(law, x.flatten(1).double(), read)
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


def _check_shapes(law: Any, shape: torch.Size, read: str) -> None:
    dim = shape.numel()
    modes = len(law.modes) if hasattr(law, "modes") else 0
    shapes = {"mean": (dim,), "covariance": (dim, dim), "modes": (modes, dim), "component_covariance": (dim, dim)}
    for name, expected in shapes.items():
        if hasattr(law, name):
            check_returned(getattr(law, name), call=f"{name} of the law", shape=expected, read=read)


def _check_moments(law: Any, x: Tensor, read: str) -> None:
    """Compare mean and covariance, where the law states them, with those of rows, number by number.

    Rare values may be missing among the rows: what varies little in them is given the spread that the law, or chance
    meetings of two coordinates, would give it; what does not vary at all has no covariance to be compared.
    """
    if len(x) < _FEWEST:
        return
    centred = x - x.mean(0)
    squares = centred.square()
    variances, covariance = squares.mean(0), centred.T @ centred / len(x)
    if hasattr(law, "mean"):
        of_law = law.covariance.double().cpu().diagonal() if hasattr(law, "covariance") else variances
        _check_number_by_number("mean", x.mean(0), law.mean, torch.maximum(variances, of_law) / len(x), read)
    if hasattr(law, "covariance"):
        spread = squares.T @ squares / len(x) - covariance.square()  # of the products of two coordinates
        spread = torch.maximum(spread, torch.outer(variances, variances))
        varies = torch.outer(variances, variances) > 0
        spread = torch.where(varies, spread, math.inf)
        _check_number_by_number("covariance", covariance, law.covariance, spread / len(x), read)


def _check_number_by_number(name: str, found: Tensor, stated: Tensor, squared_error: Tensor, read: str) -> None:
    stated = stated.double().cpu()
    off = (found - stated).abs() - _FAR * squared_error.sqrt() - _ROUNDING * found.abs().clamp_min(1)
    if bool((off > 0).any()):
        worst = tuple(int(i) for i in torch.unravel_index(off.argmax(), off.shape))
        raise BrokenContractError(
            expected=_ONE_LAW,
            got=f"their {name}{list(worst)} is {float(found[worst]):.4g}, that of the law {float(stated[worst]):.4g}, "
            f"{_FAR:g} standard errors or more apart",
            read=read,
        )


def _check_alike(of_data: Tensor, of_law: Tensor, read: str) -> None:
    a, b = of_data.double(), of_law.double()
    error = math.sqrt(float(a.var() / len(a) + b.var() / len(b)))
    if abs(float(a.mean() - b.mean())) > _FAR * error:
        raise BrokenContractError(
            expected=_ONE_LAW,
            got=f"under it their log density is {float(a.mean()):.4g} on average, that of its own draws "
            f"{float(b.mean()):.4g}, {_FAR:g} standard errors or more apart",
            read=read,
        )
