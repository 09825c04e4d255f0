"""Losses are what their names say."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Normal, kl_divergence

from benchsuite.kit.losses import gaussian_kl


@given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 2**16))
@settings(max_examples=40, deadline=None)
def test_gaussian_kl_is_that_of_torch(n: int, d: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    mean, log_variance = (3 * torch.randn(n, d, generator=generator, dtype=torch.float64) for _ in range(2))
    posterior = Normal(mean, (log_variance / 2).exp())
    expected = kl_divergence(posterior, Normal(torch.zeros_like(mean), torch.ones_like(mean))).sum(1)
    assert torch.allclose(gaussian_kl(mean, log_variance), expected)
    assert bool((gaussian_kl(mean, log_variance) >= 0).all())
