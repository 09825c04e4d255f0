"""RowAdam is Adam with a life of its own for every row; ball and sphere hold what is projected onto them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from benchsuite.kit.optimisers import RowAdam, project_to_ball, project_to_sphere


def gradients(steps: int, n: int, d: int, dtype: torch.dtype) -> Tensor:
    """(steps, n, d), of sizes from 1e-4 to 1e4, as losses that are sums or means have them."""
    generator = torch.Generator().manual_seed(0)
    scale = 10 ** torch.linspace(-4, 4, n, dtype=dtype)[:, None]
    return scale * torch.randn(steps, n, d, generator=generator, dtype=dtype)


def adam_path(gradients: Tensor, betas: tuple[float, float], rate: float) -> Tensor:
    """Where torch's Adam goes from 0 under these gradients, (n, d)."""
    table = torch.zeros_like(gradients[0], requires_grad=True)
    adam = torch.optim.Adam([table], lr=rate, betas=betas)
    for gradient in gradients:
        table.grad = gradient
        adam.step()
    return table.detach()


@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.5, 0.9)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-6), (torch.float64, 1e-13)])
@pytest.mark.parametrize("steps", [1, 2, 50])
def test_with_every_row_in_each_batch_it_is_adam(
    betas: tuple[float, float], dtype: torch.dtype, tolerance: float, steps: int
) -> None:
    given = gradients(steps, 9, 3, dtype)
    optimiser, table = RowAdam(given[0], betas=betas), torch.zeros_like(given[0])
    for number, gradient in enumerate(given):
        rows = torch.randperm(9, generator=torch.Generator().manual_seed(number))
        table[rows] -= 0.1 * optimiser.direction(rows, gradient[rows])
    expected = adam_path(given, betas, rate=0.1)
    assert torch.allclose(table, expected, rtol=tolerance, atol=tolerance)


def test_each_row_goes_as_if_it_had_been_alone() -> None:
    given = gradients(12, 6, 2, torch.float32)
    optimiser, table = RowAdam(given[0]), torch.zeros(6, 2)
    for number, gradient in enumerate(given):
        rows = torch.arange(6)[
            [number % (row + 1) == 0 for row in range(6)]
        ]  # row 0 in every batch, row 5 in every 6th
        table[rows] -= 0.1 * optimiser.direction(rows, gradient[rows])
    for row in range(6):
        own = given[:: row + 1, row : row + 1]
        assert torch.allclose(table[row], adam_path(own, (0.9, 0.999), rate=0.1)[0], rtol=1e-5, atol=1e-6)
    assert optimiser.steps.flatten().tolist() == [12, 6, 4, 3, 3, 2]


def test_a_row_outside_the_batch_does_not_move() -> None:
    optimiser = RowAdam(torch.zeros(4, 2))
    everyone = torch.arange(4)
    optimiser.direction(everyone, torch.ones(4, 2))
    before = {name: value.clone() for name, value in optimiser.state_dict().items()}
    step = optimiser.direction(torch.tensor([2, 0]), torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    assert step.shape == (2, 2)
    for name, value in optimiser.state_dict().items():
        assert torch.equal(value[[1, 3]], before[name][[1, 3]])
        assert not torch.equal(value[[0, 2]], before[name][[0, 2]])


def test_the_first_step_has_length_one_whatever_the_gradient() -> None:
    gradient = torch.tensor([[1e-6, -1e6], [3.0, -0.5]])
    assert torch.allclose(
        RowAdam(gradient, eps=0.0).direction(torch.arange(2), gradient), gradient.sign(), rtol=1e-6, atol=0
    )


def test_a_row_without_gradient_stays() -> None:
    assert torch.equal(RowAdam(torch.zeros(2, 2)).direction(torch.arange(2), torch.zeros(2, 2)), torch.zeros(2, 2))


def test_its_state_is_saved_like_that_of_any_module() -> None:
    given = gradients(6, 5, 2, torch.float32)
    rows = torch.arange(5)
    first, second = RowAdam(given[0]), RowAdam(given[0])
    for gradient in given[:4]:
        first.direction(rows, gradient)
    second.load_state_dict(first.state_dict())
    for gradient in given[4:]:
        assert torch.equal(first.direction(rows, gradient), second.direction(rows, gradient))


codes = st.integers(1, 6).flatmap(
    lambda d: st.lists(st.lists(st.floats(-1e6, 1e6, width=32), min_size=d, max_size=d), min_size=1, max_size=5)
)


@given(codes)
@settings(deadline=None)
def test_what_is_projected_is_never_outside_the_ball_and_stays_where_it_is(rows: list[list[float]]) -> None:
    z = torch.tensor(rows)
    projected = project_to_ball(z)
    norms = projected.double().norm(dim=1)
    assert float(norms.max()) <= 1 + 1e-6
    assert torch.allclose(project_to_ball(projected), projected, rtol=1e-6, atol=0)
    inside = z.norm(dim=1) <= 1
    assert torch.equal(projected[inside], z[inside])
    outside = ~inside
    assert torch.allclose(norms[outside], torch.ones_like(norms[outside]), rtol=1e-6)
    assert torch.allclose(projected[outside] * z[outside].norm(dim=1, keepdim=True), z[outside], rtol=1e-5, atol=1e-5)


@given(codes)
@settings(deadline=None)
def test_what_is_projected_to_the_sphere_has_norm_one_and_the_direction_it_had(rows: list[list[float]]) -> None:
    z = torch.tensor(rows)
    projected = project_to_sphere(z)
    assert torch.allclose(projected.double().norm(dim=1), torch.ones(len(z), dtype=torch.float64), rtol=1e-6)
    torch.testing.assert_close(project_to_sphere(projected), projected, rtol=1e-6, atol=1e-7)
    wide = z.double()
    nearest = wide / wide.norm(dim=1, keepdim=True)  # in float64 squares of the smallest float32 are numbers
    some = wide.abs().amax(1) > 0
    torch.testing.assert_close(projected[some].double(), nearest[some], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [0.0, 1e-45, 1e-30, 1e-20, 1.0, 1e20, 3e38])
def test_no_length_is_too_small_or_too_large_for_the_sphere(size: float) -> None:
    z = torch.tensor([[size, -size, size], [0.0, size, 0.0]])
    projected = project_to_sphere(z)
    assert bool(projected.isfinite().all())
    assert torch.allclose(projected.norm(dim=1), torch.ones(2), rtol=1e-6)
    if size > 0:
        assert torch.equal(projected.sign(), z.sign())


def test_zeros_go_to_the_first_unit_vector() -> None:
    assert torch.equal(project_to_sphere(torch.zeros(2, 3)), torch.tensor([[1.0, 0.0, 0.0]]).expand(2, 3))
