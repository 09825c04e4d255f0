"""How recovery moves its codes: the protocol of a solver, and those that go by gradients alone.

A solver's state is a dictionary of tensors with one row for each code, so that codes which are done can be dropped.
``codes`` is what is evaluated next.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from benchsuite.kit.objective import Objective
from benchsuite.parameters import BelowOne, Count, NonNegative, Positive, check_fields

State = dict[str, Tensor]


@dataclass(frozen=True)
class Solver(ABC):
    """Settings of a search for codes, of at most ``steps`` evaluations of loss and gradient."""

    takes_constraints: ClassVar[bool] = True  # whether its search survives that something moves its codes

    steps: Count = 250

    def __post_init__(self) -> None:
        check_fields(type(self).__name__, self)

    @abstractmethod
    def begin(self, objective: Objective, codes: Tensor) -> State:
        """The state before the first step from ``codes`` (n, d)."""

    @abstractmethod
    def advance(self, objective: Objective, state: State, value: Tensor, gradient: Tensor, done: float) -> None:
        """Move ``state["codes"]``, whose loss (n,) and gradient (n, d) are given; ``done`` is the part of steps made.

        May set ``state["stalled"]`` (n,) for codes that it cannot move any more.
        """


@dataclass(frozen=True)
class GradientDescent(Solver):
    """Gradient descent with momentum; the rate falls on a line to ``final_rate`` times its first value.

    ``learning_rate`` is in units of codes squared over loss, by default 1 / L for each code, L being the largest
    eigenvalue of the Hessian that its loss would have at its start if it were a solution.

    Source: Lipton and Tripathi, Precise Recovery of Latent Vectors (2017), section 2; momentum by Polyak (1964).
    """

    steps: Count = 2000
    learning_rate: Positive | None = None
    momentum: BelowOne = 0.9
    final_rate: NonNegative = 1.0

    def begin(self, objective: Objective, codes: Tensor) -> State:
        if self.learning_rate is not None:
            rate = torch.full_like(codes[:, :1], self.learning_rate)
        else:
            matrices = objective.gauss_newton(codes).double().nan_to_num()  # a code whose loss is no number stays put
            largest = torch.linalg.eigvalsh(matrices)[:, -1:]
            rate = torch.where(largest > 0, 1 / largest, 0.0).to(codes.dtype)
        return {"codes": codes, "velocity": torch.zeros_like(codes), "rate": rate, "proposed": codes}

    def advance(self, objective: Objective, state: State, value: Tensor, gradient: Tensor, done: float) -> None:
        # What a constraint has moved does not keep the speed with which it ran into it.
        velocity = torch.where(state["codes"] == state["proposed"], state["velocity"], 0.0)
        state["velocity"] = self.momentum * velocity - _falling(self.final_rate, done) * state["rate"] * gradient
        state["codes"] = state["proposed"] = state["codes"] + state["velocity"]


@dataclass(frozen=True)
class RMSProp(Solver):
    """RMSProp with torch's defaults; ``learning_rate`` is in units of codes.

    Source: Tieleman and Hinton, Lecture 6.5 (2012), as Kilcher, Lucchi, Hofmann (2017), appendix D, use it.
    """

    learning_rate: Positive = 0.05
    final_rate: NonNegative = 1.0
    decay: BelowOne = 0.99
    epsilon: Positive = 1e-8

    def begin(self, objective: Objective, codes: Tensor) -> State:
        return {"codes": codes, "squares": torch.zeros_like(codes)}

    def advance(self, objective: Objective, state: State, value: Tensor, gradient: Tensor, done: float) -> None:
        state["squares"] = self.decay * state["squares"] + (1 - self.decay) * gradient.square()
        rate = self.learning_rate * _falling(self.final_rate, done)
        state["codes"] = state["codes"] - rate * gradient / (state["squares"].sqrt() + self.epsilon)


@dataclass(frozen=True)
class Adam(Solver):
    """Adam; ``learning_rate`` is in units of codes and falls on a line to ``final_rate`` times its first value.

    ``one_scale`` divides all coordinates of a code by the same root mean square. Codes that are projected need it: with
    one for each coordinate, descent ends where the rescaled gradient is normal to the set, which is not at the nearest
    code.

    Source: Kingma and Ba, Adam (2014), algorithm 1.
    """

    learning_rate: Positive = 0.05
    final_rate: NonNegative = 0.1
    one_scale: bool = False
    betas: tuple[BelowOne, BelowOne] = (0.9, 0.999)
    epsilon: Positive = 1e-8

    def begin(self, objective: Objective, codes: Tensor) -> State:
        second = torch.zeros_like(codes[:, :1] if self.one_scale else codes)
        return {"codes": codes, "first": torch.zeros_like(codes), "second": second}

    def advance(self, objective: Objective, state: State, value: Tensor, gradient: Tensor, done: float) -> None:
        squares = gradient.square().mean(1, keepdim=True) if self.one_scale else gradient.square()
        beta1, beta2 = self.betas
        count = round(done * self.steps) + 1
        state["first"] = torch.lerp(state["first"], gradient, 1 - beta1)
        state["second"] = torch.lerp(state["second"], squares, 1 - beta2)
        first, second = state["first"] / (1 - beta1**count), state["second"] / (1 - beta2**count)
        rate = self.learning_rate * _falling(self.final_rate, done)
        state["codes"] = state["codes"] - rate * first / (second.sqrt() + self.epsilon)


def _falling(final_rate: float, done: float) -> float:
    return 1 - (1 - final_rate) * done
