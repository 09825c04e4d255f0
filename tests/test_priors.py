"""Priors draw from the laws whose densities they give, and these are those of torch.distributions.

Statistical tests draw 20,000 rows with seed 0, so that they always come out alike. Each bound is 5 standard errors or
a p-value of 1e-6: a right implementation under another seed fails in fewer than one of 50,000 draws in each test.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn
from torch.distributions import MultivariateNormal, Normal, Uniform

from benchsuite.kit.priors import GaussianPrior, NormalPrior, UniformPrior

N = 20_000
STD = torch.tensor([0.5, 1.0, 3.0])


def correlated(n: int = 500, d: int = 3) -> Tensor:
    """Codes with a mean and a full covariance."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(n, d, generator=generator) @ torch.randn(d, d, generator=generator) + torch.arange(d)


def fitted(codes: Tensor, isotropic: bool = False) -> GaussianPrior:
    prior = GaussianPrior(codes.shape[1])
    prior.fit_to(codes, isotropic=isotropic)
    return prior


PRIORS: dict[str, Callable[[], nn.Module]] = {
    "normal": lambda: NormalPrior(3),
    "scaled normal": lambda: NormalPrior(3, STD),
    "uniform": lambda: UniformPrior(3, -0.5, 2.0),
    "gaussian": lambda: fitted(correlated()),
    "untouched gaussian": lambda: GaussianPrior(3),
}


def draw(prior: nn.Module, n: int = N, seed: int = 0) -> Tensor:
    drawn: Tensor = prior.sample(n, torch.Generator().manual_seed(seed))  # type: ignore[operator]
    return drawn


def test_the_normal_density_is_that_of_torch() -> None:
    z = 2 * torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(NormalPrior(3).log_prob(z), Normal(0.0, 1.0).log_prob(z).sum(1), rtol=1e-5)
    assert torch.allclose(NormalPrior(3, STD).log_prob(z), Normal(0.0, STD).log_prob(z).sum(1), rtol=1e-5)
    assert torch.allclose(NormalPrior(3, 2.0).log_prob(z), Normal(0.0, 2.0).log_prob(z).sum(1), rtol=1e-5)


def test_the_uniform_density_is_that_of_torch() -> None:
    z = 3 * torch.rand(200, 2, generator=torch.Generator().manual_seed(0)) - 1
    expected = Uniform(-0.5, 2.0, validate_args=False).log_prob(z).sum(1)
    found = UniformPrior(2, -0.5, 2.0).log_prob(z)
    assert found.shape == (200,)
    assert 0 < int(found.isinf().sum()) < 200
    assert torch.equal(found.isinf(), expected.isinf())
    assert torch.allclose(found[found.isfinite()], expected[expected.isfinite()])


def test_the_gaussian_density_is_that_of_torch() -> None:
    codes = correlated()
    mean, covariance = codes.double().mean(0), torch.from_numpy(np.cov(codes.double().numpy(), rowvar=False))
    expected = MultivariateNormal(mean, covariance).log_prob(codes.double())
    assert torch.allclose(fitted(codes).log_prob(codes).double(), expected, atol=1e-3)
    untouched = GaussianPrior(3).log_prob(codes)
    assert torch.allclose(untouched, Normal(0.0, 1.0).log_prob(codes).sum(1), rtol=1e-5)


def test_a_density_integrates_to_one() -> None:
    grid = torch.linspace(-15, 15, 601)
    points = torch.cartesian_prod(grid, grid)
    for prior in (NormalPrior(2, torch.tensor([0.7, 2.0])), UniformPrior(2, -3.0, 4.0), fitted(correlated(d=2))):
        mass = float(prior.log_prob(points).double().exp().sum()) * 0.05**2
        assert mass == pytest.approx(1, rel=0.02)  # the grid cuts the edges of the box off by up to half a cell


@pytest.mark.parametrize("name", PRIORS)
def test_draws_have_the_spread_that_the_prior_states(name: str) -> None:
    prior = PRIORS[name]()
    z, std = draw(prior), torch.as_tensor(prior.std)
    assert z.shape == (N, 3)
    assert z.dtype == torch.float32
    # The standard error of a normal's standard deviation is std / sqrt(2 N); a uniform's is smaller.
    assert bool(((z.std(0) - std).abs() < 5 * std / math.sqrt(2 * N)).all())


@pytest.mark.parametrize("std", [1.0, 0.3])
def test_normal_draws_are_normal(std: float) -> None:
    for column in draw(NormalPrior(3, std)).T.double().numpy():
        assert stats.kstest(column, stats.norm(0, std).cdf).pvalue > 1e-6


