"""Recovery from a trained DCGAN with uniform codes (Lipton and Tripathi, Precise Recovery of Latent Vectors, 2017).

On digits with 20 coordinates: with the paper's 100 the Jacobian is too ill-conditioned for gradient methods. What
stochastic clipping does to codes is in test_recovery.
One generator of seed 0, codes of seed 1, starts of seed 2.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from benchsuite import DataSpec, Model, Run
from benchsuite.harness.registry import load_registry
from benchsuite.kit.newton import BFGS, LevenbergMarquardt
from benchsuite.kit.recovery import clipping, recover
from benchsuite.kit.similarity import squared_error
from benchsuite.kit.solvers import Adam, GradientDescent, Solver

pytestmark = pytest.mark.slow
CODES = 256


@pytest.fixture(scope="module")
def dcgan(tmp_path_factory: pytest.TempPathFactory) -> Model:
    registry, cache = load_registry(), tmp_path_factory.mktemp("cache")
    train = registry.get("datasets", "digits")().load("train", cache)
    method = registry.get("methods", "dcgan")(latent_dim=20, prior="uniform", epochs=30)
    torch.manual_seed(0)
    model: Model = method.build(DataSpec(train.shape, "image", len(train), latent_dim=20))
    method.fit(model, train, Run(seed=0, device=torch.device("cpu")))
    return model.eval()


def drawn(model: Model, seed: int, *shape: int) -> Tensor:
    z: Tensor = model.prior.sample(int(torch.tensor(shape).prod()), torch.Generator().manual_seed(seed))  # type: ignore[union-attr, operator]
    return z.view(*shape, -1)


def recovered(model: Model, errors: float, solver: Solver, restarts: int) -> float:
    """The part of 256 codes that are found to a mean squared error below ``errors``, all at once."""
    z, starts = drawn(model, 1, CODES), drawn(model, 2, restarts, CODES)
    x = model.decode(z).detach()  # type: ignore[operator]
    found = recover(model.decode, x, starts, solver=solver, net=model)  # type: ignore[arg-type]
    return float((squared_error(found.codes, z) < errors).double().mean())


def test_levenberg_marquardt_recovers_every_code_with_at_most_three_restarts(dcgan: Model) -> None:
    assert recovered(dcgan, 1e-4, LevenbergMarquardt(), restarts=3) == 1


def test_the_default_solver_recovers_every_code_with_at_most_three_restarts(dcgan: Model) -> None:
    assert recovered(dcgan, 1e-4, BFGS(), restarts=3) == 1


def test_momentum_descent_with_standard_clipping_recovers_the_codes_in_2000_steps(dcgan: Model) -> None:
    """The rate is 1 / L at the median code: 0.008 for a sum of squares over images in [-1, 1]."""
    z, starts = drawn(dcgan, 1, CODES), drawn(dcgan, 2, 1, CODES)
    found = recover(
        dcgan.decode,  # type: ignore[arg-type]
        dcgan.decode(z).detach(),  # type: ignore[operator]
        starts,
        solver=GradientDescent(2000, learning_rate=8.2),
        constrain=clipping("standard", -1.0, 1.0),
        net=dcgan,
    )
    errors = squared_error(found.codes, z)
    assert float((errors < 1e-3).double().mean()) == 1
    assert float((errors < 1e-4).double().mean()) >= 0.98
    assert float(found.codes.abs().max()) <= 1


@pytest.mark.parametrize("solver", [Adam(100, learning_rate=0.1), BFGS(), LevenbergMarquardt()], ids=repr)
def test_in_eval_mode_codes_agree_whatever_shares_their_batch(dcgan: Model, solver: Solver) -> None:
    """For images that it generated; to 1e-3, since convolutions round differently for other batch sizes."""
    z, starts = drawn(dcgan, 1, CODES), drawn(dcgan, 2, 1, CODES)
    x = dcgan.decode(z).detach()  # type: ignore[operator]
    whole = recover(dcgan.decode, x, starts, solver=solver, net=dcgan).codes  # type: ignore[arg-type]
    for rows in (1, 7):
        part = recover(dcgan.decode, x[:rows], starts[:, :rows], solver=solver, net=dcgan).codes  # type: ignore[arg-type]
        torch.testing.assert_close(part, whole[:rows], rtol=0, atol=1e-3)
