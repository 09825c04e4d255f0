"""What the adapters have in common: models that have what the thing they wrap has, and no more."""

from __future__ import annotations

from collections.abc import Callable
from types import MethodType
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, overload

import torch
from torch import Tensor

from benchsuite.contracts import DataSpec, Model
from benchsuite.errors import ContractError, DivergedError
from benchsuite.kit.priors import GaussianPrior

P = ParamSpec("P")
R = TypeVar("R")


class OnlyWhere(Generic[P, R]):
    """A method that instances have, for ``hasattr`` too, only where ``there(instance)`` holds."""

    def __init__(self, there: Callable[[Any], bool], method: Callable[Concatenate[Any, P], R]) -> None:
        self._there, self._method = there, method
        self.__doc__ = method.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type) -> Callable[P, R]: ...
    def __get__(self, instance: object | None, owner: type) -> Self | Callable[P, R]:
        if instance is None:
            return self
        if not self._there(instance):
            raise AttributeError(f"this {owner.__name__} has no {self._method.__name__}")
        return MethodType(self._method, instance)


def only_where(there: Callable[[Any], bool]) -> Callable[[Callable[Concatenate[Any, P], R]], OnlyWhere[P, R]]:
    """Decorates a method that is there only where ``there(instance)`` holds: metrics go by presence."""
    return lambda method: OnlyWhere(there, method)


class AdaptedModel(Model):
    """A model around something else, called ``wrapped`` in messages, whose results are held to the contract."""

    def __init__(self, method: str, wrapped: str, spec: DataSpec) -> None:
        super().__init__()
        self.method, self.wrapped, self.spec = method, wrapped, spec

    def as_data(self, call: str, x: object, n: int) -> Tensor:
        """``x``, which ``call`` returned, as (n, *shape), float32, images cut to [0, 1]. Raises ContractError."""
        rows = self.checked(call, x, (n, *self.spec.shape)).float()
        return rows.clamp(0, 1) if self.spec.kind == "image" else rows

    def as_codes(self, call: str, z: object, n: int) -> Tensor:
        """``z``, which ``call`` returned, if it is (n, latent_dim). Raises ContractError."""
        advice = "; codes are as long as spec.latent_dim says, which a field latent_dim of the method decides"
        return self.checked(call, z, (n, self.spec.latent_dim), advice)

    def checked(self, call: str, value: object, shape: tuple[int, ...], advice: str = "") -> Tensor:
        """``value``, which ``call`` returned, if it is a tensor of this shape. Raises ContractError."""
        if isinstance(value, Tensor) and tuple(value.shape) == shape:
            return value
        got = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
        raise ContractError(
            f"{self.method}: {call} of {self.wrapped} returned {got}; a tensor of shape {shape} is needed{advice}"
        )

    def fit_prior(self, prior: GaussianPrior, codes: Tensor) -> None:
        """``prior`` takes mean and covariance of ``codes`` (N, d). Raises DivergedError where some are not finite."""
        if not bool(torch.isfinite(codes).all()):
            raise DivergedError(f"{self.method}: codes of training rows hold NaN or infinity")
        prior.fit_to(codes)
