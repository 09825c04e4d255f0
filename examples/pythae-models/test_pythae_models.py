"""The contract of methods, one test for each of its claims, and what is special about these."""

import math

import pytest
import torch
from pythae_models import Autoencoder, PythaeMethod, PythaeVAE, PythaeWAE, VariationalAutoencoder
from torch import Tensor

import benchsuite
from benchsuite.testing import method_contract

test_contract_of_pythae_vae = method_contract(PythaeVAE)
test_contract_of_pythae_wae_mmd = method_contract(PythaeWAE)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def plane() -> Tensor:
    """256 rows of six numbers of both signs, all of them in a plane."""
    axes = torch.nn.functional.normalize(torch.randn(2, 6, generator=seeded(0)), dim=0)
    return torch.randn(256, 2, generator=seeded(1)) @ axes


def fitted(method: PythaeMethod, rows: Tensor) -> Autoencoder:
    """``method`` with two codes, fitted to vectors."""
    torch.manual_seed(0)
    model = method.build(benchsuite.DataSpec((rows.shape[1],), "vector", len(rows), latent_dim=2))
    assert isinstance(model, Autoencoder)
    method.fit(model, benchsuite.Samples(rows), benchsuite.Run(seed=0, device=torch.device("cpu")))
    return model.eval().requires_grad_(False)


def test_the_evidence_lower_bound_is_pythaes_own_loss_and_a_constant() -> None:
    rows, draws = plane(), 50
    model = fitted(PythaeVAE(epochs=20, sigma=0.5), rows)
    assert isinstance(model, VariationalAutoencoder)
    loss = float(model.net({"data": rows.repeat(draws, 1)}).loss)  # the mean over rows and as many draws
    expected = -loss / 0.5**2 - 6 / 2 * math.log(2 * math.pi * 0.5**2)
    found = float(model.elbo(rows, seeded(2), draws).mean())
    assert found == pytest.approx(expected, abs=0.05)  # three standard errors


@pytest.mark.parametrize("method", [PythaeVAE(epochs=20), PythaeWAE(epochs=20)], ids=lambda m: m.name)
def test_vectors_are_not_confined_to_the_unit_interval(method: PythaeMethod) -> None:
    rows = plane()
    model = fitted(method, rows)
    left = (model.decode(model.encode(rows)) - rows).square().mean() / rows.square().mean()
    assert left < 0.05  # with the sigmoid it is above a half


def test_the_discrepancy_pulls_codes_towards_the_prior() -> None:
    def distance(weight: float) -> float:
        covariance = torch.cov(fitted(PythaeWAE(epochs=20, weight=weight), rows).encode(rows).T)
        return float((covariance - torch.eye(2)).norm())

    rows = plane()
    assert distance(10.0) < 0.5 * distance(0.0)
