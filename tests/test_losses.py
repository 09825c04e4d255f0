"""Losses are what their names say."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Bernoulli, Normal, kl_divergence

from benchsuite.kit.losses import bernoulli_energy, gaussian_energy, gaussian_kl


@given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 2**16))
@settings(max_examples=40, deadline=None)
def test_gaussian_kl_is_that_of_torch(n: int, d: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    mean, log_variance = (3 * torch.randn(n, d, generator=generator, dtype=torch.float64) for _ in range(2))
    posterior = Normal(mean, (log_variance / 2).exp())
    expected = kl_divergence(posterior, Normal(torch.zeros_like(mean), torch.ones_like(mean))).sum(1)
    assert torch.allclose(gaussian_kl(mean, log_variance), expected)
    assert bool((gaussian_kl(mean, log_variance) >= 0).all())


def test_gaussian_energy_is_torchs_log_density_less_its_constant() -> None:
    x, x_hat = torch.rand(2, 5, 3, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    normal = Normal(x_hat, 0.3)
    expected = (normal.log_prob(x_hat) - normal.log_prob(x)).flatten(1).sum(1)
    assert torch.allclose(gaussian_energy(x_hat, x, 0.3), expected)


def test_bernoulli_energy_is_torchs_log_density_of_binary_pixels() -> None:
    p = torch.rand(5, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    x = (torch.rand(p.shape, generator=torch.Generator().manual_seed(1)) < 0.5).float()
    assert torch.allclose(bernoulli_energy(p, x), -Bernoulli(p).log_prob(x).flatten(1).sum(1))


def test_bernoulli_energy_of_grey_pixels_is_least_where_p_is_the_pixel() -> None:
    x = torch.tensor([[0.0], [0.2], [0.9], [1.0]])
    p = torch.linspace(0, 1, 101)
    energies = torch.stack([bernoulli_energy(each.expand(4, 1), x) for each in p])
    assert torch.allclose(p[energies.argmin(0)], x[:, 0], atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_pixel_that_is_certain_and_wrong_costs_finitely(dtype: torch.dtype) -> None:
    p = torch.tensor([[0.0, 1.0, 0.0, 1.0]], dtype=dtype, requires_grad=True)
    energy = bernoulli_energy(p, torch.tensor([[0.0, 1.0, 1.0, 0.0]]))
    energy.sum().backward()
    assert energy.tolist() == [200.0]
    assert p.grad is not None and bool(p.grad.isfinite().all())
    assert p.grad[0].sign().tolist()[2:] == [-1, 1]


def test_bernoulli_energy_is_in_single_precision_under_autocast() -> None:
    p = torch.rand(5, 64, generator=torch.Generator().manual_seed(0)).bfloat16()
    x = torch.rand(5, 64, generator=torch.Generator().manual_seed(1))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        energy = bernoulli_energy(p, x)
    assert energy.dtype == torch.float32
    assert torch.allclose(energy.double(), bernoulli_energy(p.double(), x.double()), rtol=1e-5)
