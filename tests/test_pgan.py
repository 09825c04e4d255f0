"""A prior learnt from codes: its stages, and what the paper says of the prior agreement score before and after."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from benchsuite import DataSpec, Run, Samples
from benchsuite.errors import ParameterError
from benchsuite.harness.registry import load_registry
from benchsuite.kit.latents import prior_agreement
from benchsuite.kit.similarity import psnr, squared_error
from benchsuite.kit.solvers import Adam, GradientDescent, RMSProp
from benchsuite.kit.timing import Timings

REGISTRY = load_registry()
CPU = torch.device("cpu")
STAGES = ["gan", "reverse 1", "prior 1", "retrain 1"]


def pgan(**settings: Any) -> Any:
    brief = {"width": 4, "epochs": 1, "reversal_steps": 3, "prior_epochs": 1, "retraining_epochs": 1, "prior_width": 8}
    return REGISTRY.get("methods", "pgan")(**(brief | settings))


def pictures(n: int = 48) -> Samples:
    return Samples(torch.randint(256, (n, 1, 8, 8), generator=torch.Generator().manual_seed(5)).to(torch.uint8))


def fitted(method: Any, train: Samples, **run: Any) -> tuple[Any, list[str]]:
    """The model, and the stages that were timed."""
    torch.manual_seed(0)
    model = method.build(DataSpec(train.shape, train.kind, len(train), latent_dim=3))
    timings = Timings(CPU)
    method.fit(model, train, Run(seed=0, device=CPU, timings=timings, **run))
    return model.eval(), [phase.name.removeprefix("fit.") for phase in timings.phases]


def draws(model: Any, n: int = 50) -> Tensor:
    z: Tensor = model.prior.sample(n, torch.Generator().manual_seed(1))
    return z


def test_it_trains_reverses_learns_the_prior_and_retrains_and_times_each() -> None:
    model, stages = fitted(pgan(), pictures())
    assert stages == STAGES and bool(model.prior.learnt)


def test_rounds_repeat_all_but_the_first_stage() -> None:
    assert fitted(pgan(rounds=2), pictures())[1] == [*STAGES, "reverse 2", "prior 2", "retrain 2"]


def test_the_control_trains_on_under_the_first_prior() -> None:
    model, stages = fitted(pgan(retraining_prior="first"), pictures())
    assert stages == ["gan", "retrain 1"] and not model.prior.learnt
    expected = torch.randn(50, 3, generator=torch.Generator().manual_seed(1))
    assert torch.equal(draws(model), expected)


def test_until_it_has_learnt_codes_are_the_first_priors_and_then_those_of_the_second_gan() -> None:
    model = pgan(prior="uniform", prior_latent_dim=5).build(DataSpec((1, 8, 8), "image", 48, latent_dim=3))
    assert float(draws(model).abs().max()) <= 1 and model.draw(4).shape == (4, 3)
    model.prior.learnt.fill_(True)
    second = model.prior.second
    expected = second.decoder(torch.randn(50, 5, generator=torch.Generator().manual_seed(1)))
    assert torch.equal(draws(model), expected.detach()) and not draws(model).requires_grad


def test_the_networks_of_the_second_gan_have_four_fully_connected_layers_each() -> None:
    second = pgan().build(DataSpec((1, 8, 8), "image", 48, latent_dim=3)).prior.second
    for net in (second.decoder, second.discriminator):
        assert sum(isinstance(module, torch.nn.Linear) for module in net.modules()) == 4


def test_a_second_latent_space_smaller_than_the_first_is_refused() -> None:
    method = pgan(prior_latent_dim=2)
    with pytest.raises(ParameterError, match="prior_latent_dim=2 is not allowed; codes have 3 dimensions"):
        method.build(DataSpec((1, 8, 8), "image", 48, latent_dim=3))


def test_reversal_is_by_rmsprop_unless_another_solver_is_asked_for() -> None:
    cls = REGISTRY.get("methods", "pgan")
    assert cls().solver() == RMSProp(120, learning_rate=0.02)
    assert cls(reversal="gradient_descent").solver() == GradientDescent(120, momentum=0.0)
    assert cls.preset("flexible_priors").solver() == RMSProp(300, learning_rate=0.05)
    assert cls(reversal="adam", reversal_rate=0.1, reversal_steps=7).solver() == Adam(7, 0.1, final_rate=1.0)


def test_reversal_fills_every_row_with_the_code_of_its_own_image() -> None:
    """Rows are told apart by decoders that are too: each code reconstructs its own image better than another's."""
    train, method = pictures(300), pgan(reversal_steps=50)
    torch.manual_seed(0)
    model = method.build(DataSpec(train.shape, "image", 300, latent_dim=3))
    for parameter in model.decoder.parameters():
        parameter.data.mul_(10)
    model.eval()
    z = torch.randn(300, 3)
    own = Samples((model.decode(z).detach() * 255).round().to(torch.uint8))
    codes = torch.zeros(300, 3)
    method.reverse(model, own, Run(seed=0, device=CPU), codes)
    x_hat = model.decode(codes).detach()
    errors, others = squared_error(x_hat, own[:]), squared_error(x_hat, own[:].roll(1, 0))
    assert float((errors < others).double().mean()) > 0.98 and float(errors.median()) < 0.1 * float(others.median())


