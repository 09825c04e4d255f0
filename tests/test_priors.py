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
from sklearn.mixture import GaussianMixture
from torch import Tensor, nn
from torch.distributions import MultivariateNormal, Normal, Uniform

from benchsuite.kit.priors import GaussianPrior, MixturePrior, NormalPrior, UniformPrior

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


def clustered(n: int = 600, d: int = 3, clusters: int = 3, seed: int = 1) -> Tensor:
    """Codes in clusters far apart, the first with the most of them, each with a covariance of its own."""
    generator = torch.Generator().manual_seed(seed)
    of_row = (torch.rand(n, generator=generator).square() * clusters).long()
    centres = 4 * torch.eye(clusters, d)
    shapes = 0.3 * torch.randn(clusters, d, d, generator=generator)
    noise = torch.randn(n, 1, d, generator=generator)
    return centres[of_row] + (noise @ shapes[of_row]).squeeze(1)


def fitted_mixture(codes: Tensor, components: int = 3, seed: int = 0) -> MixturePrior:
    prior = MixturePrior(codes.shape[1], components)
    prior.fit_to(codes, seed)
    return prior


def in_sklearn(prior: MixturePrior) -> GaussianMixture:
    """The library's mixture of the same weights, means and covariances."""
    weights, mean, factor = (value.double().numpy() for value in (prior.weights, prior.mean, prior.factor))
    mixture = GaussianMixture(len(weights))
    mixture.weights_, mixture.means_ = weights, mean
    mixture.covariances_ = factor @ factor.transpose(0, 2, 1)
    precisions = np.linalg.inv(mixture.covariances_)
    mixture.precisions_cholesky_ = np.linalg.cholesky((precisions + precisions.transpose(0, 2, 1)) / 2)
    return mixture


PRIORS: dict[str, Callable[[], nn.Module]] = {
    "normal": lambda: NormalPrior(3),
    "scaled normal": lambda: NormalPrior(3, STD),
    "uniform": lambda: UniformPrior(3, -0.5, 2.0),
    "gaussian": lambda: fitted(correlated()),
    "untouched gaussian": lambda: GaussianPrior(3),
    "mixture": lambda: fitted_mixture(clustered()),
    "untouched mixture": lambda: MixturePrior(3, 4),
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
    mixture = fitted_mixture(clustered(d=2, clusters=2), 2)
    for prior in (
        NormalPrior(2, torch.tensor([0.7, 2.0])),
        UniformPrior(2, -3.0, 4.0),
        fitted(correlated(d=2)),
        mixture,
    ):
        mass = float(prior.log_prob(points).double().exp().sum()) * 0.05**2
        assert mass == pytest.approx(1, rel=0.02)  # the grid cuts the edges of the box off by up to half a cell


@pytest.mark.parametrize("name", PRIORS)
def test_draws_have_the_spread_that_the_prior_states(name: str) -> None:
    prior = PRIORS[name]()
    z, std = draw(prior), torch.as_tensor(prior.std)
    assert z.shape == (N, 3)
    assert z.dtype == torch.float32
    # The standard error of a normal's standard deviation is std / sqrt(2 N); that of flatter laws is smaller.
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
    if name in ("gaussian", "mixture"):
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
    other = MixturePrior(3, len(prior.weights)) if isinstance(prior, MixturePrior) else type(prior)(3)
    other.load_state_dict(prior.state_dict())
    assert torch.equal(draw(prior, 4), draw(other, 4))


def test_the_mixtures_density_is_that_of_scikit_learn() -> None:
    prior = fitted_mixture(clustered())
    z = 3 * torch.randn(200, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = in_sklearn(prior).score_samples(z.numpy())
    np.testing.assert_allclose(prior.log_prob(z).numpy(), expected, rtol=1e-4, atol=1e-4)


def test_the_mixture_fits_its_codes_as_well_as_scikit_learn_does() -> None:
    codes = clustered()
    library = GaussianMixture(3, random_state=0).fit(codes.double().numpy())
    prior = fitted_mixture(codes)
    assert float(prior.log_prob(codes).mean()) == pytest.approx(library.score(codes.double().numpy()), abs=1e-2)
    order, theirs = prior.mean[:, 0].argsort(), library.means_[:, 0].argsort()
    np.testing.assert_allclose(prior.mean[order].numpy(), library.means_[theirs], atol=1e-2)
    np.testing.assert_allclose(prior.weights[order].numpy(), library.weights_[theirs], atol=1e-2)


@pytest.mark.parametrize("size", [1e-4, 1.0, 1e4])
def test_the_unit_of_codes_does_not_change_the_mixture(size: float) -> None:
    """scikit-learn adds its millionth in the data's own unit, which would drown small codes."""
    codes = clustered()
    prior, scaled = fitted_mixture(codes), fitted_mixture(size * codes)
    assert torch.allclose(scaled.mean, size * prior.mean, rtol=1e-3, atol=1e-3 * size)
    assert torch.allclose(scaled.std, size * prior.std, rtol=1e-3)


def test_a_mixture_of_one_is_the_gaussian() -> None:
    codes = correlated()
    one, gaussian = fitted_mixture(codes, 1), fitted(codes)
    assert torch.allclose(one.mean[0], gaussian.mean, atol=1e-5)
    assert torch.allclose(one.std, gaussian.std, rtol=2e-3)  # sqrt(499 / 500): the most likely divides by n
    assert torch.allclose(one.log_prob(codes), gaussian.log_prob(codes), atol=2e-2)


def test_mixture_draws_have_the_mean_and_covariance_of_their_codes() -> None:
    """Which those of a fitted mixture are exactly, whatever its components: EM keeps the first two moments."""
    codes = clustered(seed=3)
    mean, covariance = codes.double().numpy().mean(0), np.cov(codes.double().numpy(), rowvar=False, bias=True)
    z = draw(fitted_mixture(codes)).double().numpy()
    assert np.all(np.abs(z.mean(0) - mean) < 5 * np.sqrt(np.diag(covariance) / N))
    products = np.einsum("ni,nj->nij", z - z.mean(0), z - z.mean(0))
    assert np.all(np.abs(products.mean(0) - covariance) < 5 * products.std(0) / np.sqrt(N))


def test_mixture_draws_come_from_the_components_by_their_weights() -> None:
    prior = fitted_mixture(clustered())
    chosen = in_sklearn(prior).predict(draw(prior).double().numpy())  # clusters lie far apart
    shares, weights = np.bincount(chosen, minlength=3) / N, prior.weights.numpy()
    assert weights.sum() == pytest.approx(1, abs=1e-6) and weights.max() > 1.5 * weights.min()
    assert np.all(np.abs(shares - weights) < 5 * np.sqrt(weights * (1 - weights) / N) + 1e-3)


def test_each_component_draws_from_its_own_normal() -> None:
    prior = fitted_mixture(clustered())
    mixture, z = in_sklearn(prior), draw(prior).double().numpy()
    chosen = mixture.predict(z)
    for component in range(3):
        factor = np.linalg.cholesky(mixture.covariances_[component])
        white = np.linalg.solve(factor, (z[chosen == component] - mixture.means_[component]).T).ravel()
        assert stats.kstest(white, stats.norm.cdf).pvalue > 1e-6


def test_clustered_codes_are_drawn_near_their_clusters_by_the_mixture_only() -> None:
    """Between the clusters, where there is no code, the single Gaussian puts many draws."""
    codes = clustered()

    def farther_than_codes(prior: nn.Module) -> float:
        """The share of 2000 draws that lie farther from a code than 99% of the codes from another one."""
        apart = torch.cdist(codes, codes).fill_diagonal_(torch.inf).amin(1).quantile(0.99)
        return float((torch.cdist(draw(prior, 2000), codes).amin(1) > apart).float().mean())

    mixture, gaussian = farther_than_codes(fitted_mixture(codes)), farther_than_codes(fitted(codes))
    assert mixture < 0.05 and gaussian > 0.5
    assert float(fitted_mixture(codes).log_prob(codes).mean()) > float(fitted(codes).log_prob(codes).mean()) + 1


def test_the_seed_decides_the_mixture() -> None:
    codes = torch.rand(200, 3, generator=torch.Generator().manual_seed(0))  # of no clusters: many optima
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index, union-attr]
    first, again, other = (fitted_mixture(codes, 8, seed).state_dict() for seed in (7, 7, 8))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["mean"], other["mean"])
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])  # type: ignore[index]
    fitted_mixture(codes, 2, seed=-1)
    fitted_mixture(codes, 2, seed=2**40)


