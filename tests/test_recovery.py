"""Recovery finds the codes it should, each as if it were alone, and leaves the decoder as it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import least_squares
from scipy.stats import kstest
from torch import Tensor, nn

from benchsuite.errors import ParameterError
from benchsuite.kit import objective
from benchsuite.kit.nets import generator
from benchsuite.kit.newton import BFGS, LBFGS, LevenbergMarquardt
from benchsuite.kit.objective import Objective, mse
from benchsuite.kit.optimisers import project_to_ball
from benchsuite.kit.pyramid import lap1
from benchsuite.kit.recovery import BatchNormMode, Progress, Recovered, clipping, recover
from benchsuite.kit.samples import Samples
from benchsuite.kit.solvers import Adam, GradientDescent, RMSProp, Solver

SOLVERS: list[Solver] = [
    GradientDescent(steps=1000),
    RMSProp(steps=1000, learning_rate=0.05, final_rate=0.0),
    Adam(steps=400, learning_rate=0.15),
    BFGS(),
    BFGS(initial="identity"),
    LBFGS(),
    LevenbergMarquardt(),
]
each_solver = pytest.mark.parametrize("solver", SOLVERS, ids=repr)


def linear(d: int = 4, dim: int = 12) -> nn.Linear:
    """A decoder with orthonormal columns, of which the best codes of any x are (x - bias) W."""
    decoder = nn.Linear(d, dim).double()
    random = torch.randn(dim, d, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        decoder.weight.copy_(torch.linalg.qr(random).Q)
        decoder.bias.copy_(torch.linspace(-1, 1, dim))
    return decoder


def normal(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def convolutional(shape: tuple[int, int, int] = (1, 8, 8), d: int = 3) -> nn.Module:
    """A generator whose images differ enough for its codes to be told, in float64 and eval mode."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        decoder = generator(shape, d, 4).double().eval()
    for parameter in decoder.parameters():
        parameter.data.mul_(10)
    return decoder


@each_solver
def test_the_codes_of_a_linear_decoder_are_found(solver: Solver) -> None:
    decoder, codes = linear(), normal(50, 4)
    found = recover(decoder, decoder(codes).detach(), normal(2, 50, 4, seed=2), solver=solver)
    torch.testing.assert_close(found.codes, codes, rtol=0, atol=1e-3)
    assert float(found.loss.max()) < 1e-6


OPTIMISERS: dict[str, tuple[Solver, Callable[[Tensor], torch.optim.Optimizer]]] = {
    "Adam": (Adam(40, learning_rate=0.05, final_rate=1.0), lambda z: torch.optim.Adam([z], 0.05)),
    "RMSProp": (RMSProp(40, learning_rate=0.05), lambda z: torch.optim.RMSprop([z], 0.05)),
    "momentum": (GradientDescent(40, learning_rate=0.5), lambda z: torch.optim.SGD([z], 0.5, momentum=0.9)),
    "descent": (GradientDescent(40, learning_rate=0.5, momentum=0.0), lambda z: torch.optim.SGD([z], 0.5)),
}


@pytest.mark.parametrize("name", OPTIMISERS)
def test_solvers_by_gradients_take_the_steps_of_torchs_optimisers(name: str) -> None:
    solver, make = OPTIMISERS[name]
    decoder, x, start = convolutional(), torch.rand(1, 1, 8, 8).double(), normal(1, 1, 3, seed=2)
    points: list[Tensor] = []
    recover(decoder, x, start, solver=solver, watch=lambda progress: points.append(progress.codes))
    z = start[0].clone().requires_grad_()
    optimiser = make(z)
    for point in points:
        torch.testing.assert_close(point, z.detach())
        optimiser.zero_grad()
        mse(decoder(z), x).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    assert len(points) == 41


@pytest.mark.parametrize("solver", [BFGS(), LBFGS(), LevenbergMarquardt(100)], ids=repr)
def test_data_off_a_curved_model_get_a_minimum_that_scipy_cannot_lower(solver: Solver) -> None:
    decoder, x = convolutional(), torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(4)).double()
    found = recover(decoder, x, normal(1, 4, 3, seed=2), solver=solver)

    for codes, loss, target in zip(found.codes, found.loss, x, strict=True):

        def residual(z: np.ndarray, target: Tensor = target) -> np.ndarray:
            with torch.no_grad():
                return np.asarray((decoder(torch.from_numpy(z)[None])[0] - target).flatten())

        best = least_squares(residual, codes.numpy(), xtol=1e-12, ftol=1e-12)
        assert 2 * best.cost / 64 == pytest.approx(float(loss), rel=1e-3)


