"""Scores of codes equal their closed forms, and the papers' printed values."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import integrate, special, stats
from torch import Tensor

from benchsuite import NotApplicableError
from benchsuite.kit.latents import (
    ideal_prior_agreement,
    mean_pairwise_distance,
    normal_shape,
    prior_agreement,
    spectrum,
    standardised,
)
from benchsuite.kit.priors import GaussianPrior, MixturePrior, NormalPrior, UniformPrior


def with_singular_values(values: Tensor, n: int = 50) -> Tensor:
    """Codes (n, d) of a matrix with these singular values, seed 0."""
    generator = torch.Generator().manual_seed(0)
    d = len(values)
    left = torch.linalg.qr(torch.randn(n, d, generator=generator, dtype=torch.float64)).Q
    right = torch.linalg.qr(torch.randn(d, d, generator=generator, dtype=torch.float64)).Q
    return left * values @ right


@pytest.mark.parametrize("sigma", [1.0, 0.3])
@pytest.mark.parametrize("scaled", [True, False])
def test_prior_agreement_is_the_divergence_of_diagonal_normals(sigma: float, scaled: bool) -> None:
    values = torch.tensor([0.2, 1.0, 3.0, 12.0], dtype=torch.float64)
    deviations = values / math.sqrt(50) if scaled else values
    ratios = (deviations / sigma) ** 2
    closed = 0.5 * float((ratios - 1 - ratios.log()).sum())
    found = prior_agreement(with_singular_values(values), sigma, scaled=scaled)
    assert found == pytest.approx(closed, rel=1e-10)
    first = torch.distributions.MultivariateNormal(torch.zeros(4).double(), torch.diag(deviations**2))
    second = torch.distributions.MultivariateNormal(torch.zeros(4).double(), sigma**2 * torch.eye(4).double())
    assert found == pytest.approx(float(torch.distributions.kl_divergence(first, second)), rel=1e-10)


def normal(n: int, d: int, seed: int) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("scaled", [True, False])
@pytest.mark.parametrize(("n", "d", "repeats"), [(1024, 20, 40), (30, 5, 400), (7, 6, 400), (9, 1, 400)])
def test_codes_of_the_prior_agree_with_it_as_the_law_of_wishart_says(
    n: int, d: int, repeats: int, scaled: bool, centred: bool
) -> None:
    # Seeds 0, 1, ...; a right mean is missed by four standard errors once in 10,000 times.
    found = [prior_agreement(2 * normal(n, d, seed), 2.0, scaled=scaled, centred=centred) for seed in range(repeats)]
    expected = ideal_prior_agreement(n, d, scaled=scaled, centred=centred)
    assert abs(np.mean(found) - expected) < 4 * np.std(found) / math.sqrt(repeats)


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("scaled", [True, False])
@pytest.mark.parametrize("n", [2, 3, 50])
def test_in_one_dimension_the_ideal_agreement_is_an_integral_over_chi_square(
    n: int, scaled: bool, centred: bool
) -> None:
    def integrand(x: float) -> float:
        ratio = x / n if scaled else x
        return float((ratio - math.log(ratio) - 1) / 2 * stats.chi2.pdf(x, n - 1 if centred else n))

    parts = ((0, 1e-3), (1e-3, 1), (1, n + 1), (n + 1, np.inf))
    expected = sum(integrate.quad(integrand, *ends, limit=200)[0] for ends in parts)
    assert ideal_prior_agreement(n, 1, scaled=scaled, centred=centred) == pytest.approx(expected, rel=1e-6)


def test_the_ideal_agreement_is_infinite_where_prior_agreement_is() -> None:
    for n, centred in ((3, False), (4, True)):
        assert ideal_prior_agreement(n, 4, centred=centred) == math.inf
        assert prior_agreement(normal(n, 4, 0), centred=centred) == math.inf
        assert ideal_prior_agreement(n + 1, 4, centred=centred) < math.inf
    for n, d in ((0, 3), (3, 0)):
        with pytest.raises(ValueError, match="at least one row and one dimension"):
            ideal_prior_agreement(n, d)


def test_the_spectrum_is_that_of_the_codes_in_falling_order_with_a_number_for_each_dimension() -> None:
    values = torch.tensor([3.0, 1.0, 12.0, 0.2], dtype=torch.float64)
    codes = with_singular_values(values)
    assert spectrum(codes, scaled=False).tolist() == pytest.approx([12, 3, 1, 0.2])
    assert spectrum(codes).tolist() == pytest.approx([x / math.sqrt(50) for x in (12, 3, 1, 0.2)])
    assert spectrum(torch.tensor([[3.0, 4.0, 0.0]])).tolist() == pytest.approx([5, 0, 0])
    shifted = spectrum(codes + 7, scaled=False, centred=True)
    assert shifted.tolist() == pytest.approx(np.linalg.svd(codes - codes.mean(0), compute_uv=False).tolist())


def priors() -> list[tuple[torch.nn.Module, Tensor, NDArray[np.float64]]]:
    """Priors of codes, each with its mean and covariance, by other means than its own."""
    full = GaussianPrior(3)
    full.mean.copy_(torch.tensor([1.0, 2.0, -3.0]))
    full.factor.copy_(torch.tensor([[1.0, 0.0, 0.0], [0.9, 0.4, 0.0], [-2.0, 0.1, 5.0]]))
    box = UniformPrior(3, 1.0, 4.0)
    return [
        (full, full.mean, (full.factor.double() @ full.factor.double().T).numpy()),
        (NormalPrior(3, torch.tensor([0.1, 1.0, 7.0])), torch.zeros(3), np.diag([0.01, 1, 49])),
        (box, torch.full((3,), 2.5), np.diag([0.75, 0.75, 0.75])),
    ]


@pytest.mark.parametrize("number", range(3))
def test_in_units_of_a_prior_its_own_mean_and_covariance_are_those_of_standard_normal_codes(number: int) -> None:
    prior, mean, covariance = priors()[number]
    whitened = normal(50, 3, 0)
    whitened = torch.linalg.qr(whitened - whitened.mean(0)).Q * math.sqrt(50)  # exactly mean 0 and covariance I
    codes = mean + whitened @ torch.from_numpy(np.linalg.cholesky(covariance)).T
    found = standardised(codes, prior)
    assert found.mean(0).tolist() == pytest.approx([0, 0, 0], abs=1e-6)
    assert (found.T @ found / 50).flatten().tolist() == pytest.approx(np.eye(3).flatten().tolist(), abs=1e-5)
    assert prior_agreement(found) == pytest.approx(0, abs=1e-6)


def test_draws_of_every_prior_have_mean_0_and_covariance_1_in_its_units() -> None:
    # 4000 draws, seed 0; five standard errors of a mean are 0.08, those of a covariance 0.11 or less.
    mixture = MixturePrior(3, 2)
    mixture.weights.copy_(torch.tensor([0.2, 0.8]))
    mixture.mean.copy_(torch.tensor([[4.0, 0.0, 1.0], [5.0, 3.0, 1.0]]))
    mixture.factor[1, 0, 1] = 2.0
    for prior in (mixture, *(prior for prior, _, _ in priors())):
        found = standardised(prior.sample(4000, torch.Generator().manual_seed(0)), prior)
        assert found.mean(0).tolist() == pytest.approx([0, 0, 0], abs=0.08)
        torch.testing.assert_close(found.T.cov(), torch.eye(3).double(), rtol=0, atol=0.11)


def test_a_prior_may_state_its_deviations_or_bounds_as_numbers() -> None:
    codes = normal(50, 3, 0)
    torch.testing.assert_close(standardised(codes, SimpleNamespace(std=2.0, mean=1.0)), (codes - 1) / 2)
    box = standardised(codes, SimpleNamespace(low=-1.0, high=3.0))
    torch.testing.assert_close(box, (codes - 1) / (4 / math.sqrt(12)))


def test_float32_codes_in_a_subspace_agree_with_no_prior() -> None:
    """What rounding leaves of the missing directions is not taken for codes."""
    flat = (normal(100, 3, 0) @ normal(3, 8, 1)).float()
    assert prior_agreement(flat) == math.inf


def test_codes_stay_as_they_are_where_the_prior_states_nothing_of_itself() -> None:
    codes = normal(5, 3, 0)
    for prior in (None, SimpleNamespace(sample=None), NormalPrior(3)):
        assert torch.equal(standardised(codes, prior), codes)


def test_codes_have_no_units_of_a_prior_without_extent() -> None:
    flat = GaussianPrior(2)
    flat.fit_to(normal(20, 1, 0).float() @ torch.ones(1, 2))
    for prior in (flat, NormalPrior(2, torch.tensor([1.0, 0.0]))):
        with pytest.raises(NotApplicableError, match="no extent in some direction"):
            standardised(normal(5, 2, 0), prior)
    with pytest.raises(NotApplicableError, match="not finite"):
        standardised(torch.tensor([[1.0, math.inf]]), None)


def by_definition(codes: Tensor) -> tuple[float, float, NDArray[np.float64]]:
    """Mardia's skewness and kurtosis with the covariance divided by N, and squared radii with that by N - 1."""
    rows = codes.numpy() - codes.numpy().mean(0)
    products = rows @ np.linalg.inv(np.cov(rows.T, bias=True).reshape(rows.shape[1], -1)) @ rows.T
    radii = np.diag(products)
    return float((products**3).mean()), float((radii**2).mean()), radii * (len(rows) - 1) / len(rows)


