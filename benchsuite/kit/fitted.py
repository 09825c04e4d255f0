"""The fitted attributes of an estimator as what a state_dict may hold: numbers, and tensors for arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchsuite.errors import ContractError

Fitted = Mapping[str, Any]  # by name: a number, a tensor, None, or a list or tuple of these


def is_fitted(estimator: object) -> bool:
    """Whether ``estimator`` has fitted attributes."""
    return bool(_names(estimator))


def fitted_numbers(method: str, estimator: object) -> dict[str, Any]:
    """What fitting left in ``estimator``: the attributes whose names end, and do not start, with an underscore.

    Arrays and numpy's numbers become tensors of their type and layout, copied, in the byte order of this machine; None,
    Python's numbers, and lists and tuples of all these stay as they are. Raises ContractError that names the first
    attribute which is anything else.
    """
    found = {}
    for name in _names(estimator):
        try:
            found[name] = _kept(getattr(estimator, name))
        except TypeError as error:
            raise ContractError(
                f"{method}: the fitted attribute '{name}' of {type(estimator).__name__} is a {error}; only numbers and "
                "arrays can be kept; choose an estimator that learns nothing else, or write a Method whose model has "
                "all that it learns in parameters and buffers"
            ) from None
    return found


def tensor_of(array: np.ndarray[Any, Any] | np.generic) -> Tensor:
    """A copy in the same layout, since sums in another would round otherwise, and in the byte order of this machine.

    Raises TypeError that says what ``array`` is where torch has no such numbers.
    """
    try:
        return torch.from_numpy(np.array(array, array.dtype.newbyteorder("=")))
    except Exception:  # which one is torch's and numpy's to choose
        raise TypeError(f"{type(array).__name__} of {array.dtype}") from None


def restore(estimator: object, fitted: Fitted) -> None:
    """Give ``estimator`` the attributes that ``fitted_numbers`` found, in place of those that it has."""
    for name in _names(estimator):
        delattr(estimator, name)
    for name, value in fitted.items():
        setattr(estimator, name, _restored(value))


def count(fitted: Fitted) -> int:
    """How many real numbers there are: those of arrays of whole numbers, and counts, are not among them."""
    return sum(value.numel() for value in _leaves(list(fitted.values())) if value.is_floating_point())


def name_of_nan(fitted: Fitted) -> str | None:
    """The first attribute that holds NaN."""
    return next((name for name, value in fitted.items() if any(bool(v.isnan().any()) for v in _leaves(value))), None)


def _names(estimator: object) -> list[str]:
    return [name for name in vars(estimator) if name.endswith("_") and not name.startswith("_")]


def _kept(value: Any) -> Any:
    """Raises TypeError that says what ``value`` is where it cannot be kept."""
    if value is None or type(value) in (bool, int, float):
        return value
    if type(value) in (list, tuple):
        return type(value)(_kept(item) for item in value)
    if not isinstance(value, np.ndarray | np.generic):
        raise TypeError(type(value).__name__)
    return tensor_of(value)


def _restored(value: Any) -> Any:
    if isinstance(value, Tensor):
        return np.array(value.cpu().numpy())[()]  # without dimensions, numpy's number
    if isinstance(value, list | tuple):
        return type(value)(_restored(item) for item in value)
    return value


def _leaves(value: Any) -> Iterator[Tensor]:
    """Every tensor in ``value``, numbers as tensors."""
    if isinstance(value, list | tuple):
        for item in value:
            yield from _leaves(item)
    elif isinstance(value, float):
        yield torch.tensor(value, dtype=torch.float64)
    elif isinstance(value, Tensor):
        yield value
