"""What recovery minimises: for each of many codes the loss of its image against a target of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

import torch
from torch import Tensor

from benchsuite.kit.pyramid import lap1

RecoveryLoss = Callable[[Tensor, Tensor], Tensor]  # (n, *shape) and (n, *shape) -> (n,)
RecoveryLossName = Literal["mse", "lap1"]

_TANGENTS = 1024  # Jacobian columns computed at once: bounds memory, changes no result


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
            return self.loss(self.decode(z), self.target)

    def value_and_gradient(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """(n, d) -> (n,) and (n, d)."""
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            value = self.loss(self.decode(z), self.target)
            (gradient,) = torch.autograd.grad(value.sum(), z)
        return value.detach(), gradient

    def gauss_newton(self, z: Tensor) -> Tensor:
        """The Gauss-Newton matrices 2 J^T J / D of the mean squared error, (n, d) -> (n, d, d).

        J is the Jacobian of ``decode`` (D numbers by d), by forward-mode differentiation. At a solution they are the
        Hessians. Raises ValueError for any other loss, and for coupled rows.

        Source: Nocedal and Wright, Numerical Optimization (2006), section 10.3; Kilcher, Lucchi, Hofmann, Flexible
        Prior Distributions for Deep Generative Models (2017), proposition 1, which prints J J^T.
        """
        if self.loss is not mse or self.coupled:
            raise ValueError(
                "Gauss-Newton matrices need the loss 'mse' and batch_norm='eval'; else choose a solver that does "
                "without: Adam, RMSProp, LBFGS, BFGS(initial='identity'), or GradientDescent with a learning_rate"
            )
        blocks = torch.split(z.detach(), max(1, _TANGENTS // z.shape[1]))
        return torch.cat([self._normal_matrix(block) for block in blocks])

    def _normal_matrix(self, z: Tensor) -> Tensor:
        jacobian = self._tangents(z).flatten(2).movedim(0, 1)  # (n, d, D)
        return 2 * jacobian @ jacobian.mT / jacobian.shape[2]

    def _tangents(self, z: Tensor) -> Tensor:
        """The columns of the Jacobian at each of ``z`` (n, d): (d, n, *shape)."""
        directions = torch.eye(z.shape[1], dtype=z.dtype, device=z.device)[:, None].expand(-1, len(z), -1)

        def column(direction: Tensor) -> Tensor:
            tangent: Tensor = torch.func.jvp(self.decode, (z,), (direction,))[1]
            return tangent

        with torch.no_grad():
            columns: Tensor = torch.func.vmap(column)(directions)
        return columns
