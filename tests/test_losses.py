"""Losses are what their names say: their gradients are those of the divergences, found by quadrature."""

from __future__ import annotations

import math
from typing import cast

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, Normal, kl_divergence
from torch.nn import BCEWithLogitsLoss

from benchsuite.kit.losses import AdversarialLoss, discriminator_loss, gaussian_kl, generator_loss

MODELS = [(0.3, 1.6), (-1.0, 2.5), (2.0, 1.2)]  # mean and standard deviation; wide enough for KL(data || model)


def data() -> MixtureSameFamily:
    """The law of the data: two Gaussians on a line."""
    weights, means, stds = (torch.tensor(v, dtype=torch.float64) for v in ([0.45, 0.55], [-1.5, 1.8], [0.5, 0.8]))
    return MixtureSameFamily(Categorical(weights), Normal(means, stds))


def gradient_of_the_generator_loss(name: str, mean: float, std: float) -> tuple[float, float]:
    """d loss / d(mean, std) of the model N(mean, std) under a perfect, frozen discriminator, integrated over noise."""
    parameters = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (mean, std)]
    noise = torch.linspace(-10, 10, 401, dtype=torch.float64)
    weights = Normal(0.0, 1.0).log_prob(noise).exp() * (noise[1] - noise[0])
    x = parameters[0] + parameters[1] * noise
    frozen = Normal(*(torch.tensor(v, dtype=torch.float64) for v in (mean, std)))
    logits = data().log_prob(x) - frozen.log_prob(x)
    # The loss is a mean over samples; one sample at a time, it can be weighted by the probability of its noise.
    losses = torch.stack([generator_loss(cast(AdversarialLoss, name), logit[None]) for logit in logits])
    found = torch.autograd.grad((losses * weights).sum(), parameters)
    return float(found[0]), float(found[1])


def gradient_of_the_divergence(name: str, mean: float, std: float) -> tuple[float, float]:
    """d/d(mean, std) of KL(data || model) or KL(model || data), integrated over x."""
    parameters = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (mean, std)]
    x = torch.linspace(-30, 30, 6001, dtype=torch.float64)
    log_p, log_q = data().log_prob(x), Normal(*parameters).log_prob(x)
    integrand = log_p.exp() * (log_p - log_q) if name == "kl" else log_q.exp() * (log_q - log_p)
    found = torch.autograd.grad((integrand * (x[1] - x[0])).sum(), parameters)
    return float(found[0]), float(found[1])


@pytest.mark.parametrize("name", ["kl", "reverse_kl"])
@pytest.mark.parametrize(("mean", "std"), MODELS)
def test_a_loss_has_the_gradient_of_the_divergence_it_is_named_after(name: str, mean: float, std: float) -> None:
    found = gradient_of_the_generator_loss(name, mean, std)
    assert found == pytest.approx(gradient_of_the_divergence(name, mean, std), rel=1e-7, abs=1e-9)
    assert max(map(abs, found)) > 0.01


def test_the_kl_loss_is_at_rest_where_the_moments_match() -> None:
    # The Gaussian nearest in KL(data || model) has the mean and variance of the data (Bishop, 2006, section 10.7).
    mean = 0.45 * -1.5 + 0.55 * 1.8
    variance = 0.45 * (0.5**2 + 1.5**2) + 0.55 * (0.8**2 + 1.8**2) - mean**2
    assert gradient_of_the_generator_loss("kl", mean, math.sqrt(variance)) == pytest.approx((0, 0), abs=1e-7)


logits = st.lists(st.floats(-50, 50), min_size=1, max_size=20).map(lambda v: torch.tensor(v, dtype=torch.float64))


@given(logits, logits)
@settings(max_examples=40, deadline=None)
def test_the_discriminator_minimises_cross_entropy(real: Tensor, fake: Tensor) -> None:
    bce = BCEWithLogitsLoss()
    expected = bce(real, torch.ones_like(real)) + bce(fake, torch.zeros_like(fake))
    assert torch.allclose(discriminator_loss(real, fake), expected)


@given(logits)
@settings(max_examples=40, deadline=None)
def test_generator_losses_are_their_formulas(fake: Tensor) -> None:
    bce = BCEWithLogitsLoss()
    assert torch.allclose(generator_loss("minimax", fake), -bce(fake, torch.zeros_like(fake)))
    assert torch.allclose(generator_loss("non_saturating", fake), bce(fake, torch.ones_like(fake)))
    assert torch.allclose(generator_loss("reverse_kl", fake), torch.as_tensor(-np.mean(fake.numpy())))
    assert torch.allclose(generator_loss("kl", fake), torch.as_tensor(-np.mean(np.exp(fake.numpy()))))


@pytest.mark.parametrize("name", ["minimax", "non_saturating"])
@pytest.mark.parametrize("logit", [-1e4, 1e4])
def test_a_sure_discriminator_overflows_nothing(name: AdversarialLoss, logit: float) -> None:
    fake = torch.tensor([logit], requires_grad=True)
    loss = generator_loss(name, fake) + discriminator_loss(-fake, fake)
    (slope,) = torch.autograd.grad(loss, fake)
    assert math.isfinite(loss.item())
    assert math.isfinite(float(slope))


def test_a_sure_discriminator_stops_minimax_but_not_the_non_saturating_loss() -> None:
    fake = torch.full((1,), -20.0, requires_grad=True)
    (minimax,) = torch.autograd.grad(generator_loss("minimax", fake), fake)
    (non_saturating,) = torch.autograd.grad(generator_loss("non_saturating", fake), fake)
    assert abs(float(minimax)) < 1e-8
    assert float(non_saturating) == pytest.approx(-1)


def test_the_best_discriminator_gives_the_log_ratio_of_densities() -> None:
    # Two points, a and b: the data are 3:1, the model 1:3, so that the log ratio is log 3 at a and -log 3 at b.
    at = torch.tensor([math.log(3), -math.log(3)], dtype=torch.float64, requires_grad=True)
    loss = discriminator_loss(at[[0, 0, 0, 1]], at[[0, 1, 1, 1]])
    (slope,) = torch.autograd.grad(loss, at)
    assert slope.tolist() == pytest.approx([0, 0], abs=1e-12)


@given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 2**16))
@settings(max_examples=40, deadline=None)
def test_gaussian_kl_is_that_of_torch(n: int, d: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    mean, log_variance = (3 * torch.randn(n, d, generator=generator, dtype=torch.float64) for _ in range(2))
    posterior = Normal(mean, (log_variance / 2).exp())
    expected = kl_divergence(posterior, Normal(torch.zeros_like(mean), torch.ones_like(mean))).sum(1)
    assert torch.allclose(gaussian_kl(mean, log_variance), expected)
    assert bool((gaussian_kl(mean, log_variance) >= 0).all())