@pytest.mark.parametrize(("n", "d"), [(1500, 3), (40, 8), (25, 1)])
def test_the_shape_of_codes_is_its_definition(n: int, d: int) -> None:
    codes = normal(n, d, 0).exp()
    shape = normal_shape(codes)
    skewness, kurtosis, radii = by_definition(codes)
    assert shape.skewness == pytest.approx(skewness, rel=1e-9)
    assert shape.kurtosis == pytest.approx(kurtosis / (d * (d + 2)), rel=1e-9)
    assert shape.radii.tolist() == pytest.approx(sorted(radii.tolist()), rel=1e-9)
    law = stats.beta(d / 2, (n - d - 1) / 2)
    assert shape.radius_ks == pytest.approx(float(stats.kstest(n * radii / (n - 1) ** 2, law.cdf).statistic), rel=1e-9)


def test_in_one_dimension_the_shape_is_that_of_scipy() -> None:
    codes = normal(200, 1, 0).exp()
    shape = normal_shape(codes)
    assert shape.skewness == pytest.approx(float(stats.skew(codes[:, 0])) ** 2, rel=1e-9)
    assert shape.kurtosis == pytest.approx(float(stats.kurtosis(codes[:, 0], fisher=False)) / 3, rel=1e-9)


@pytest.mark.parametrize(("n", "d"), [(100, 3), (300, 20), (30, 20)])
def test_normal_codes_have_the_shape_that_is_expected_of_them(n: int, d: int) -> None:
    # Seeds 0-199; four standard errors are exceeded once in 10,000 times.
    shapes = [normal_shape(normal(n, d, seed)) for seed in range(200)]
    skewness, kurtosis = [s.skewness for s in shapes], [s.kurtosis for s in shapes]
    assert abs(np.mean(skewness) - shapes[0].ideal_skewness) < 4 * np.std(skewness) / math.sqrt(200)
    assert abs(np.mean(kurtosis) - (n - 1) / (n + 1)) < 4 * np.std(kurtosis) / math.sqrt(200)
    pooled = np.concatenate([shape.radii.numpy() for shape in shapes]) * n / (n - 1) ** 2
    assert pooled.mean() == pytest.approx(d / (n - 1), rel=1e-9)  # what Beta(d / 2, (n - d - 1) / 2) has
    below = [float((pooled < stats.beta.ppf(share, d / 2, (n - d - 1) / 2)).mean()) for share in (0.25, 0.5, 0.75)]
    assert below == pytest.approx([0.25, 0.5, 0.75], abs=0.03)