DEGENERATE = {
    "all equal": torch.full((30, 3), 0.25),
    "all zero": torch.zeros(30, 3),
    "two points": torch.eye(3)[[0, 1] * 15],
    "in a plane": torch.randn(60, 2, generator=torch.Generator().manual_seed(0))
    @ torch.tensor([[1.0, 2, 0], [0, 1, -1]]),
    "as many as components": torch.randn(4, 3, generator=torch.Generator().manual_seed(0)),
    "one outlier": torch.cat([torch.zeros(29, 3), torch.full((1, 3), 1e3)]),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", DEGENERATE)
def test_a_mixture_can_be_fitted_to_degenerate_codes(name: str) -> None:
    codes = DEGENERATE[name]
    prior = fitted_mixture(codes, 4)
    z = draw(prior, 500)
    assert bool(z.isfinite().all()) and bool(prior.log_prob(codes).isfinite().all())
    spread = float((codes - codes.mean(0)).square().mean().sqrt()) or 1.0
    far = torch.cdist(z, codes).amin(1).max()
    assert name in ("in a plane", "as many as components") or float(far) < 0.02 * spread  # 1e-3 a coordinate is added
    if name == "in a plane":
        assert float((z @ torch.tensor([2.0, -1.0, -1.0])).abs().max()) < 0.05


def test_a_single_code_makes_a_mixture_of_one() -> None:
    prior = fitted_mixture(torch.tensor([[1.0, -2.0]]), 1)
    assert torch.allclose(draw(prior, 20), torch.tensor([[1.0, -2.0]]).expand(20, 2), atol=0.01)


def test_fewer_codes_than_components_are_refused() -> None:
    with pytest.raises(ValueError, match="a mixture of 4 components needs as many codes; got 3"):
        fitted_mixture(torch.randn(3, 2), 4)
