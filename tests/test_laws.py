"""Laws say the truth about their samples: densities, moments and posteriors against integration and torch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.integrate
import torch
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from benchsuite.kit.laws import ExponentialRing, NormalMixture

N = 100_000


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def mixtures() -> dict[str, NormalMixture]:
    return {
        "line": NormalMixture(torch.tensor([[1.0], [3.0]]), torch.tensor([[0.09]])),
        "plane": NormalMixture(
            torch.tensor([[0.0, 1.0], [2.0, -1.0], [3.0, 3.0]]), torch.tensor([[1.0, 0.4], [0.4, 0.5]])
        ),
        "one": NormalMixture(torch.ones(1, 2), torch.tensor([[0.49, 0.245], [0.245, 0.49]])),
    }


@pytest.mark.parametrize("name", mixtures())
def test_a_mixture_has_the_density_that_torch_gives_it(name: str) -> None:
    law = mixtures()[name]
    components = MultivariateNormal(law.modes, law.component_covariance)
    expected = MixtureSameFamily(Categorical(torch.ones(len(law.modes), dtype=torch.float64)), components)
    x = 3 * torch.randn(50, law.modes.shape[1], generator=generator(), dtype=torch.float64)
    torch.testing.assert_close(law.log_prob(x), expected.log_prob(x))
    torch.testing.assert_close(law.mean, expected.mean)


@pytest.mark.parametrize("name", mixtures())
def test_samples_of_a_mixture_have_its_moments(name: str) -> None:
    # Seed 0, 100 000 rows; bounds of 5 standard errors fail for one seed in 1e6 a coordinate.
    law = mixtures()[name]
    x = law.sample(N, generator())
    assert x.dtype == torch.float32
    errors = law.covariance.diagonal().sqrt() / math.sqrt(N)
    assert bool(((x.double().mean(0) - law.mean).abs() < 5 * errors).all())
    found = torch.cov(x.double().T).view_as(law.covariance)
    assert float((found - law.covariance).abs().max()) < 5 * float(law.covariance.max()) * math.sqrt(2 / N)


def test_samples_of_a_mixture_come_from_every_mode_alike() -> None:
    law = mixtures()["plane"]
    nearest = torch.cdist(law.sample(N, generator()).double(), law.modes).argmin(1)
    assert nearest.bincount().tolist() == pytest.approx([N / 3] * 3, rel=0.15)


def density_of_radius(r: float, x: float) -> float:
    """Of |z| given x, up to a constant: N(0, 2 I) in polar coordinates times the exponential's density."""
    return r * math.exp(-r * r / 4 - x / (1 + r * r)) / (1 + r * r)


@pytest.mark.parametrize("x", [1.0, 5.0, 10.0, 30.0])
def test_the_posterior_is_that_of_integration(x: float) -> None:
    law = ExponentialRing()
    whole, _ = scipy.integrate.quad(density_of_radius, 0, 30, args=(x,))
    radii = [0.3, 1.0, 2.0, 3.2, 5.0]
    expected = [scipy.integrate.quad(density_of_radius, 0, r, args=(x,))[0] / whole for r in radii]
    assert law.posterior_radius_cdf(torch.tensor(radii), x).tolist() == pytest.approx(expected, abs=1e-3)


def test_the_posteriors_moments_are_those_measured_before() -> None:
    # E|z| and P(|z| < 1) at x = 1 and 30, by radial integration with another program.
    law, r = ExponentialRing(), torch.linspace(0, 14, 20_001, dtype=torch.float64)
    for x, mean, below_one in ((1.0, 1.3751, 0.3588), (30.0, 3.2214, 0.0)):
        cdf = law.posterior_radius_cdf(r, x)
        assert float(torch.trapezoid(1 - cdf, r)) == pytest.approx(mean, abs=2e-3)
        assert float(law.posterior_radius_cdf(torch.tensor([1.0]), x)) == pytest.approx(below_one, abs=1e-3)


def test_the_marginal_density_is_that_of_integration_over_the_plane() -> None:
    law = ExponentialRing()

    def joint(b: float, a: float, x: float) -> float:
        mean = 1 + a * a + b * b
        return math.exp(-(a * a + b * b) / 4) / (4 * math.pi) * math.exp(-x / mean) / mean

    for x in (0.1, 1.0, 20.0):
        expected, _ = scipy.integrate.dblquad(joint, -12, 12, -12, 12, args=(x,))
        assert law.log_prob(torch.tensor([[x]])).exp().item() == pytest.approx(expected, rel=1e-5)


def test_the_likelihood_is_an_exponential_density() -> None:
    z = torch.randn(20, 2, generator=generator())
    x = torch.rand(20, 1, generator=generator()) * 10
    expected = torch.distributions.Exponential(1 / (1 + z.square().sum(1))).log_prob(x[:, 0])
    torch.testing.assert_close(ExponentialRing().log_likelihood(x, z), expected)


def test_observations_have_the_mean_that_is_stated_and_not_its_inverse() -> None:
    # Exp(1/beta) is printed with a rate. Seed 0; the mean of 100 000 has a relative standard error of 0.3%.
    law = ExponentialRing()
    z = torch.tensor([[1.0, 2.0]]).expand(N, 2)
    for given in (generator(), None):
        x: Tensor = law.sample_given(z, given)
        assert x.shape == (N, 1)
        assert float(x.mean()) == pytest.approx(6.0, rel=0.016)
    assert law.expectation(z[:1]).item() == pytest.approx(6.0)


def test_samples_of_the_marginal_follow_its_density() -> None:
    # Seed 0. The chance that 20 000 samples differ by a Kolmogorov-Smirnov distance of 0.0145 is below 1e-3.
    law = ExponentialRing()
    x = law.sample(20_000, generator())[:, 0].double().sort().values
    grid = torch.cat([torch.zeros(1, dtype=torch.float64), torch.logspace(-4, 3, 1500, dtype=torch.float64)])
    density = law.log_prob(grid[:, None]).exp()
    cdf = torch.cat([torch.zeros(1, dtype=torch.float64), torch.cumulative_trapezoid(density, grid)])
    assert float(cdf[-1]) == pytest.approx(1, abs=1e-3)
    at = torch.from_numpy(np.interp(x.numpy(), grid.numpy(), cdf.numpy()))
    assert float((at - torch.arange(1, 20_001) / 20_000).abs().max()) < 0.0145