def test_other_laws_have_the_shape_that_is_theirs() -> None:
    """By their moments, for 4000 codes of 5 dimensions: within four standard errors, which are 1.4% of the kurtosis and
    5.4% of the skewness where they are largest."""
    n, d = 4000, 5
    codes, generator = normal(n, d, 0), torch.Generator().manual_seed(1)
    sphere = codes / codes.norm(dim=1, keepdim=True)
    ball = sphere * torch.rand(n, 1, generator=generator, dtype=torch.float64) ** (1 / d)
    scales = torch.where(torch.rand(n, 1, generator=generator) < 0.5, 1.0, 3.0)
    assert normal_shape(sphere).kurtosis == pytest.approx(d / (d + 2), rel=0.056)
    assert normal_shape(ball).kurtosis == pytest.approx((d + 2) / (d + 4), rel=0.056)
    assert normal_shape(scales * codes).kurtosis == pytest.approx((1 + 81) / 2 / 25, rel=0.056)
    exponential = -torch.rand(n, d, generator=generator, dtype=torch.float64).log()
    assert normal_shape(exponential).skewness == pytest.approx(4 * d, rel=0.22)
    for symmetric in (codes, sphere, ball):
        assert normal_shape(symmetric).skewness < 0.12  # 0.05 is expected of normal codes
    radii = stats.chi2(d).cdf(d)  # codes of the sphere are at their mean radius, up to the estimated covariance
    assert normal_shape(sphere).radius_ks == pytest.approx(max(radii, 1 - radii), abs=0.06)
    assert normal_shape(codes).radius_ks < 0.02


def test_no_linear_map_changes_the_shape_of_codes() -> None:
    codes = normal(100, 3, 0).exp()
    shape, mapped = normal_shape(codes), normal_shape(codes @ normal(3, 3, 1) * 1e-3 + 5)
    assert mapped.skewness == pytest.approx(shape.skewness, rel=1e-8)
    assert mapped.kurtosis == pytest.approx(shape.kurtosis, rel=1e-8)
    assert mapped.radius_ks == pytest.approx(shape.radius_ks, rel=1e-8)


