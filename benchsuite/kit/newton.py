"""Solvers of recovery that learn or compute curvature, for each code its own.

Each tries a point, keeps it where the loss falls, and else tries one that is nearer. Nothing in them has units of codes
or of the loss.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from benchsuite.kit.objective import Objective
from benchsuite.kit.solvers import Solver, State
from benchsuite.parameters import Count, Positive, PositiveInt

_DECREASE = 1e-4  # the part of the decrease by slope that a step must bring
_CURVATURE = 1e-8  # the least cosine of a step and the change of the gradient along it that says something of curvature
_SHORTEST = 1e-7  # a step that has to be shorter, as a part of the first one tried, is none


@dataclass(frozen=True)
class _LineSearch(Solver):
    """Along each code's own direction, backtracking by quadratic interpolation.

    Source: Nocedal and Wright, Numerical Optimization (2006), section 3.1 and equation 3.57.
    """

    takes_constraints = False

    steps: Count = 100

    def begin(self, objective: Objective, codes: Tensor) -> State:
        state = _before_the_first(codes)
        return state | {"direction": torch.zeros_like(codes), "length": torch.ones_like(state["value"])}

    def advance(self, objective: Objective, state: State, value: Tensor, gradient: Tensor, done: float) -> None:
        step = state["codes"] - state["accepted"]
        slope = (state["gradient"] * step).sum(1).clamp_max(0)
        better = value <= state["value"] + _DECREASE * slope  # false where the value is not a number
        if done == 0:
            self.start(objective, state, value, gradient)
        change = gradient - state["gradient"]
        along = (step * change).sum(1)
        known = better & (along > _CURVATURE * step.norm(dim=1) * change.norm(dim=1))
        self.learn(state, known, step, change, torch.where(known, along, 1.0))
        # The minimum of the parabola through both values and the slope, as a part of the step.
        shorter = (-slope / (2 * (value - state["value"] - slope))).nan_to_num(0.1).clamp(0.1, 0.5)
        state["length"] = torch.where(better, 1.0, state["length"] * shorter)
        state["stalled"] = (value == state["value"]) | (~better & (state["length"] < _SHORTEST))
        for name, new in (("accepted", state["codes"]), ("gradient", gradient)):
            state[name] = torch.where(better[:, None], new, state[name])
        state["value"] = torch.where(better, value, state["value"])
        direction = self.direction(state)
        downhill = (direction * state["gradient"]).sum(1, keepdim=True) < 0
        steepest = -polyak_scale(state["value"], state["gradient"]) * state["gradient"]
        direction = torch.where(downhill, direction, steepest)
        state["direction"] = torch.where(better[:, None], direction, state["direction"])
        state["codes"] = state["accepted"] + state["length"][:, None] * state["direction"]

    @abstractmethod
    def start(self, objective: Objective, state: State, value: Tensor, gradient: Tensor) -> None:
        """Set up what is known of curvature, at the first evaluation."""

    @abstractmethod
    def learn(self, state: State, known: Tensor, step: Tensor, change: Tensor, along: Tensor) -> None:
        """Take in a ``step`` (n, d), the ``change`` of the gradient (n, d), and their product ``along`` it (n,).

        Only of the codes ``known`` (n,), which have gone to a lower loss and found curvature there.
        """

    @abstractmethod
    def direction(self, state: State) -> Tensor:
        """Where to go from ``accepted``, given ``gradient`` there, (n, d)."""


@dataclass(frozen=True)
class BFGS(_LineSearch):
    """BFGS with an inverse Hessian (d, d) for each code.

    ``initial`` is what it is at first: the inverse of the Gauss-Newton matrix there, which needs the mean squared
    error, or a multiple of the identity.

    Source: Nocedal and Wright, Numerical Optimization (2006), algorithm 6.1.
    """

    initial: Literal["gauss_newton", "identity"] = "gauss_newton"

    def start(self, objective: Objective, state: State, value: Tensor, gradient: Tensor) -> None:
        identity = torch.eye(gradient.shape[1], dtype=gradient.dtype, device=gradient.device)
        if self.initial == "identity":
            state["inverse"] = polyak_scale(value, gradient)[:, :, None] * identity
            return
        matrix = objective.gauss_newton(state["codes"]).double()
        mean = matrix.diagonal(dim1=1, dim2=2).mean(1).clamp_min(1e-300)
        floor = 1e-4 * mean[:, None, None] * identity.double()
        state["inverse"] = torch.cholesky_inverse(torch.linalg.cholesky_ex(matrix + floor).L).to(gradient.dtype)

    def learn(self, state: State, known: Tensor, step: Tensor, change: Tensor, along: Tensor) -> None:
        step, change = (torch.where(known[:, None], v, 0.0) for v in (step, change))
        along = along[:, None, None]
        image = (state["inverse"] @ change[:, :, None]).squeeze(2)
        cross = image[:, :, None] * step[:, None]
        square = step[:, :, None] * step[:, None]
        factor = 1 + (change * image).sum(1)[:, None, None] / along
        state["inverse"] = state["inverse"] + (factor * square - cross - cross.mT) / along

    def direction(self, state: State) -> Tensor:
        return -(state["inverse"] @ state["gradient"][:, :, None]).squeeze(2)


@dataclass(frozen=True)
class LBFGS(_LineSearch):
    """BFGS by the last ``history`` steps of each code in place of a matrix, for any loss.

    Source: Liu and Nocedal, On the Limited Memory BFGS Method (1989), algorithm 2.1.
    """

    steps: Count = 200
    history: PositiveInt = 10

    def start(self, objective: Objective, state: State, value: Tensor, gradient: Tensor) -> None:
        none = torch.zeros(len(gradient), self.history, gradient.shape[1], dtype=gradient.dtype, device=gradient.device)
        state["steps"], state["changes"], state["weights"] = none, none, none[:, :, 0]
        state["scale"] = polyak_scale(value, gradient)

    def learn(self, state: State, known: Tensor, step: Tensor, change: Tensor, along: Tensor) -> None:
        for name, new in (("steps", step), ("changes", change), ("weights", 1 / along)):
            newer = torch.cat([state[name][:, 1:], new[:, None]], 1)
            state[name] = torch.where(known.view(-1, *[1] * (newer.ndim - 1)), newer, state[name])
        scale = along / change.square().sum(1).clamp_min(torch.finfo(along.dtype).tiny)
        state["scale"] = torch.where(known[:, None], scale[:, None], state["scale"])

    def direction(self, state: State) -> Tensor:
        direction, factors = -state["gradient"], []
        for k in reversed(range(self.history)):  # a step that is not there yet has weight 0
            factor = (state["weights"][:, k] * (state["steps"][:, k] * direction).sum(1))[:, None]
            direction = direction - factor * state["changes"][:, k]
            factors.append(factor)
        direction = state["scale"] * direction
        for k, factor in enumerate(reversed(factors)):
            back = (state["weights"][:, k] * (state["changes"][:, k] * direction).sum(1))[:, None]
            direction = direction + (factor - back) * state["steps"][:, k]
        return direction


@dataclass(frozen=True)
class LevenbergMarquardt(Solver):
    """Levenberg-Marquardt with a damping for each code; the loss must be the mean squared error.

    A step costs d tangents: few steps, each dear. ``damping`` is the first one, as a part of the matrix's diagonal.

    Source: Marquardt, An Algorithm for Least-Squares Estimation of Nonlinear Parameters (1963).
    """

    steps: Count = 30
    damping: Positive = 1e-2

    def begin(self, objective: Objective, codes: Tensor) -> State:
        state = _before_the_first(codes)
        return state | {
            "matrix": torch.zeros(*codes.shape, codes.shape[1], dtype=codes.dtype, device=codes.device),
            "damping": torch.full_like(state["value"], 4 * self.damping, dtype=torch.float64),
        }

    def advance(self, objective: Objective, state: State, value: Tensor, gradient: Tensor, done: float) -> None:
        better = value < state["value"]
        state["damping"] = torch.where(better, state["damping"] / 4, state["damping"] * 8).clamp_min(1e-12)
        state["stalled"] = state["damping"] > 1e12
        state["accepted"] = torch.where(better[:, None], state["codes"], state["accepted"])
        state["gradient"] = torch.where(better[:, None], gradient, state["gradient"])
        state["value"] = torch.where(better, value, state["value"])
        if bool(better.any()):
            matrix = state["matrix"].clone()
            matrix[better] = objective.gauss_newton(state["codes"][better])
            state["matrix"] = matrix
        matrix = state["matrix"].double()
        diagonal = matrix.diagonal(dim1=1, dim2=2)
        diagonal = diagonal + 1e-6 * diagonal.mean(1, keepdim=True) + 1e-300
        damped = matrix + torch.diag_embed(state["damping"][:, None] * diagonal)
        step = torch.linalg.solve_ex(damped, state["gradient"].double()[:, :, None])[0].squeeze(2)
        state["codes"] = state["accepted"] - step.nan_to_num(0.0).to(gradient.dtype)


def _before_the_first(codes: Tensor) -> State:
    """The state of a search that has accepted no point yet, so that it will the first."""
    value = torch.full_like(codes[:, 0], torch.inf)
    return {"codes": codes, "accepted": codes, "value": value, "gradient": torch.zeros_like(codes)}


def polyak_scale(value: Tensor, gradient: Tensor) -> Tensor:
    """How many gradients down the line along the gradient meets a loss of 0, (n,) and (n, d) -> (n, 1).

    Where the loss is below 0, as far as it is from there.

    Source: Polyak, Introduction to Optimization (1987), section 5.3.
    """
    squares = gradient.square().sum(1).clamp_min(torch.finfo(value.dtype).tiny)
    return (value.abs() / squares)[:, None]