def test_the_second_gan_learns_where_codes_lie() -> None:
    """Two clusters at (+-2, 0, 0), seed 0: after training samples are in both, and few between or beside them."""
    torch.manual_seed(0)
    method = pgan(prior_epochs=60, prior_width=64, batch_size=64)
    model = method.build(DataSpec((1, 8, 8), "image", 1000, latent_dim=3))
    centres = torch.tensor([[-2.0, 0.0, 0.0], [2.0, 0.0, 0.0]]).repeat(500, 1)
    method.learn_prior(model, centres + 0.2 * torch.randn(1000, 3), Run(seed=0, device=CPU))
    z = draws(model, 2000)
    near = torch.cdist(z, centres[:2]) < 1
    assert float(near.any(1).double().mean()) > 0.85
    assert 0.25 < float(near[:, 0].double().mean()) / float(near.any(1).double().mean()) < 0.75


@pytest.mark.parametrize("budget", [0.0, 1e-9])
def test_a_budget_that_ends_before_the_prior_is_learnt_leaves_the_first(budget: float) -> None:
    model, stages = fitted(pgan(), pictures(), budget=budget)
    assert not model.prior.learnt and stages[0] == "gan" and "retrain 1" not in stages


@pytest.fixture(scope="module", params=[0, 1, 2])
def before_and_after(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Codes of 512 digits under a GAN, and under the same GAN retrained with the induced and with the first prior."""
    train = REGISTRY.get("datasets", "digits")().load("train", tmp_path_factory.mktemp("cache"))
    method = REGISTRY.get("methods", "pgan")(latent_dim=20)
    torch.manual_seed(request.param)
    model = method.build(DataSpec(train.shape, "image", len(train), latent_dim=20))
    run = Run(seed=request.param, device=CPU)
    method.play(run.prepare(model), train, run, method.epochs)
    rows = torch.arange(512) * len(train) // 512

    def reversed_codes(model: Any, data: Samples) -> Tensor:
        codes = torch.zeros(len(data), 20)
        method.reverse(model, data, Run(seed=request.param, device=CPU), codes)
        return codes

    all_codes = reversed_codes(model, train)
    x_hat = copy.deepcopy(model).eval().decode(all_codes).detach()
    found = {"psnr": float(psnr(squared_error(x_hat, train[:])).mean()), "before": all_codes[rows]}
    for prior in ("induced", "first"):
        retrained, again = copy.deepcopy(model), Run(seed=request.param, device=CPU)
        if prior == "induced":
            method.learn_prior(retrained, all_codes, again)
        method.play(retrained, train, again, method.retraining_epochs)
        found[prior] = reversed_codes(retrained, train.subset(rows))
    return found


@pytest.mark.slow
def test_retraining_under_the_induced_prior_lowers_the_raw_score_and_the_control_does_not(
    before_and_after: dict[str, Any],
) -> None:
    """The paper prints falls to 0.35 to 0.43, on other data. The scaled score, which is the divergence, rises: codes get
    shorter, and were too short for the first prior already. Settings were chosen on seeds 7 and 8."""
    raw = {name: prior_agreement(before_and_after[name], scaled=False) for name in ("before", "induced", "first")}
    scaled = {name: prior_agreement(before_and_after[name]) for name in raw}
    print(f"\nraw {raw}\nscaled {scaled}\nreversal {before_and_after['psnr']:.1f} dB")
    assert raw["induced"] / raw["before"] < 0.7
    assert raw["first"] / raw["before"] > 0.85
    assert scaled["induced"] > scaled["before"]


@pytest.mark.slow
def test_reversal_finds_codes_of_digits(before_and_after: dict[str, Any]) -> None:
    assert before_and_after["psnr"] >= 23