def test_codes_without_a_covariance_to_take_off_have_no_shape() -> None:
    with pytest.raises(NotApplicableError, match="needs more than 4 codes; there are 4"):
        normal_shape(normal(4, 3, 0))
    for flat in (normal(50, 1, 0).float() @ torch.tensor([[0.3, 1.7]]), torch.ones(50, 2)):
        with pytest.raises(NotApplicableError, match="lie in a subspace"):
            normal_shape(flat)
    with pytest.raises(NotApplicableError, match="not finite"):
        normal_shape(torch.full((50, 2), math.nan))


def test_prior_agreement_is_least_for_codes_with_the_moments_of_the_prior() -> None:
    ideal = with_singular_values(torch.full((4,), math.sqrt(50), dtype=torch.float64))
    assert prior_agreement(ideal) == pytest.approx(0, abs=1e-10)
    assert prior_agreement(0.9 * ideal) > 1e-3 and prior_agreement(1.1 * ideal) > 1e-3


def test_raw_prior_agreement_is_least_for_singular_values_of_one_which_no_codes_of_the_prior_have() -> None:
    ones = with_singular_values(torch.ones(4, dtype=torch.float64))
    assert prior_agreement(ones, scaled=False) == pytest.approx(0, abs=1e-10)
    assert prior_agreement(math.sqrt(50) * ones, scaled=False) > 50  # second moments of the prior itself
    for other in (0.9, 1.1):
        assert prior_agreement(other * ones, scaled=False) > 1e-3


def test_centring_takes_the_mean_off() -> None:
    codes = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    assert prior_agreement(codes + 5, centred=True) == pytest.approx(prior_agreement(codes, centred=True), rel=1e-5)
    assert prior_agreement(codes + 5) > 10 * prior_agreement(codes)


def test_codes_in_a_subspace_agree_with_no_normal_prior() -> None:
    assert prior_agreement(torch.randn(3, 5, generator=torch.Generator().manual_seed(0))) == math.inf
    assert prior_agreement(torch.zeros(10, 2)) == math.inf
    assert (
        prior_agreement(torch.randn(50, 1, generator=torch.Generator().manual_seed(0)) @ torch.ones(1, 3)) == math.inf
    )


def test_scores_of_no_codes_are_refused() -> None:
    for codes in (torch.zeros(0, 3), torch.full((4, 3), torch.nan)):
        with pytest.raises(ValueError, match="codes are finite numbers"):
            prior_agreement(codes)
    with pytest.raises(ValueError, match="at least two codes; got 1"):
        mean_pairwise_distance(torch.zeros(1, 3))


def distance_of_uniform_codes(d: int) -> float:
    """E|u - v| / d for u, v uniform on [-1, 1]^d, by integration.

    E sqrt(S) is the integral of (1 - E exp(-t S)) t^(-3/2) / (2 sqrt(pi)) over t; with t = s^2, of
    (1 - f(s)^d) / s^2 / sqrt(pi), where f(s) = E exp(-s^2 (u - v)^2) and u - v is triangular on [-2, 2].
    """

    def f(s: float) -> float:
        if s < 0.05:  # the closed form cancels there
            return sum((-s * s) ** k / math.factorial(k) * 2 * 4**k / ((2 * k + 1) * (2 * k + 2)) for k in range(6))
        return float(math.sqrt(math.pi) * special.erf(2 * s) / (2 * s) + math.expm1(-4 * s * s) / (4 * s * s))

    def integrand(s: float) -> float:
        return (1 - f(s) ** d) / s**2

    near = integrate.quad(integrand, 1e-6, 1, limit=200)[0]
    far = integrate.quad(integrand, 1, np.inf, limit=200)[0]
    return float(near + far) / math.sqrt(math.pi) / d


def test_the_baseline_of_table_2_is_the_unsquared_norm_over_the_dimension() -> None:
    """Lipton and Tripathi (2017) print 0.0815 for 100 dimensions; the squared norm would give 0.667.

    The mean of 1000 codes, seed 0, has a standard error of 1.2e-4, and is allowed four of them.
    """
    exact = distance_of_uniform_codes(100)
    assert round(exact, 4) == 0.0815
    codes = 2 * torch.rand(1000, 100, generator=torch.Generator().manual_seed(0)) - 1
    assert mean_pairwise_distance(codes) == pytest.approx(exact, abs=5e-4)
    assert distance_of_uniform_codes(20) == pytest.approx(0.181, abs=5e-4)
    assert distance_of_uniform_codes(1) == pytest.approx(2 / 3, rel=1e-6)


def test_the_mean_pairwise_distance_is_that_of_all_pairs() -> None:
    codes = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 4.0]])
    assert mean_pairwise_distance(codes) == pytest.approx((5 + 4 + 3) / 3 / 2)
