"""Noise moves codes as far as least squares says, and in proportion to its variance."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchsuite import Model, NotApplicableError
from benchsuite.kit.priors import NormalPrior, UniformPrior
from benchsuite.kit.search import Search
from benchsuite_plugins.metrics.noise import benchsuite_metrics, noise_error, noise_slope

VARIANCES = {"1e-4": 1e-4, "1e-3": 1e-3, "1e-2": 1e-2, "1e-1": 1e-1}
D, DIM = 5, 64


class Linear(Model):
    """x = of(z) J^T with columns of different lengths; as images (x + 1) / 2, as those that are in [-1, 1] become."""

    def __init__(self, *, image: bool, of: Callable[[Tensor], Tensor] = torch.clone) -> None:
        super().__init__()
        random = torch.randn(DIM, D, generator=torch.Generator().manual_seed(0))
        self.register_buffer("jacobian", random * torch.linspace(0.3, 2, D))
        self.prior: nn.Module = NormalPrior(D)
        self.image, self.of = image, of

    def decode(self, z: Tensor) -> Tensor:
        jacobian: Any = self.jacobian
        x: Tensor = self.of(z) @ jacobian.T
        return ((x + 1) / 2).view(-1, 1, 8, 8) if self.image else x

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        raise AssertionError

    def expected(self) -> float:
        """tr((J^T J)^-1) / d."""
        jacobian: Any = self.jacobian
        return float(torch.linalg.inv(jacobian.double().T @ jacobian.double()).trace()) / D


class Nowhere(nn.Module):
    """A prior that knows one code."""

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        return torch.zeros(n, D)


def seeded(key: str, make: Callable[[], Any]) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make()


@pytest.mark.parametrize("image", [True, False])
def test_the_error_of_a_linear_generator_is_the_variance_times_the_trace_of_its_inverse_normal_matrix(
    image: bool,
) -> None:
    """4000 draws, seed 0; the mean of |z' - z|^2 / d has a standard error of 1.8% or less and is allowed four."""
    model = Linear(image=image)
    score = noise_error(model, seeded, images=4000, restarts=1)
    errors, variances = score.arrays["errors"], score.arrays["variances"]
    assert errors.shape == (4, 4000) and variances.tolist() == pytest.approx([*VARIANCES.values()]) and score.n == 4000
    means = errors.mean(1) / model.expected()
    torch.testing.assert_close(means, variances.double(), rtol=4 * 0.018, atol=0)
    assert isinstance(score.value, dict)
    for name, row in zip(VARIANCES, errors.tolist(), strict=True):
        assert score.value[name] == pytest.approx(statistics.median(row))


def slope(model: Any, shared: Callable[..., Any], **settings: Any) -> float:
    value = noise_slope(model, shared, **settings).value
    assert isinstance(value, float)
    return value


@pytest.mark.parametrize("image", [True, False])
def test_the_slope_of_a_linear_generator_is_1(image: bool) -> None:
    assert slope(Linear(image=image), seeded) == pytest.approx(1, abs=0.01)


def test_the_slope_is_0_where_recovery_fails_whatever_the_noise() -> None:
    model = Linear(image=False, of=torch.abs)  # of 32 signs one is right
    assert slope(model, seeded) == pytest.approx(0, abs=0.05)


def test_the_slope_is_by_least_squares_on_the_three_smallest_variances() -> None:
    powers = torch.tensor([0.3, 0.9, 2.1, 0.0], dtype=torch.float64)
    errors = (10.0 ** (powers + torch.arange(-4, 0).double()))[:, None].repeat(1, 5)
    # On logarithms -3.7, -2.1, 0.1 over -4, -3, -2: half of the difference of the ends.
    assert slope(Linear(image=False), lambda key, make: errors, images=5) == pytest.approx(1.9)


def test_the_median_of_an_even_number_of_images_lies_between_the_middle_two() -> None:
    """By the lower of the two the first would be 1, and the slope 1.15."""
    errors = torch.tensor([[1.0, 1, 3, 3], [20] * 4, [200] * 4, [7] * 4], dtype=torch.float64)
    model = Linear(image=False)
    score = noise_error(model, lambda key, make: errors, images=4)
    assert score.value == pytest.approx({"1e-4": 2, "1e-3": 20, "1e-2": 200, "1e-1": 7})
    assert slope(model, lambda key, make: errors, images=4) == pytest.approx(1)


def test_both_metrics_share_one_recovery_and_every_search_its_data() -> None:
    keys: list[str] = []

    def shared(key: str, make: Callable[[], Any]) -> Any:
        keys.append(key)
        return seeded(key, make)

    model = Linear(image=True)
    noise_error(model, shared, images=5)
    noise_slope(model, shared, images=5)
    noise_slope(model, shared, images=5, search=Search(steps=50))
    data, searches = keys[::2], keys[1::2]
    assert len(set(data)) == 1 and searches[0] == searches[1] != searches[2]


def test_settings_reach_the_search() -> None:
    """In the box of its prior no code can be farther off than the box is wide, which the unclipped codes are."""
    model = Linear(image=False, of=lambda z: z / 100)
    model.prior = UniformPrior(D)
    free, kept = (
        noise_error(model, seeded, images=50, search=Search("levenberg_marquardt", clipping)).arrays["errors"]
        for clipping in ("none", "standard")
    )
    assert float(free[3].max()) > 4 >= float(kept.max())


def test_what_has_no_slope_says_so() -> None:
    model = Linear(image=False, of=lambda z: 0 * z)
    model.prior = Nowhere()
    with pytest.raises(NotApplicableError, match="noise moves no code"):
        noise_slope(model, seeded, search=Search("adam", steps=2))
    with pytest.raises(NotApplicableError, match="clipping needs a prior with bounds"):
        noise_error(Linear(image=True), seeded, search=Search("adam", "stochastic"))


def test_the_plugin_provides_metrics_that_are_chosen_by_name_only() -> None:
    assert {metric.name: (metric.direction, metric.kind, metric.default) for metric in benchsuite_metrics()} == {
        "noise_error": ("min", None, False),
        "noise_slope": ("none", None, False),
    }
