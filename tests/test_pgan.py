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


def test_retraining_that_leaves_the_generator_no_step_is_refused_before_anything_is_trained() -> None:
    method = pgan(discriminator_steps=2, epochs=4, batch_size=64)
    model = method.build(DataSpec((1, 8, 8), "image", 48, latent_dim=3))
    with pytest.raises(ParameterError, match="no step"):
        method.fit(model, pictures(), Run(seed=0, device=CPU))


def test_what_the_first_gan_draws_is_what_dcgan_draws() -> None:
    drawn = []
    for name, settings in (("dcgan", {}), ("pgan", {"prior_width": 8})):
        torch.manual_seed(0)
        method = REGISTRY.get("methods", name)(width=4, tutorial_draws=True, **settings)
        method.build(DataSpec((1, 8, 8), "image", 48, latent_dim=3))
        drawn.append(torch.randn(5))
    assert torch.equal(*drawn)


def test_a_second_latent_space_smaller_than_the_first_is_refused() -> None:
    method = pgan(prior_latent_dim=2)
    with pytest.raises(ParameterError, match="prior_latent_dim=2 is not allowed; codes have 3 dimensions"):
        method.build(DataSpec((1, 8, 8), "image", 48, latent_dim=3))


def test_reversal_is_by_rmsprop_unless_another_solver_is_asked_for() -> None:
    cls = REGISTRY.get("methods", "pgan")
    assert cls().solver() == RMSProp(100, learning_rate=0.02)
    assert cls(reversal="gradient_descent").solver() == GradientDescent(100, momentum=0.0)
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


SEEDS = (2, 3, 4)  # settings were chosen on seeds 0, 1, 7 and 8 of the same data
Codes = dict[str, Tensor]


@pytest.fixture(scope="module")
def before_and_after(tmp_path_factory: pytest.TempPathFactory) -> list[Codes]:
    """For each seed the codes of 512 digits under a GAN (``before``), and under the same GAN retrained with the
    ``induced`` and with the ``first`` prior; ``psnr`` is that of all reversed digits."""
    train = REGISTRY.get("datasets", "digits")().load("train", tmp_path_factory.mktemp("cache"))
    return [retrained(seed, train) for seed in SEEDS]


def retrained(seed: int, train: Samples) -> Codes:
    method = REGISTRY.get("methods", "pgan")(latent_dim=20)
    torch.manual_seed(seed)
    model = method.build(DataSpec(train.shape, "image", len(train), latent_dim=20))
    run = Run(seed=seed, device=CPU)
    method.play(run.prepare(model), train, run, method.epochs)
    rows = torch.arange(512) * len(train) // 512
    codes = reversed_codes(method, model, train, seed)
    x_hat = copy.deepcopy(model).eval().decode(codes).detach()
    found = {"psnr": psnr(squared_error(x_hat, train[:])), "before": codes[rows]}
    for prior in ("induced", "first"):
        again, further = copy.deepcopy(model), Run(seed=seed, device=CPU)
        if prior == "induced":
            method.learn_prior(again, codes, further)
        method.play(again, train, further, method.retraining_epochs)
        found[prior] = reversed_codes(method, again, train.subset(rows), seed)
    return found


def reversed_codes(method: Any, model: Any, data: Samples, seed: int) -> Tensor:
    codes = torch.zeros(len(data), 20)
    method.reverse(model, data, Run(seed=seed, device=CPU), codes)
    return codes


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_retraining_under_the_induced_prior_lowers_the_raw_score_and_the_control_does_not(
    before_and_after: list[Codes],
) -> None:
    """Means over three seeds; the paper prints falls to 0.35 to 0.43, on other data. The scaled score, which is the
    divergence, rises: codes get shorter, and were too short for the first prior already."""
    ratios: dict[str, list[float]] = {"induced": [], "first": []}
    for seed, codes in zip(SEEDS, before_and_after, strict=True):
        raw = {name: prior_agreement(codes[name], scaled=False) for name in ("before", "induced", "first")}
        scaled = {name: prior_agreement(codes[name]) for name in raw}
        for name, of_seeds in ratios.items():
            of_seeds.append(raw[name] / raw["before"])
        print(f"\nseed {seed}: raw {rounded(raw)}, scaled {rounded(scaled)}, after / before {ratios}")
        assert scaled["induced"] > scaled["before"]
    assert sum(ratios["induced"]) / 3 < 0.7
    assert sum(ratios["first"]) / 3 > 0.85


def rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 2) for name, value in values.items()}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_reversal_reconstructs_digits_by_23_decibels(before_and_after: list[Codes]) -> None:
    decibels = [float(codes["psnr"].mean()) for codes in before_and_after]
    print(f"\n{decibels}")
    assert sum(decibels) / 3 >= 23
