"""Local convexity is what closed forms say of decoders whose Hessians are known."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from benchsuite import Model, NotApplicableError
from benchsuite_plugins.metrics.convexity import benchsuite_metrics, local_convexity

AXES = torch.diag(torch.tensor([1.0, 2.0, 4.0]))


class Fixed(torch.nn.Module):
    """A prior that draws the same code each time."""

    def __init__(self, code: list[float]) -> None:
        super().__init__()
        self.register_buffer("code", torch.tensor(code))

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        code: Tensor = self.code  # type: ignore[assignment]
        return code.expand(n, -1).clone()


class Decoding(Model):
    """A model that decodes by ``function``, with the prior ``Fixed(code)``."""

    def __init__(self, function: Callable[[Tensor], Tensor], code: list[float]) -> None:
        super().__init__()
        self.function, self.prior = function, Fixed(code)

    def decode(self, z: Tensor) -> Tensor:
        return self.function(z)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        raise AssertionError


class WithoutDecoder(Model):
    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        raise AssertionError


def rows(model: Model, images: int = 8) -> dict[str, float]:
    value = local_convexity(model, torch.Generator().manual_seed(0), images=images).value
    assert isinstance(value, dict)
    return value


def test_of_a_linear_decoder_it_is_the_condition_of_its_matrix_everywhere() -> None:
    found = rows(Decoding(lambda z: z @ AXES.to(z), [1.0, -1.0, 0.5]))
    assert found["smallest"] == pytest.approx(1 / 16) == found["median"]  # squares of singular values 1 and 4
    assert found["disagreement"] < 1e-12
    assert all(found[f"convex.{radius}"] == 1 for radius in ("0.01", "0.1", "0.3", "1"))


def test_a_direction_that_shows_nothing_has_no_curvature() -> None:
    found = rows(Decoding(lambda z: z[:, :2] @ AXES[:2, :2].to(z), [1.0, -1.0, 0.5]))
    assert found["smallest"] == pytest.approx(0, abs=1e-12)
    assert found["convex.1"] == 1


def test_of_a_square_it_ends_where_the_second_derivative_changes_its_sign() -> None:
    """(z^2 - c^2)^2 has 12 z^2 - 4 c^2, negative for |z| < c / sqrt(3): at c / 10, 3 c / 10 it is not, at 0 it is."""
    found = rows(Decoding(torch.square, [3.0]), images=64)
    assert found["smallest"] == pytest.approx(1) and found["disagreement"] < 1e-12
    assert found["convex.0.01"] == found["convex.0.1"] == found["convex.0.3"] == 1
    # At c + c = 2 c it is convex, at c - c = 0 it is not: which of the two is a coin toss for each of 64 codes, seed 0.
    assert 0.2 < found["convex.1"] < 0.8


def test_the_hessian_is_that_of_differences() -> None:
    """At a point away from the code, through tanh, against second differences of the loss itself."""
    from benchsuite_plugins.metrics.convexity import _hessians

    generator = torch.Generator().manual_seed(1)
    matrix = torch.randn(3, 5, generator=generator, dtype=torch.float64)
    model = Decoding(lambda z: (z @ matrix).tanh(), [0.0, 0.0, 0.0])
    z, target = torch.randn(1, 3, generator=generator).double(), torch.randn(1, 5, generator=generator).double()
    found = _hessians(model, z, target)[0]
    h = 1e-4 * torch.eye(3, dtype=torch.float64)

    def loss(at: Tensor) -> Tensor:
        return ((at @ matrix).tanh() - target).square().mean()

    for i in range(3):
        for j in range(3):
            mixed = loss(z + h[i] + h[j]) - loss(z + h[i] - h[j]) - loss(z - h[i] + h[j]) + loss(z - h[i] - h[j])
            assert float(found[i, j]) == pytest.approx(float(mixed) / 4e-8, abs=1e-5)


def test_what_it_does_not_suit_is_not_applicable() -> None:
    with pytest.raises(NotApplicableError, match="no decode"):
        rows(WithoutDecoder())
    with pytest.raises(NotApplicableError, match="do not depend"):
        rows(Decoding(lambda z: 0 * z, [1.0, 2.0]))


def test_the_model_stays_as_it_was() -> None:
    model = Decoding(torch.square, [3.0])
    rows(model)
    assert model.prior.code.dtype == torch.float32


def test_it_is_computed_only_where_it_is_named() -> None:
    assert [metric.default for metric in benchsuite_metrics()] == [False]
