"""Scores on known laws say what they measure, on models that are right or wrong by a known amount."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from scipy.stats import kstest
from torch import Tensor, nn

from benchsuite import NotApplicableError, Samples
from benchsuite.harness.registry import load_registry
from benchsuite.kit.laws import ExponentialRing, NormalMixture

REGISTRY = load_registry()
MOMENTS, ERROR, KS = (REGISTRY.get("metrics", name).compute for name in ("moments", "moment_error", "posterior_ks"))
TWO = NormalMixture(torch.tensor([[1.0], [3.0]]), torch.tensor([[0.09]]))


def test_moments_are_the_sample_mean_and_deviation() -> None:
    x = torch.randn(500, 3, generator=torch.Generator().manual_seed(0))
    rows = MOMENTS(Samples(x))
    assert [rows[f"mean.{i}"] for i in range(3)] == pytest.approx(x.double().mean(0).tolist(), rel=1e-6)
    assert [rows[f"std.{i}"] for i in range(3)] == pytest.approx(x.double().std(0).tolist(), rel=1e-6)
    assert set(MOMENTS(Samples(x[:, :1]))) == {"mean", "std"}


def test_moments_are_for_few_coordinates() -> None:
    for samples in (Samples(torch.rand(4, 1, 8, 8)), Samples(torch.randn(4, 9))):
        with pytest.raises(NotApplicableError, match="at most 8 coordinates"):
            MOMENTS(samples)


def test_the_error_of_moments_is_that_of_the_wrong_one() -> None:
    # Seed 0, 200 000 rows: standard errors of 0.0023 and 0.0034.
    generator = torch.Generator().manual_seed(0)
    right = TWO.sample(200_000, generator)
    rows = ERROR(Samples(right), TWO)
    assert rows["mean"] < 0.012 and rows["covariance"] < 0.018
    rows = ERROR(Samples(2 + 1.5 * (right - 2) + 0.25), TWO)
    assert rows["mean"] == pytest.approx(0.25, abs=0.02)
    assert rows["covariance"] == pytest.approx(1.25 * 1.09, abs=0.05)


class Codes(nn.Module):
    """A model whose posterior has the true radii, times a factor."""

    law = ExponentialRing()

    def __init__(self, factor: float, angles: float = 2 * math.pi) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.factor, self.angles = factor, angles

    def posterior_sample(self, x: Tensor, generator: torch.Generator) -> Tensor:
        law, grid = ExponentialRing(), torch.linspace(0, 14, 14_001, dtype=torch.float64)
        cdf = law.posterior_radius_cdf(grid, float(x[0]))
        unit = torch.rand(len(x), generator=generator, dtype=torch.float64)
        radius = self.factor * grid[torch.searchsorted(cdf, unit).clamp_max(len(grid) - 1)]
        angle = self.angles * torch.rand(len(x), generator=generator, dtype=torch.float64)
        return torch.stack([radius * angle.cos(), radius * angle.sin()], 1).float()


def score(model: Any) -> dict[str, float]:
    return KS(model, ExponentialRing(), torch.Generator().manual_seed(0))  # type: ignore[no-any-return]


def test_the_true_posterior_scores_nearly_zero() -> None:
    # 4000 draws: a Kolmogorov-Smirnov distance above 0.031 has a chance of 1e-3; seed 0.
    rows = score(Codes(1.0))
    assert set(rows) == {"x=1", "x=5", "x=10", "x=30", "angle"}
    assert max(rows.values()) < 0.04


def test_a_posterior_that_is_too_wide_or_points_one_way_does_not() -> None:
    assert all(score(Codes(1.5))[f"x={x}"] > 0.2 for x in (1, 5, 10, 30))
    # Angles spread over a half turn have a mean direction of length 2 / pi.
    assert score(Codes(1.0, math.pi))["angle"] == pytest.approx(2 / math.pi, abs=0.03)


def test_the_distance_is_scipys() -> None:
    model = Codes(1.2)
    found = score(model)["x=1"]
    z = model.posterior_sample(torch.ones(4000, 1), torch.Generator().manual_seed(0))
    radius = z.double().norm(dim=1)
    expected = kstest(radius.numpy(), lambda r: ExponentialRing().posterior_radius_cdf(torch.as_tensor(r), 1.0).numpy())
    assert found == pytest.approx(expected.statistic, abs=1e-9)


def test_what_does_not_apply_says_why() -> None:
    with pytest.raises(NotApplicableError, match="states no moments"):
        ERROR(Samples(torch.randn(4, 1)), ExponentialRing())
    with pytest.raises(NotApplicableError, match="states no posterior"):
        KS(Codes(1.0), TWO, torch.Generator())
    other = Codes(1.0)
    other.law = TWO  # type: ignore[assignment]
    with pytest.raises(NotApplicableError, match="that of another model; select likelihood=exponential"):
        KS(other, ExponentialRing(), torch.Generator())
    with pytest.raises(NotApplicableError, match="samples no posterior"):
        KS(nn.Linear(1, 1), ExponentialRing(), torch.Generator())


def test_a_law_that_is_not_known_is_not_applicable() -> None:
    with pytest.raises(NotApplicableError, match="the law of dataset 'digits' is not known"):
        REGISTRY.get("datasets", "digits")().truth()


SAMPLES = {"fd", "precision", "recall", "authpct"}
LAWS = {"mode_coverage", "high_quality_fraction"}


@pytest.mark.parametrize(
    ("dataset", "expected"),
    [
        ("digits", SAMPLES | {"psnr", "psnr_pooled", "psnr_train", "psnr_train_pooled", "ssim"}),
        ("mixture", SAMPLES | LAWS | {"moments", "moment_error", "posterior_ks"}),
    ],
)
def test_metrics_that_nobody_named_are_those_for_the_data(dataset: str, expected: set[str], tmp_path: Any) -> None:
    from benchsuite.harness.plan import make_plan
    from benchsuite.harness.recipe import recipe_from
    from benchsuite.harness.store import RunStore

    plan = make_plan(recipe_from({"methods": "pca", "datasets": dataset}), REGISTRY, RunStore(tmp_path / "run"))
    assert {name for planned in plan.cells for name in planned.cell.metrics} == expected
