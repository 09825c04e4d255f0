"""Densities for pictures are those of the law, and their numbers those of samples that are right or wrong by a known
amount."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from made_up import seeded
from scipy import stats
from torch import Tensor, nn

from benchsuite import NotApplicableError, Samples
from benchsuite.harness.registry import load_registry
from benchsuite.kit.laws import ExponentialRing, NormalMixture
from benchsuite.kit.priors import NormalPrior

REGISTRY = load_registry()
LAW, POSTERIOR = (REGISTRY.get("metrics", name).compute for name in ("law_density", "posterior_density"))
TWO = NormalMixture(torch.tensor([[1.0], [3.0]]), torch.tensor([[0.09]]))
PLANE = NormalMixture(torch.ones(1, 2), 0.49 * torch.tensor([[1.0, 0.5], [0.5, 1.0]]))


class Latent(nn.Module):
    """A model that has nothing but a prior on a line."""

    latent_dim = 1

    def __init__(self) -> None:
        super().__init__()
        self.prior = NormalPrior(1)


@pytest.mark.parametrize("law", [TWO, PLANE], ids=["line", "plane"])
def test_samples_of_the_law_itself_score_as_they_should(law: NormalMixture) -> None:
    # 50 000 draws, seed 0: a distance above 0.0088 has a chance of 1e-3, for each coordinate; three standard errors.
    rows = LAW(Samples(law.sample(50_000, seeded())), law, nn.Identity()).value
    assert rows["ks"] < 0.0088
    assert rows["inside_50"] == pytest.approx(0.5, abs=0.008) and rows["inside_90"] == pytest.approx(0.9, abs=0.005)


def test_the_distance_is_scipys() -> None:
    x = 0.3 + 1.1 * TWO.sample(3000, seeded())
    rows = LAW(Samples(x), TWO, nn.Identity()).value
    expected = stats.kstest(x[:, 0].numpy(), lambda t: (stats.norm.cdf(t, 1, 0.3) + stats.norm.cdf(t, 3, 0.3)) / 2)
    assert rows["ks"] == pytest.approx(expected.statistic, abs=1e-4)


def test_in_the_plane_it_is_that_of_the_worse_coordinate() -> None:
    x = PLANE.sample(3000, seeded())
    x[:, 1] += 0.35
    expected = stats.kstest(x[:, 1].numpy(), stats.norm(1, 0.7).cdf)
    assert LAW(Samples(x), PLANE, nn.Identity()).value["ks"] == pytest.approx(expected.statistic, abs=2e-3)


def test_a_normal_with_the_mixtures_moments_has_the_distance_that_it_has() -> None:
    grid = np.linspace(-3, 7, 100_001)
    truth = (stats.norm.cdf(grid, 1, 0.3) + stats.norm.cdf(grid, 3, 0.3)) / 2
    expected = np.abs(truth - stats.norm.cdf(grid, 2, math.sqrt(1.09))).max()
    x = 2 + math.sqrt(1.09) * torch.randn(50_000, 1, generator=seeded())
    assert LAW(Samples(x), TWO, nn.Identity()).value["ks"] == pytest.approx(expected, abs=0.009)
    assert expected == pytest.approx(0.17, abs=0.005)


def test_the_smallest_region_of_a_normal_is_an_ellipse() -> None:
    """With covariance times c, the share inside the region with 1 - a of the law is 1 - a^(1 / c), in the plane."""
    x = 1 + math.sqrt(2) * (PLANE.sample(50_000, seeded()) - 1)
    rows = LAW(Samples(x), PLANE, nn.Identity()).value
    assert rows["inside_90"] == pytest.approx(1 - 0.1**0.5, abs=0.01)
    assert rows["inside_50"] == pytest.approx(1 - 0.5**0.5, abs=0.01)


def test_densities_on_the_line_are_those_of_law_samples_and_latent_variable() -> None:
    x = torch.randn(50_000, 1, generator=seeded()) * 0.5 + 1
    arrays = LAW(Samples(x), TWO, Latent()).arrays
    grid = arrays["x"].double().numpy()
    np.testing.assert_allclose(
        arrays["truth"], (stats.norm.pdf(grid, 1, 0.3) + stats.norm.pdf(grid, 3, 0.3)) / 2, atol=1e-5
    )
    np.testing.assert_allclose(arrays["latent"], stats.norm.pdf(grid), atol=1e-5)
    np.testing.assert_allclose(arrays["model"], stats.norm.pdf(grid, 1, 0.5), atol=0.03)
    assert "latent" not in LAW(Samples(x), TWO, nn.Identity()).arrays


def test_the_density_in_the_plane_has_its_rows_along_y() -> None:
    law = NormalMixture(torch.tensor([[0.0, 2.0]]), torch.tensor([[1.0, 0.0], [0.0, 4.0]]))
    arrays = LAW(Samples(law.sample(2000, seeded())), law, nn.Identity()).arrays
    assert arrays["samples"].shape == (1000, 2)
    at = (40, 100)
    point = (float(arrays["x"][at[1]]), float(arrays["y"][at[0]]))
    expected = stats.multivariate_normal([0, 2], [[1, 0], [0, 4]]).pdf(point)
    assert float(arrays["density"][at]) == pytest.approx(expected, rel=1e-4)


class Codes(nn.Module):
    """Draws from the posterior itself, by rejection from the prior; or from the prior."""

    law = ExponentialRing()

    def __init__(self, exact: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.exact = exact

    def posterior_sample(self, x: Tensor, generator: torch.Generator) -> Tensor:
        z = math.sqrt(2) * torch.randn(2_000_000 if self.exact else len(x), 2, generator=generator)
        if not self.exact:
            return z
        chance = self.law.log_likelihood(x[:1].expand(len(z), 1), z).exp()
        kept = z[torch.rand(len(z), generator=generator) * chance.max() < chance]
        assert len(kept) >= len(x)
        return kept[: len(x)]


@pytest.fixture(scope="module")
def exact() -> Any:
    return POSTERIOR(Codes(True), ExponentialRing(), seeded())


def test_exact_draws_lie_in_the_posterior_as_they_should(exact: Any) -> None:
    # 4000 draws, seed 0; four standard errors.
    for x in (1, 30):
        assert exact.value[f"inside_90.x={x}"] == pytest.approx(0.9, abs=0.02)
        assert exact.value[f"near.x={x}"] == pytest.approx(exact.value[f"near_truth.x={x}"], abs=0.03)


def test_what_is_known_of_the_posterior_is_right(exact: Any) -> None:
    """By radial integration P(|z| < 1) is 0.3588 for x = 1 and 0 for x = 30, whose ridge is at 2.852."""
    assert exact.value["near_prior"] == pytest.approx(1 - math.exp(-0.25))
    assert exact.value["near_truth.x=1"] == pytest.approx(0.3588, abs=1e-3)
    assert exact.value["near_truth.x=30"] < 1e-4
    assert exact.value["hollow.x=1"] == pytest.approx(1) and exact.value["hollow.x=30"] < 1e-6
    density, axis = exact.arrays["posterior_30"], exact.arrays["x"]
    row, column = divmod(int(density.argmax()), len(axis))
    assert float(torch.stack([axis[column], axis[row]]).norm()) == pytest.approx(2.852, abs=0.05)
    cell = float(axis[1] - axis[0]) ** 2
    for name in ("prior", "posterior_1", "posterior_30"):
        assert float(exact.arrays[name].sum()) * cell == pytest.approx(1, abs=1e-3)


def test_draws_of_the_prior_miss_the_ring() -> None:
    rows = POSTERIOR(Codes(False), ExponentialRing(), seeded()).value
    assert rows["inside_90.x=30"] < 0.6
    assert rows["near.x=30"] == pytest.approx(1 - math.exp(-0.25), abs=0.03)


def test_what_does_not_apply_says_why() -> None:
    with pytest.raises(NotApplicableError, match="states no density and moments"):
        LAW(Samples(torch.rand(4, 1)), ExponentialRing(), nn.Identity())
    with pytest.raises(NotApplicableError, match="at most 2 coordinates"):
        LAW(Samples(torch.rand(4, 3)), NormalMixture(torch.zeros(1, 3), torch.eye(3)), nn.Identity())
    with pytest.raises(NotApplicableError, match="too narrow for the grid"):
        ring = REGISTRY.get("datasets", "ring")().truth()
        LAW(Samples(ring.sample(10, seeded())), ring, nn.Identity())
    with pytest.raises(NotApplicableError, match="states no posterior"):
        POSTERIOR(Codes(True), TWO, seeded())
    with pytest.raises(NotApplicableError, match="samples no posterior"):
        POSTERIOR(nn.Linear(1, 1), ExponentialRing(), seeded())
    other = Codes(True)
    other.law = TWO  # type: ignore[assignment]
    with pytest.raises(NotApplicableError, match="that of another model"):
        POSTERIOR(other, ExponentialRing(), seeded())
