"""What recovery costs: many codes at once against one at a time, and its default solver against gradient descent."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from benchsuite.kit.nets import generator
from benchsuite.kit.newton import BFGS
from benchsuite.kit.objective import Objective, mse
from benchsuite.kit.recovery import Progress, recover
from benchsuite.kit.solvers import Adam, GradientDescent, Solver

CODES, SIZE, D = 64, 32, 20
RATIO = 36.0  # of the largest scale of a coordinate to the smallest: J^T J has a condition of about 1000


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


class IllConditioned(nn.Module):
    """A DCGAN generator of 32 px images whose coordinates have scales from 1 to ``ratio``."""

    def __init__(self, ratio: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = generator((1, SIZE, SIZE), D, 32)
        for parameter in self.net.parameters():  # as wide as after training; freshly made it is nearly constant
            parameter.data.mul_(3)
        self.register_buffer("scales", torch.logspace(0, -torch.log10(torch.tensor(ratio)).item(), D))

    def forward(self, z: Tensor) -> Tensor:
        images: Tensor = self.net(z * self.scales)
        return (images + 1) / 2


def problem(ratio: float) -> tuple[nn.Module, Tensor, Tensor, Tensor]:
    """(decoder in eval mode, codes, their images, starts)."""
    decoder = IllConditioned(ratio).eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    noise = torch.Generator().manual_seed(1)
    codes, starts = torch.randn(CODES, D, generator=noise), torch.randn(1, CODES, D, generator=noise)
    return decoder, codes, decoder(codes).detach(), starts


def condition(decoder: nn.Module, codes: Tensor) -> float:
    """The median condition number of J^T J at ``codes``."""
    values = torch.linalg.eigvalsh(Objective(decoder, codes, mse).gauss_newton(codes))
    return float((values[:, -1] / values[:, 0]).median())


def at_once(decoder: nn.Module, x: Tensor, starts: Tensor) -> float:
    """Processor seconds of ten steps of all codes together."""
    start = time.process_time()
    recover(decoder, x, starts, solver=Adam(10))
    return time.process_time() - start


def one_at_a_time(decoder: nn.Module, x: Tensor, starts: Tensor) -> float:
    """Processor seconds of ten steps of each code alone, in the loop that one would write first."""
    start = time.process_time()
    for target, begin in zip(x, starts[0], strict=True):
        z = begin[None].clone().requires_grad_()
        optimiser = torch.optim.Adam([z], 0.05)
        for _ in range(10):
            optimiser.zero_grad()
            (decoder(z)[0] - target).square().mean().backward()
            optimiser.step()
    return time.process_time() - start


def test_many_codes_at_once_are_cheaper_than_one_at_a_time(speedup: Callable[..., float]) -> None:
    decoder, _, x, starts = problem(1.0)
    ratio = speedup(lambda: one_at_a_time(decoder, x, starts), lambda: at_once(decoder, x, starts))
    print(f"\n{CODES} codes at once: {ratio:.1f} x as fast as one at a time; at least 5")
    assert ratio >= 5


class _EnoughError(Exception):
    """Ends a recovery that has found every code or run out of time."""


def until_all_are_found(solver: Solver, limit: float) -> tuple[float, float]:
    """(processor seconds, at most about ``limit``; the part of the codes found to a mean squared error of 1e-4)."""
    decoder, codes, x, starts = problem(RATIO)
    found = torch.zeros(CODES, dtype=torch.bool)
    start = time.process_time()

    def watch(progress: Progress) -> None:
        close = (progress.codes - codes[progress.sample]).square().mean(1) < 1e-4
        found[progress.sample[close]] = True
        if bool(found.all()) or time.process_time() - start > limit:
            raise _EnoughError

    with contextlib.suppress(_EnoughError):
        recover(decoder, x, starts, solver=solver, watch=watch)
    return time.process_time() - start, float(found.double().mean())


def test_the_default_solver_beats_momentum_descent_where_the_generator_is_ill_conditioned() -> None:
    """Momentum descent is stopped, unfinished perhaps, after 25 times what the default solver took."""
    decoder, codes, _, _ = problem(RATIO)
    until_all_are_found(BFGS(), 60)  # the first use of forward-mode differentiation imports what it needs
    for _ in range(3):
        seconds, found = until_all_are_found(BFGS(), 60)
        slow, found_slowly = until_all_are_found(GradientDescent(100_000), 25 * seconds)
        print(
            f"\ncondition {condition(decoder, codes):.0f}: default {seconds:.2f} s for {found:.0%}; momentum descent "
            f"{slow / seconds:.1f} x that for {found_slowly:.0%}; at least 20 x"
        )
        assert found == 1 and (found_slowly < 1 or slow >= 20 * seconds)