def test_uniform_draws_are_uniform_and_inside_their_box() -> None:
    prior = UniformPrior(3, -0.5, 2.0)
    z = draw(prior)
    assert float(z.min()) >= -0.5
    assert float(z.max()) < 2.0
    assert bool(prior.log_prob(z).isfinite().all())
    for column in z.T.double().numpy():
        assert stats.kstest(column, stats.uniform(-0.5, 2.5).cdf).pvalue > 1e-6


@pytest.mark.parametrize("name", PRIORS)
def test_coordinates_of_independent_priors_do_not_correlate(name: str) -> None:
    if name == "gaussian":
        return
    correlations = np.corrcoef(draw(PRIORS[name]()).numpy(), rowvar=False) - np.eye(3)
    assert np.abs(correlations).max() < 5 / math.sqrt(N)


def test_a_fitted_gaussian_draws_with_the_mean_and_covariance_of_its_codes() -> None:
    codes = correlated().double().numpy()
    mean, covariance = codes.mean(0), np.cov(codes, rowvar=False)
    z = draw(fitted(correlated())).double().numpy()
    assert np.all(np.abs(z.mean(0) - mean) < 5 * np.sqrt(np.diag(covariance) / N))
    variance = covariance**2 + np.outer(np.diag(covariance), np.diag(covariance))  # N times that of each entry
    assert np.all(np.abs(np.cov(z, rowvar=False) - covariance) < 5 * np.sqrt(variance / N))
    white = np.linalg.solve(np.linalg.cholesky(covariance), (z - mean).T).ravel()
    assert stats.kstest(white, stats.norm.cdf).pvalue > 1e-6


def test_fitting_takes_the_covariance_of_numpy() -> None:
    codes = correlated()
    prior = fitted(codes)
    expected = np.cov(codes.double().numpy(), rowvar=False)
    assert np.allclose((prior.factor @ prior.factor.T).numpy(), expected, rtol=1e-4, atol=1e-4)
    assert np.allclose(prior.mean.numpy(), codes.numpy().mean(0), rtol=1e-5)
    assert np.allclose(prior.std.numpy(), np.sqrt(np.diag(expected)), rtol=1e-4)


def test_an_isotropic_fit_keeps_the_mean_and_the_total_variance_only() -> None:
    codes = correlated()
    prior = fitted(codes, isotropic=True)
    variance = float(codes.var(0).mean())
    assert torch.allclose(prior.factor @ prior.factor.T, variance * torch.eye(3), rtol=1e-4, atol=1e-5)
    assert torch.allclose(prior.mean, codes.mean(0))


def test_codes_in_a_plane_are_drawn_in_that_plane() -> None:
    plane = torch.tensor([[1.0, 2.0, 0.0], [0.0, 1.0, -1.0]])
    codes = torch.randn(200, 2, generator=torch.Generator().manual_seed(0)) @ plane
    normal = torch.linalg.cross(plane[0], plane[1])
    assert float((draw(fitted(codes), n=100) @ normal).abs().max()) < 1e-2


@pytest.mark.parametrize("seed", range(8))
def test_codes_in_a_plane_have_no_density(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    codes = torch.randn(50, 2, generator=generator) @ torch.randn(2, 4, generator=generator)
    with pytest.raises(ValueError, match=r"."):
        fitted(codes).log_prob(codes)


def test_a_single_code_is_drawn_again_and_again() -> None:
    prior = fitted(torch.tensor([[1.0, -2.0]]))
    assert torch.equal(draw(prior, n=3), torch.tensor([[1.0, -2.0]]).expand(3, 2))


@pytest.mark.parametrize("name", PRIORS)
def test_a_generator_is_the_only_randomness_of_a_draw(name: str) -> None:
    prior = PRIORS[name]()
    state = torch.get_rng_state()
    first, second = draw(prior, 5), draw(prior, 5)
    assert torch.equal(first, second)
    assert not torch.equal(first, draw(prior, 5, seed=1))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", PRIORS)
def test_without_a_generator_the_global_one_is_drawn_from(name: str) -> None:
    prior = PRIORS[name]()
    with torch.random.fork_rng():
        torch.manual_seed(5)
        found = prior.sample(7)
    assert torch.equal(found, draw(prior, 7, seed=5))


@pytest.mark.parametrize("name", PRIORS)
def test_a_prior_is_saved_and_loaded_with_its_model(name: str) -> None:
    prior = PRIORS[name]()
    other = type(prior)(3)
    other.load_state_dict(prior.state_dict())
    assert torch.equal(draw(prior, 4), draw(other, 4))