@each_solver
def test_data_off_the_model_get_the_nearest_code(solver: Solver) -> None:
    decoder, x = linear(), 2 * normal(20, 12)
    found = recover(decoder, x, normal(1, 20, 4, seed=2), solver=solver)
    best = (x - decoder.bias) @ decoder.weight
    torch.testing.assert_close(found.codes, best.detach(), rtol=0, atol=2e-3)
    torch.testing.assert_close(found.loss, (decoder(best) - x).square().mean(1).detach(), rtol=1e-4, atol=0)


@pytest.mark.parametrize("solver", [BFGS(), LBFGS(), LevenbergMarquardt()], ids=repr)
def test_codes_of_a_convolutional_generator_are_found_exactly(solver: Solver) -> None:
    decoder, codes = convolutional(), normal(6, 3)
    found = recover(decoder, decoder(codes).detach(), normal(8, 6, 3, seed=2), solver=solver)
    torch.testing.assert_close(found.codes, codes, rtol=0, atol=1e-6)


@each_solver
@pytest.mark.parametrize("rows", [1, 7, 64])
def test_the_path_of_a_code_does_not_depend_on_how_many_share_its_batch(solver: Solver, rows: int) -> None:
    decoder = nn.Sequential(linear(), nn.Tanh(), linear(12, 20))
    x, starts = normal(64, 20), normal(3, 64, 4, seed=2)
    brief = type(solver)(**(vars(solver) | {"steps": 30}))
    together, alone = (
        recover(decoder, x, starts, solver=brief),
        recover(decoder, x[:rows], starts[:, :rows], solver=brief),
    )
    torch.testing.assert_close(alone.codes, together.codes[:rows], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("solver", [s for s in SOLVERS if getattr(s, "learning_rate", None) is None], ids=repr)
def test_the_units_of_codes_and_of_the_loss_do_not_matter_to_solvers_without_a_rate(solver: Solver) -> None:
    decoder, codes, starts = linear(), normal(20, 4), normal(1, 20, 4, seed=2)
    for scale in (1e-3, 1e3):
        for size in (1e-3, 1e3):
            x = size * decoder(codes).detach()
            found = recover(lambda z: size * decoder(z / scale), x, scale * starts, solver=solver)  # noqa: B023
            torch.testing.assert_close(found.codes / scale, codes, rtol=0, atol=1e-3)


@pytest.mark.parametrize("chunk", [1, 5, 7, 1000])
def test_the_batch_size_changes_no_code(chunk: int) -> None:
    decoder, x, starts = linear(), normal(11, 12), normal(3, 11, 4, seed=2)
    expected = recover(decoder, x, starts, solver=Adam(20))
    found = recover(decoder, x, starts, solver=Adam(20), batch_size=chunk)
    torch.testing.assert_close(found.codes, expected.codes, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(found.loss, expected.loss, rtol=1e-9, atol=0)


def test_data_may_be_samples() -> None:
    decoder, starts = linear().float(), normal(2, 11, 4, seed=2).float()
    x = normal(11, 12).float()
    found, expected = (recover(decoder, given, starts, batch_size=6) for given in (Samples(x), x))
    assert torch.equal(found.codes, expected.codes)


def test_no_more_codes_than_the_batch_size_are_decoded_at_once() -> None:
    decoder, sizes = linear(), set()

    def decode(z: Tensor) -> Tensor:
        sizes.add(len(z))
        return decoder(z)  # type: ignore[no-any-return]

    recover(decode, normal(100, 12), normal(3, 100, 4), solver=Adam(2), batch_size=10)
    assert sizes == {9, 3}


def wells(z: Tensor) -> Tensor:
    """z^3 - 3z: from above 1 descent towards a target of 2 ends at 2, from elsewhere it can end at -1."""
    return z**3 - 3 * z


def test_each_sample_keeps_the_best_of_its_restarts() -> None:
    x = torch.tensor([[18.0], [-18.0], [0.5]]).double()
    starts = torch.tensor([[[2.0], [2.0], [2.0]], [[-2.0], [-2.0], [0.0]], [[0.0], [0.0], [-2.0]]]).double()
    solver = Adam(100, learning_rate=0.02)
    each = [recover(wells, x, start[None], solver=solver) for start in starts]
    together = recover(wells, x, starts, solver=solver)
    losses = torch.stack([found.loss for found in each])
    best = losses.argmin(0)
    assert len(set(best.tolist())) > 1
    torch.testing.assert_close(together.loss, losses.min(0).values)
    codes = torch.stack([found.codes for found in each])
    torch.testing.assert_close(together.codes, codes[best, torch.arange(3)])


def test_of_each_path_the_best_point_is_kept() -> None:
    """A rate that is too large goes up: the start is the best that it saw."""
    decoder, x, starts = linear(), normal(5, 12), normal(1, 5, 4, seed=2)
    found = recover(decoder, x, starts, solver=GradientDescent(20, learning_rate=1000.0))
    assert torch.equal(found.codes, starts[0]) and found.steps.tolist() == [0] * 5


@each_solver
def test_a_path_that_became_nan_is_never_the_best(solver: Solver) -> None:
    def decode(z: Tensor) -> Tensor:
        return z.sqrt()  # NaN below 0

    x = torch.full((3, 1), 1.5).double()
    starts = torch.tensor([[[-1.0], [2.0], [-1.0]], [[2.0], [-1.0], [-2.0]]]).double()
    found = recover(decode, x, starts, solver=solver)
    torch.testing.assert_close(found.codes[:2], torch.full((2, 1), 2.25).double(), rtol=0, atol=0.1)
    assert torch.equal(found.codes[2], starts[0, 2]) and found.loss[2] == torch.inf


CONSTRAINED = [s for s in SOLVERS if s.takes_constraints]


@pytest.mark.parametrize("solver", CONSTRAINED, ids=repr)
def test_projection_is_respected(solver: Solver) -> None:
    decoder, x = linear(), 5 * normal(20, 12)
    points: list[Tensor] = []
    found = recover(
        decoder,
        x,
        project_to_ball(normal(40, 4, seed=2)).view(2, 20, 4),
        solver=solver,
        constrain=project_to_ball,
        watch=lambda progress: points.append(progress.codes),
    )
    assert float(torch.cat(points).norm(dim=1).max()) <= 1 + 1e-9
    torch.testing.assert_close(found.loss, (decoder(found.codes) - x).square().mean(1).detach())


@pytest.mark.parametrize("solver", [Adam(one_scale=True), GradientDescent()], ids=repr)
def test_among_projected_codes_the_nearest_is_found(solver: Solver) -> None:
    decoder, x = linear(), 5 * normal(20, 12)
    free = ((x - decoder.bias) @ decoder.weight).detach()
    assert float(free.norm(dim=1).min()) > 1
    found = recover(decoder, x, normal(2, 20, 4, seed=2), solver=solver, constrain=project_to_ball)
    # The columns being orthonormal, the best code in the ball is the one nearest to the best code of all.
    torch.testing.assert_close(found.codes, project_to_ball(free), rtol=0, atol=1e-2)


@pytest.mark.parametrize("solver", [s for s in SOLVERS if not s.takes_constraints], ids=repr)
def test_a_solver_that_cannot_be_constrained_says_so(solver: Solver) -> None:
    with pytest.raises(ValueError, match=f"{type(solver).__name__} cannot constrain its codes; choose"):
        recover(linear(), normal(5, 12), normal(2, 5, 4), solver=solver, constrain=project_to_ball)


@pytest.mark.parametrize("solver", CONSTRAINED, ids=repr)
def test_standard_clipping_finds_the_best_code_in_the_box(solver: Solver) -> None:
    """For orthonormal columns that is the free one, clipped."""
    decoder, x = linear(), 2 * normal(20, 12)
    free = ((x - decoder.bias) @ decoder.weight).detach()
    starts = torch.rand(1, 20, 4, generator=torch.Generator().manual_seed(2)).double()
    low, high = torch.tensor([-1.0, -0.5, -0.2, 0.0]), torch.tensor([1.0, 0.5, 0.2, 1.0])
    found = recover(decoder, x, starts, solver=solver, constrain=clipping("standard", low, high))
    torch.testing.assert_close(found.codes, free.clamp(low.double(), high.double()), rtol=0, atol=2e-3)


def test_stochastic_clipping_redraws_each_clipped_coordinate_alone_and_uniformly() -> None:
    """Seed 0. Kolmogorov-Smirnov at the 0.1% level for both coordinates; correlation at 4 standard errors."""
    n = 20_000
    redraw = clipping(
        "stochastic", torch.tensor([-1.0, 2.0]), torch.tensor([1.0, 5.0]), torch.Generator().manual_seed(0)
    )
    assert redraw is not None
    z = torch.tensor([[1.5, 1.0]]).repeat(n, 1)
    drawn = redraw(z)
    unit = (drawn - torch.tensor([-1.0, 2.0])) / torch.tensor([2.0, 3.0])
    for coordinate in unit.T:
        assert kstest(coordinate.numpy(), "uniform").pvalue > 1e-3
    assert abs(float(torch.corrcoef(unit.T)[0, 1])) < 4 / n**0.5
    assert len(unit.flatten().unique()) > 1.9 * n  # no draw is shared


def test_stochastic_clipping_leaves_the_others_where_they_are_and_counts_the_bounds_as_outside() -> None:
    redraw = clipping("stochastic", -1.0, 1.0, torch.Generator().manual_seed(0))
    assert redraw is not None
    z = torch.tensor([[0.3, -0.999, 1.0, -1.0, 7.0, -7.0]])
    once, twice = redraw(z), redraw(z)
    assert torch.equal(once[:, :2], z[:, :2])
    assert bool((once.abs() < 1).all()) and bool((once[:, 2:] != twice[:, 2:]).all())


@pytest.mark.parametrize("name", ["standard", "stochastic"])
def test_clipped_codes_are_in_the_box_at_every_step(name: Any) -> None:
    decoder, points = linear(), []

    def watch(progress: Progress) -> None:
        points.append(progress.codes)

    starts = torch.rand(2, 20, 4, generator=torch.Generator().manual_seed(2)).double()
    box = clipping(name, -0.5, 0.5, torch.Generator().manual_seed(0))
    solver = GradientDescent(50, learning_rate=5.0)
    recover(decoder, 5 * normal(20, 12), starts - 0.5, solver=solver, constrain=box, watch=watch)
    assert float(torch.cat(points).abs().max()) <= 0.5 and len(points) == 51


def test_no_clipping_is_no_constraint() -> None:
    assert clipping("none", -1.0, 1.0) is None


def test_a_sample_is_done_when_one_of_its_paths_is() -> None:
    decoder, codes, seen = linear(), normal(30, 4), []
    starts = torch.stack([codes + 1e-3, normal(30, 4, seed=2)])
    found = recover(
        decoder,
        decoder(codes).detach(),
        starts,
        solver=Adam(300),
        stop_loss=1e-4,
        watch=lambda p: seen.append(len(p.codes)),
    )
    assert seen == [60] and float(found.loss.max()) <= 1e-4


def test_a_sample_that_is_done_early_has_the_code_it_had_then() -> None:
    decoder, codes = linear(), normal(30, 4)
    x, starts, solver = decoder(codes).detach(), normal(2, 30, 4, seed=2), Adam(300, final_rate=1.0)
    points: list[Progress] = []
    whole = recover(decoder, x, starts, solver=solver, watch=points.append)
    found = recover(decoder, x, starts, solver=solver, stop_loss=1e-3)
    assert float(found.loss.max()) <= 1e-3 < float(found.loss.max()) * 10 and bool((found.steps < whole.steps).all())
    losses = torch.stack([p.loss.view(2, 30) for p in points])
    for row in range(30):  # the first point of either path at 1e-3 or below
        step, restart = map(int, (losses[:, :, row] <= 1e-3).nonzero()[0])
        assert int(found.steps[row]) == step
        torch.testing.assert_close(found.codes[row], points[step].codes[restart * 30 + row])


def test_patience_ends_paths_that_get_no_better() -> None:
    decoder, x = linear(), normal(20, 12)
    steps: list[int] = []
    solver = Adam(5000, learning_rate=0.1, final_rate=1.0)
    found = recover(
        decoder, x, normal(1, 20, 4, seed=2), solver=solver, patience=50, watch=lambda p: steps.append(p.step)
    )
    assert 50 < steps[-1] < 2000
    best = (x - decoder.bias) @ decoder.weight
    assert bool((found.loss < 1.02 * mse(decoder(best), x)).all())


def test_progress_rises_from_nothing_to_all() -> None:
    parts: list[float] = []
    recover(linear(), normal(20, 12), normal(1, 20, 4), solver=Adam(10), batch_size=7, on_progress=parts.append)
    assert parts == sorted(parts) and parts[-1] == pytest.approx(1) and 0 <= parts[0] < 0.1 and len(parts) > 20


@pytest.mark.parametrize("solver", [BFGS(), BFGS(initial="identity"), LBFGS(), LevenbergMarquardt()], ids=repr)
def test_a_solver_that_has_arrived_stops(solver: Solver) -> None:
    codes, seen = normal(8, 4), []
    recover(linear(), linear()(codes).detach(), codes[None], solver=solver, watch=lambda p: seen.append(p.step))
    assert len(seen) < 25 < solver.steps


@each_solver
def test_one_start_that_is_no_number_harms_no_other(solver: Solver) -> None:
    starts = torch.tensor([[[1.0, 2.0, 3.0], [-1.0, 2.0, 3.0]]]).double()
    found = recover(lambda z: z.sqrt(), torch.ones(2, 3).double(), starts, solver=solver)
    assert float(found.loss[0]) < 0.05 and found.loss[1] == torch.inf


@pytest.mark.parametrize("solver", [LBFGS(), BFGS(initial="identity"), Adam(400, learning_rate=0.15)], ids=repr)
def test_a_loss_may_be_negative(solver: Solver) -> None:
    codes = normal(10, 4)
    x, starts, steps = linear()(codes).detach(), normal(1, 10, 4, seed=2), []
    found = recover(
        linear(),
        x,
        starts,
        solver=solver,
        loss=lambda x_hat, x: mse(x_hat, x) - 10,
        patience=30,
        watch=lambda p: steps.append(p.step),
    )
    assert float(found.loss.max()) < -9.99 and steps[-1] < solver.steps


def test_those_who_watch_are_told_which_sample_and_restart_a_path_is_of() -> None:
    codes, starts = normal(9, 4), normal(3, 9, 4, seed=2)
    seen: list[Progress] = []
    recover(linear(), linear()(codes).detach(), starts, solver=Adam(1), batch_size=6, watch=seen.append)
    first = [p for p in seen if p.step == 0]
    assert sum(len(p.codes) for p in first) == 27
    for progress in first:
        assert torch.equal(progress.codes, starts[progress.restart, progress.sample])


@pytest.mark.parametrize("solver", [Adam(400), LBFGS()], ids=repr)
def test_the_laplacian_loss_finds_the_codes_too(solver: Solver) -> None:
    decoder, codes = convolutional(), normal(6, 3)
    x = decoder(codes).detach()
    found = recover(decoder, x, normal(8, 6, 3, seed=2), solver=solver, loss="lap1")
    torch.testing.assert_close(found.loss, lap1(decoder(found.codes), x).detach())
    torch.testing.assert_close(found.codes, codes, rtol=0, atol=0.02)


def test_any_loss_will_do() -> None:
    decoder, codes = linear(), normal(10, 4)

    def pseudo_huber(x_hat: Tensor, x: Tensor) -> Tensor:
        return ((1 + (x_hat - x).square()).sqrt() - 1).sum(1)

    found = recover(decoder, decoder(codes).detach(), normal(1, 10, 4, seed=2), solver=LBFGS(), loss=pseudo_huber)
    torch.testing.assert_close(found.codes, codes, rtol=0, atol=1e-3)


def test_a_solver_that_needs_squares_says_so() -> None:
    for solver in (BFGS(), LevenbergMarquardt(), GradientDescent()):
        with pytest.raises(ValueError, match="need the loss 'mse' and .*; else choose a solver that does without"):
            recover(convolutional(), torch.zeros(2, 1, 8, 8).double(), normal(1, 2, 3), solver=solver, loss="lap1")


@pytest.mark.parametrize("solver", [BFGS(), LevenbergMarquardt(), GradientDescent()], ids=repr)
def test_a_solver_that_needs_jacobians_refuses_codes_that_share_statistics(solver: Solver) -> None:
    with pytest.raises(ValueError, match="need the loss 'mse' and batch_norm='eval'; else choose"):
        recover(convolutional(), torch.zeros(2, 1, 8, 8).double(), normal(1, 2, 3), solver=solver, batch_norm="train")


def test_the_gauss_newton_matrix_is_that_of_the_jacobian_by_differences() -> None:
    decoder, z = convolutional(), normal(5, 3)
    found = Objective(decoder, torch.zeros(5, 1, 8, 8), mse).gauss_newton(z)
    columns = [(decoder(z + step) - decoder(z - step)).flatten(1) / 2e-5 for step in 1e-5 * torch.eye(3).double()]
    jacobian = torch.stack(columns, 2).detach()
    torch.testing.assert_close(found, 2 * jacobian.mT @ jacobian / 64, rtol=1e-6, atol=1e-8)


def test_at_a_solution_the_hessian_is_the_gauss_newton_matrix_and_elsewhere_it_is_not() -> None:
    """Kilcher, Lucchi, Hofmann (2017), proposition 1, with J^T J (d by d) where they print J J^T."""
    decoder, z = convolutional(), normal(2, 3)
    x = decoder(z[:1]).detach()
    hessians = [torch.func.hessian(lambda z: mse(decoder(z[None]), x)[0])(row) for row in z]
    matrices = Objective(decoder, x, mse).gauss_newton(z)
    torch.testing.assert_close(hessians[0], matrices[0], rtol=1e-6, atol=1e-9)
    assert bool((torch.linalg.eigvalsh(hessians[0]) > 0).all())
    assert not torch.allclose(hessians[1], matrices[1], rtol=0.1)


class _NoForwardMode(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor) -> Tensor:
        return 2 * z

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return 2 * gradient


def test_a_decoder_without_forward_mode_is_refused_by_solvers_that_need_it_and_taken_by_others() -> None:
    def decode(z: Tensor) -> Tensor:
        return _NoForwardMode.apply(z)  # type: ignore[no-any-return, no-untyped-call]

    x, starts = normal(5, 4), normal(1, 5, 4, seed=2)
    with pytest.raises(ValueError, match="cannot be differentiated in forward mode, .* does without: Adam"):
        recover(decode, x, starts)
    torch.testing.assert_close(recover(decode, x, starts, solver=LBFGS()).codes, x / 2, rtol=0, atol=1e-4)


def test_gauss_newton_matrices_do_not_depend_on_how_many_directions_go_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder, z = convolutional(), normal(5, 3)
    problem = Objective(decoder, torch.zeros(5, 1, 8, 8), mse)
    whole = problem.gauss_newton(z)
    for at_once in (1, 2, 7):
        monkeypatch.setattr(objective, "_TANGENTS", at_once)
        torch.testing.assert_close(problem.gauss_newton(z), whole)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a loss by another name": ({"loss": "l1"}, "loss='l1' is not allowed; loss is one of mse, lap1"),
    "a loss that is one number": ({"loss": F.mse_loss}, r"one number a sample, \(10,\); got \(\)"),
    "a mode by another name": ({"batch_norm": "evaluate"}, "batch_norm is one of eval, train"),
    "no batch": ({"batch_size": 0}, "batch_size=0 is not allowed"),
    "no patience": ({"patience": 0}, "patience=0 is not allowed"),
    "data of another shape": (
        {"x": torch.zeros(5, 1).double()},
        r"decode made \(10, 12\) of \(10, 4\); data are \(10, 1\)",
    ),
    "bytes": ({"x": torch.zeros(5, 12).to(torch.uint8)}, "go into Samples first"),
    "a constant": ({"decode": lambda z: torch.zeros(len(z), 12), "solver": Adam()}, "has no gradient"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be_is_refused(what: str) -> None:
    changed, message = WRONG[what]
    given = {"decode": linear(), "x": normal(5, 12), "starts": normal(2, 5, 4)} | changed
    with pytest.raises(ValueError, match=message):
        recover(**given)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Adam(-1),
        lambda: Adam(learning_rate=-1.0),
        lambda: GradientDescent(momentum=2.0),
        lambda: BFGS(initial="foo"),  # type: ignore[arg-type]
    ],
)
def test_settings_out_of_range_are_refused(make: Callable[[], Solver]) -> None:
    with pytest.raises(ParameterError, match=r"=.* is not allowed; .* is "):
        make()


def test_clipping_refuses_other_names_and_boxes_without_inside() -> None:
    with pytest.raises(ValueError, match="clipping is one of none, standard, stochastic"):
        clipping("stochastik", -1.0, 1.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="low < high"):
        clipping("standard", 1.0, -1.0)


def test_no_samples_give_no_codes() -> None:
    found = recover(linear(), normal(0, 12), normal(2, 0, 4))
    assert found.codes.shape == (0, 4) and len(found.loss) == len(found.steps) == 0


def test_a_method_of_a_module_finds_its_module() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = convolutional()

        def decode(self, z: Tensor) -> Tensor:
            return self.net(z)  # type: ignore[no-any-return]

    model = Model().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    recover(model.decode, torch.rand(5, 1, 8, 8), normal(1, 5, 3), solver=Adam(3))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items()) and model.net.training


