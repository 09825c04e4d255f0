"""What recovery minimises: for each of many codes the loss of its image against a target of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

import torch
from torch import Tensor

from benchsuite.errors import is_out_of_memory
from benchsuite.kit.pyramid import lap1

RecoveryLoss = Callable[[Tensor, Tensor], Tensor]  # (n, *shape) and (n, *shape) -> (n,)
RecoveryLossName = Literal["mse", "lap1"]

_TANGENTS = 1024  # Jacobian columns computed at once, fewer of large data: bounds memory, changes no result
_NUMBERS = 2**24  # the most numbers that these have
_WITHOUT = "Adam, RMSProp, LBFGS, BFGS(initial='identity'), or GradientDescent with a learning_rate"


def mse(x_hat: Tensor, x: Tensor) -> Tensor:
    """The mean squared error of each pair, (n, *shape) each -> (n,); differentiable."""
    return (x_hat - x).square().flatten(1).mean(1)


RECOVERY_LOSSES: Mapping[RecoveryLossName, RecoveryLoss] = MappingProxyType({"mse": mse, "lap1": lap1})


class Objective:
    """The losses of n codes (n, d) whose decoded data meet ``target`` (n, *shape), row by row.

    Rows are independent, provided that ``decode`` treats them so: gradients are those of the sum over rows, so that a
    code's path does not depend on how many share its batch.
    """

    def __init__(
        self, decode: Callable[[Tensor], Tensor], target: Tensor, loss: RecoveryLoss, coupled: bool = False
    ) -> None:
        """``coupled`` says that rows are not independent after all, and so have no Jacobians of their own."""
        self.decode, self.target, self.loss, self.coupled = decode, target, loss, coupled

    def keep(self, rows: Tensor) -> None:
        """Go on with these ``rows`` only, a mask (n,)."""
        self.target = self.target[rows]

    def value(self, z: Tensor) -> Tensor:
        """(n, d) -> (n,)."""
        with torch.no_grad():
            return self._loss_at(z)

    def value_and_gradient(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """(n, d) -> (n,) and (n, d). Raises ValueError where the loss has no gradient."""
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            value = self._loss_at(z)
            if not value.requires_grad:
                raise ValueError(
                    "the loss of a code has no gradient: decode does not depend on it, or computes without"
                )
            (gradient,) = torch.autograd.grad(value.sum(), z)
        return value.detach(), gradient

    def _loss_at(self, z: Tensor) -> Tensor:
        x_hat = self.decode(z.clone())  # which may be changed in place
        if x_hat.shape != self.target.shape:
            raise ValueError(
                f"decode made {tuple(x_hat.shape)} of {tuple(z.shape)}; data are {tuple(self.target.shape)}"
            )
        value = self.loss(x_hat, self.target)
        if value.shape != z.shape[:1]:
            raise ValueError(f"a loss gives one number a sample, ({len(z)},); got {tuple(value.shape)}")
        return value

    def gauss_newton(self, z: Tensor) -> Tensor:
        """The Gauss-Newton matrices 2 J^T J / D of the mean squared error, (n, d) -> (n, d, d).

        J is the Jacobian of ``decode`` (D numbers by d), by forward-mode differentiation. At a solution they are the
        Hessians. Raises ValueError for any other loss, for coupled rows, and for what has no forward mode.

        Source: Nocedal and Wright, Numerical Optimization (2006), section 10.3; Kilcher, Lucchi, Hofmann, Flexible
        Prior Distributions for Deep Generative Models (2017), proposition 1, which prints J J^T.
        """
        if self.loss is not mse or self.coupled:
            raise ValueError(
                "Gauss-Newton matrices need the loss 'mse' and batch_norm='eval'; else choose a solver that does "
                f"without: {_WITHOUT}"
            )
        at_once = max(1, min(_TANGENTS, _NUMBERS // self.target[:1].numel()))
        try:
            blocks = torch.split(z.detach(), max(1, at_once // z.shape[1]))
            return torch.cat([self._normal_matrix(block, at_once) for block in blocks])
        except (RuntimeError, NotImplementedError) as error:
            if is_out_of_memory(error, str(error)):
                raise
            raise ValueError(
                "decode cannot be differentiated in forward mode, for many directions at once; choose a solver that "
                f"does without: {_WITHOUT}; torch says: {error}"
            ) from error

    def _normal_matrix(self, z: Tensor, at_once: int) -> Tensor:
        jacobian = self._tangents(z, at_once).flatten(2).movedim(0, 1)  # (n, d, D)
        return 2 * jacobian @ jacobian.mT / jacobian.shape[2]

    def _tangents(self, z: Tensor, at_once: int) -> Tensor:
        """The columns of the Jacobian at each of ``z`` (n, d): (d, n, *shape)."""
        directions = torch.eye(z.shape[1], dtype=z.dtype, device=z.device)[:, None].expand(-1, len(z), -1)

        def column(direction: Tensor) -> Tensor:
            tangent: Tensor = torch.func.jvp(lambda z: self.decode(z.clone()), (z,), (direction,))[1]
            return tangent

        with torch.no_grad():
            columns: Tensor = torch.func.vmap(column, chunk_size=at_once)(directions)
        return columns
