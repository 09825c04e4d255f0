"""The VAE's bounds are bounds, its likelihoods are what they say, and a linear one finds the optimum of its kind."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from made_up import seeded
from torch import Tensor, nn
from torch.distributions import Bernoulli, MultivariateNormal, Normal, kl_divergence

from benchsuite import DataSpec, NotApplicableError, ParameterError, Run, Samples
from benchsuite.kit.pyramid import lap1
from benchsuite_plugins.methods.vae import VAE, Likelihood, VAEModel

LIKELIHOODS = ["l2", "lap1", "bernoulli"]
CPU = torch.device("cpu")


class LinearEncoder(nn.Module):
    """A mean that is linear in x, and one diagonal log variance for all."""

    def __init__(self, dim: int, d: int) -> None:
        super().__init__()
        self.mean = nn.Linear(dim, d)
        self.log_variance = nn.Parameter(torch.zeros(d))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.mean(x), self.log_variance.expand(len(x), -1)], 1)


class LinearVAE(VAE):
    """Its decoder is linear too, so that p(x) is N(b, W W^T + sigma^2 I)."""

    def networks(self, spec: DataSpec) -> tuple[nn.Module, nn.Module]:
        return nn.Linear(spec.latent_dim, spec.shape[0]), LinearEncoder(spec.shape[0], spec.latent_dim)


def true_law(model: Any) -> MultivariateNormal:
    """p(x) of a linear VAE."""
    w, sigma = model.decoder.weight.detach().double(), model.likelihood.sigma
    covariance = w @ w.T + sigma**2 * torch.eye(len(w), dtype=torch.float64)
    return MultivariateNormal(model.decoder.bias.detach().double(), covariance)


def mean_and_error(x: Tensor) -> tuple[float, float]:
    """The mean of x and its standard error."""
    return float(x.detach().mean()), float(x.detach().std()) / math.sqrt(len(x))


@pytest.fixture(scope="module")
def off_optimum() -> tuple[VAEModel, Tensor, Tensor]:
    """A linear VAE whose q(z | x) is wider than the posterior and not centred on it; 20 000 rows of its law; log p(x).

    Importance weights are bounded where q is wider, so that their means have honest errors. Seeds 0 and 1.
    """
    torch.manual_seed(0)
    model: Any = LinearVAE(sigma=0.7).build(DataSpec((5,), "vector", 100, 2))
    w = model.decoder.weight.detach()
    posterior = torch.linalg.inv(torch.eye(2) + w.T @ w / 0.7**2)
    with torch.no_grad():
        model.encoder.mean.weight.copy_(0.8 * posterior @ w.T / 0.7**2)
        model.encoder.mean.bias.copy_(-model.encoder.mean.weight @ model.decoder.bias + 0.4)
        model.encoder.log_variance.copy_((3.5 * torch.linalg.eigvalsh(posterior)[-1]).log())
    torch.manual_seed(1)
    law = true_law(model)
    x = law.sample((20_000,))
    return model, x.float(), law.log_prob(x.float().double())


def test_a_linear_vae_reaches_the_optimum_of_probabilistic_pca() -> None:
    # Seed 0; 500 rows, 2000 steps. The error of the mean ELBO over 16 draws is far below the tolerance.
    d, dim, n = 2, 6, 500
    directions = torch.linalg.qr(torch.randn(dim, d, generator=seeded(0))).Q
    factor = torch.tensor([[2.0], [1.2]]) * directions.T
    x = torch.randn(n, d, generator=seeded(1)) @ factor + 0.5 * torch.randn(n, dim, generator=seeded(2)) + 1
    values, vectors = torch.linalg.eigh(torch.cov(x.double().T, correction=0))
    noise = float(values[:-d].mean())  # Tipping and Bishop (1999), eq. 8
    best = MultivariateNormal(
        x.double().mean(0),
        vectors[:, -d:] @ torch.diag(values[-d:] - noise) @ vectors[:, -d:].T + noise * torch.eye(dim).double(),
    )
    optimum = float(best.log_prob(x.double()).mean())

    torch.manual_seed(0)
    method = LinearVAE(sigma=math.sqrt(noise), epochs=2000, batch_size=n, learning_rate=5e-2)
    model = method.build(DataSpec((dim,), "vector", n, d))
    method.fit(model, Samples(x), Run(seed=0, device=CPU))
    bounds = torch.stack([model.elbo(x, seeded(seed)).mean() for seed in range(16)])
    mean, error = mean_and_error(bounds)
    assert optimum - 0.02 < mean < optimum + 4 * error + 1e-6
    assert torch.allclose(true_law(model).covariance_matrix, best.covariance_matrix, atol=0.1)


def test_the_importance_weighted_bound_tightens_and_stays_below_the_truth(
    off_optimum: tuple[VAEModel, Tensor, Tensor],
) -> None:
    model, x, truth = off_optimum
    gaps = []
    for draws in (1, 4, 16, 64, 256):
        gap = truth - model.log_likelihood(x, seeded(draws), draws)
        mean, error = mean_and_error(gap)
        assert mean > -4 * error
        gaps.append(gap)
    for looser, tighter in itertools.pairwise(gaps):
        mean, error = mean_and_error(looser - tighter)
        assert mean > 5 * error  # of 20 000 pairs of rows
    assert float(gaps[0].mean()) > 0.3 and float(gaps[-1].mean()) < 0.02


def test_the_elbo_is_its_closed_form(off_optimum: tuple[VAEModel, Tensor, Tensor]) -> None:
    model, x, truth = off_optimum
    with torch.no_grad():
        mean, log_variance = (part.double() for part in model.posterior(x))
    q = Normal(mean, (log_variance / 2).exp())
    w, sigma = model.decoder.weight.detach().double(), 0.7  # type: ignore[union-attr, operator]
    expected_error = (x - model.decode(mean.float())).double().square().sum(1) + (
        log_variance.exp() * w.square().sum(0)
    ).sum(1)
    likelihood = -expected_error / (2 * sigma**2) - 2.5 * math.log(2 * math.pi * sigma**2)
    closed = likelihood - kl_divergence(q, Normal(0.0, 1.0)).sum(1)
    for draws in (1, 10):
        difference, error = mean_and_error(model.elbo(x, seeded(3), draws) - closed)
        assert abs(difference) < 4 * error  # seed 3
        assert error < 0.05
    assert bool((closed < truth).all())


def test_with_one_draw_the_bounds_are_one_and_with_more_the_weighted_one_is_tighter(
    off_optimum: tuple[VAEModel, Tensor, Tensor],
) -> None:
    model, x, _ = off_optimum
    assert torch.allclose(model.elbo(x, seeded(0)), model.log_likelihood(x, seeded(0), 1), rtol=1e-12)
    assert bool((model.elbo(x, seeded(0), 8) < model.log_likelihood(x, seeded(0), 8)).all())  # Jensen, row by row


def test_where_q_is_the_posterior_one_draw_is_the_truth() -> None:
    torch.manual_seed(0)
    model: Any = LinearVAE(sigma=0.5).build(DataSpec((4,), "vector", 100, 1))
    w = model.decoder.weight.detach()
    variance = 1 / (1 + w.square().sum() / 0.25)
    with torch.no_grad():
        model.encoder.mean.weight.copy_(variance * w.T / 0.25)
        model.encoder.mean.bias.copy_(-model.encoder.mean.weight @ model.decoder.bias)
        model.encoder.log_variance.fill_(variance.log())
    x = torch.randn(50, 4, generator=seeded(0))
    assert torch.allclose(model.elbo(x, seeded(1)), true_law(model).log_prob(x.double()), atol=1e-4)


class Pixels(nn.Module):
    """(N, 1) -> (N, 1, 2, 2) in [-1, 1]."""

    def forward(self, z: Tensor) -> Tensor:
        slopes, offsets = torch.tensor([1.0, -0.5, 2.0, 0.2]), torch.tensor([0.1, 0.0, -0.3, 0.5])
        return torch.tanh(z * slopes + offsets).view(-1, 1, 2, 2)


def test_the_bernoulli_likelihood_is_that_of_numerical_integration() -> None:
    # Seed 0, 20 000 draws of all 16 binary images, weights of bounded variance: errors below 0.01.
    encoder = nn.Sequential(nn.Flatten(), LinearEncoder(4, 1))
    torch.manual_seed(0)
    model = VAEModel(DataSpec((1, 2, 2), "image", 16, 1), Pixels(), encoder, Likelihood("bernoulli"))
    nn.init.constant_(encoder[1].log_variance, 0.5)  # type: ignore[arg-type]
    nn.init.zeros_(encoder[1].mean.weight)  # type: ignore[union-attr, arg-type]
    x = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 4).view(16, 1, 2, 2)
    z = torch.linspace(-10, 10, 4001)
    p = model.decode(z[:, None]).double().clamp(1e-12, 1 - 1e-12)
    inside = Bernoulli(p[:, None]).log_prob(x.double()).flatten(2).sum(2)
    log_prior = Normal(0.0, 1.0).log_prob(z.double())[:, None]
    exact = torch.logsumexp(inside + log_prior, 0) + math.log(20 / 4000)
    assert float(exact.exp().sum()) == pytest.approx(1, abs=1e-4)
    assert torch.allclose(model.log_likelihood(x, seeded(0), 20_000), exact, atol=0.03)
    assert bool((model.elbo(x, seeded(0), 2000) < exact).all())


def test_each_likelihood_has_the_constants_that_it_should() -> None:
    x, x_hat = torch.rand(2, 3, 1, 8, 8, generator=seeded(0))
    found = Likelihood("l2", 0.3).log_prob(x_hat, x)
    assert torch.allclose(found, Normal(x_hat.double(), 0.3).log_prob(x.double()).flatten(1).sum(1))
    binary = (x > 0.5).float()
    found = Likelihood("bernoulli").log_prob(x_hat, binary)
    assert torch.allclose(found, Bernoulli(x_hat.double()).log_prob(binary.double()).flatten(1).sum(1))


@pytest.mark.parametrize("weights", ["printed", "fine"])
def test_lap1_is_the_squared_error_and_the_pyramid_loss(weights: Any) -> None:
    x, x_hat = torch.rand(2, 3, 1, 8, 8, generator=seeded(0))
    error = (x - x_hat).square().flatten(1).sum(1)
    expected = error / (2 * 0.2**2) + 64 * lap1(x, x_hat, weights) / 0.2
    assert torch.allclose(Likelihood("lap1", 0.2, weights).energy(x_hat, x), expected)


def test_lap1_has_no_likelihood_to_estimate() -> None:
    model = VAE(likelihood="lap1", width=4).build(DataSpec((1, 8, 8), "image", 10, 2))
    for estimate in (model.elbo, model.log_likelihood):
        with pytest.raises(NotApplicableError, match="likelihood=lap1 is no normalised density"):
            estimate(torch.rand(3, 1, 8, 8), seeded(0), 2)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_energies_are_in_single_precision_under_autocast(likelihood: Any) -> None:
    x, x_hat = torch.rand(2, 3, 1, 16, 16, generator=seeded(0))
    coarse = x_hat.bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        energy = Likelihood(likelihood).energy(coarse, x)
    assert energy.dtype == torch.float32
    assert torch.allclose(energy, Likelihood(likelihood).energy(coarse.float(), x), rtol=1e-5)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_training_lowers_the_energy_of_reconstructions(likelihood: Any, precision: str) -> None:
    ramp = torch.linspace(0, 1, 8)
    angle = 2 * math.pi * torch.rand(64, 1, 1, generator=seeded(0))
    x = (0.5 + 0.5 * torch.sin(6 * ramp[:, None] + 4 * ramp + angle))[:, None]
    torch.manual_seed(0)
    method = VAE(likelihood=likelihood, width=8, epochs=40, batch_size=16)
    model = method.build(DataSpec((1, 8, 8), "image", 64, 2))

    def energy() -> float:
        model.eval()
        with torch.no_grad():
            return float(model.likelihood.energy(model.decode(model.encode(x)), x).mean())

    before = energy()
    method.fit(model, Samples(x), Run(seed=0, device=CPU, precision=precision))
    entropy = float(model.likelihood.energy(x, x).mean())  # the least that there is, of Bernoulli not zero
    assert energy() - entropy < 0.5 * (before - entropy)


@pytest.mark.parametrize("rows", [1, 3, 256, 300])
def test_every_row_has_exactly_its_draws_in_small_batches(rows: int) -> None:
    class Counting(nn.Linear):
        sizes: list[int] = []

        def forward(self, z: Tensor) -> Tensor:
            self.sizes.append(len(z))
            return super().forward(z)

    decoder = Counting(2, 3)
    model = VAEModel(DataSpec((3,), "vector", 10, 2), decoder, LinearEncoder(3, 2), Likelihood())
    for estimate in (model.elbo, model.log_likelihood):
        decoder.sizes.clear()
        assert estimate(torch.zeros(rows, 3), seeded(0), 5).shape == (rows,)
        assert sum(decoder.sizes) == 5 * rows and max(decoder.sizes) <= 256


def test_estimates_follow_their_generator_and_nothing_else(off_optimum: tuple[VAEModel, Tensor, Tensor]) -> None:
    model, x, _ = off_optimum
    before = torch.get_rng_state()
    for estimate in (model.elbo, model.log_likelihood):
        first = estimate(x[:300], seeded(0), 2)
        assert torch.equal(first, estimate(x[:300], seeded(0), 2))
        assert not torch.equal(first, estimate(x[:300], seeded(1), 2))
        assert first.dtype == torch.float64 and not first.requires_grad
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("likelihood", ["lap1", "bernoulli"])
def test_likelihoods_of_images_refuse_vectors_before_training(likelihood: Any) -> None:
    with pytest.raises(ParameterError, match=rf"likelihood={likelihood} .* shape \(6,\); select likelihood=l2"):
        VAE(likelihood=likelihood).build(DataSpec((6,), "vector", 10, 2))


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"likelihood": "bernoulli", "sigma": 0.1}, "sigma is for likelihood=l2 and lap1; got likelihood=bernoulli"),
        ({"level_weights": "fine"}, "level_weights is for likelihood=lap1; got likelihood=l2"),
        ({"likelihood": "l1"}, "likelihood='l1' is not allowed; likelihood is one of l2, lap1, bernoulli"),
    ],
)
def test_parameters_that_would_do_nothing_are_refused(given: dict[str, Any], reason: str) -> None:
    with pytest.raises(ParameterError, match=reason):
        VAE(**given)