def test_it_works_in_inference_mode_and_gives_no_graph() -> None:
    decoder, x, starts = linear(), normal(5, 12), normal(1, 5, 4)
    expected = recover(decoder, x, starts)
    with torch.inference_mode():
        assert torch.equal(recover(decoder, x, starts).codes, expected.codes)
    assert not recover(decoder, x, starts.clone().requires_grad_()).codes.requires_grad


def test_a_decoder_is_left_as_it_was() -> None:
    decoder = convolutional().train()
    before = {name: value.clone() for name, value in decoder.state_dict().items()}
    starts, x = normal(2, 5, 3), torch.rand(5, 1, 8, 8).double()
    given = starts.clone(), x.clone()
    modes: list[BatchNormMode] = ["eval", "train"]
    for mode in modes:
        found = recover(decoder, x, starts, solver=Adam(3), batch_norm=mode)
        assert all(p.grad is None and p.requires_grad for p in decoder.parameters())
        assert all(torch.equal(value, before[name]) for name, value in decoder.state_dict().items())
        assert all(module.training for module in decoder.modules())
        assert torch.equal(starts, given[0]) and torch.equal(x, given[1])
        assert not found.codes.requires_grad and not found.loss.requires_grad


def test_under_train_batch_norm_codes_share_statistics_and_under_eval_they_do_not() -> None:
    decoder = convolutional().train()
    x, starts = torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(3)).double(), normal(1, 5, 3, seed=2)

    def codes(mode: BatchNormMode, rows: int) -> Recovered:
        return recover(decoder, x[:rows], starts[:, :rows], solver=Adam(5), batch_norm=mode)

    torch.testing.assert_close(codes("eval", 2).codes, codes("eval", 5).codes[:2])
    assert not torch.allclose(codes("train", 2).codes, codes("train", 5).codes[:2])
    before = decoder(starts[0]).detach()
    assert torch.equal(codes("train", 5).loss <= mse(before, x) + 1e-12, torch.ones(5, dtype=torch.bool))


def test_codes_that_share_statistics_cannot_stop_apart() -> None:
    for options in ({"stop_loss": 0.1}, {"patience": 3}):
        with pytest.raises(ValueError, match="need batch_norm='eval'"):
            recover(linear(), normal(5, 12), normal(1, 5, 4), batch_norm="train", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(5, 4), (2, 4, 4), (0, 5, 4)])
def test_starts_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"starts are \(restarts, 5, d\) for 5 samples; got"):
        recover(linear(), normal(5, 12), normal(*shape))


def test_it_works_where_gradients_are_off() -> None:
    decoder, x, starts = linear(), normal(5, 12), normal(1, 5, 4)
    expected = recover(decoder, x, starts)
    with torch.no_grad():
        found = recover(decoder, x, starts)
    assert torch.equal(found.codes, expected.codes)


def test_it_draws_no_random_numbers() -> None:
    decoder, state = linear(), torch.get_rng_state()
    recover(decoder, normal(5, 12), normal(2, 5, 4))
    assert torch.equal(torch.get_rng_state(), state)
