"""avb minimises the evidence lower bound and ali the divergence of the joint laws that it names."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

from benchsuite import DataSpec, ParameterError, Run, Samples
from benchsuite.harness.registry import load_registry
from benchsuite.kit.bidirectional import BidirectionalModel, ExponentialModel
from benchsuite.kit.nets import PairNet
from benchsuite.kit.priors import NormalPrior

REGISTRY = load_registry()
AVB, ALI = (REGISTRY.get("methods", name) for name in ("avb", "ali"))
DRAWS = 200_000


class Linear(nn.Module):
    """Codes mean + std noise, whatever the data: a posterior whose divergences are known."""

    def __init__(self, mean: float, std: float) -> None:
        super().__init__()
        self.mean, self.std = mean, std

    def forward(self, pair: Tensor) -> Tensor:
        return self.mean + self.std * pair[:, 1:]


class Ratio(nn.Module):
    """The perfect discriminator of such codes from those of N(0, 1): log p(z) / q(z | x), the prior labelled 1."""

    def __init__(self, mean: float, std: float) -> None:
        super().__init__()
        self.posterior = Normal(mean, std)

    def forward(self, pair: Tensor) -> Tensor:
        z = pair[:, 1:]
        return Normal(0.0, 1.0).log_prob(z) - self.posterior.log_prob(z)


class Constant(nn.Module):
    """A discriminator that tells nothing apart."""

    def forward(self, pair: Tensor) -> Tensor:
        return torch.zeros(len(pair), 1)


def known(mean: float, std: float, judge: nn.Module) -> BidirectionalModel:
    """x ~ N(z, sigma^2) for a code z ~ N(0, 1), and q(z | x) = N(mean, std^2)."""
    spec = DataSpec((1,), "vector", 10, latent_dim=1)
    encoder, critic = (PairNet((1,), 1, 1, width=4, hidden=(4,)) for _ in range(2))
    encoder.head, critic.head = Linear(mean, std), judge  # type: ignore[assignment]
    return BidirectionalModel(spec, NormalPrior(1), nn.Identity(), encoder, critic, noise_dim=1)


def negative_bound(mean: float, std: float, x: float, sigma: float) -> float:
    """KL(q || p) - E_q[log p(x | z)] less the likelihood's constant, in closed form."""
    divergence = kl_divergence(Normal(mean, std), Normal(0.0, 1.0))
    return float(divergence) + ((mean - x) ** 2 + std**2) / (2 * sigma**2)


SETTINGS = [(0.0, 1.0), (0.7, 0.4), (-1.0, 1.5)]


@pytest.mark.parametrize(("mean", "std"), SETTINGS)
def test_with_a_perfect_discriminator_the_loss_is_the_bound(mean: float, std: float) -> None:
    # Seed 0; 200 000 draws, standard errors of at most 0.02.
    torch.manual_seed(0)
    method = AVB(sigma=0.5, contrast="prior")
    loss = method.generator_loss(known(mean, std, Ratio(mean, std)), torch.full((DRAWS, 1), 0.3))
    assert float(loss) == pytest.approx(negative_bound(mean, std, 0.3, 0.5), abs=0.1)


def test_under_adaptive_contrast_normal_posteriors_differ_by_their_bounds() -> None:
    """Standardised codes of normal posteriors have one law, whatever mean and deviation, so that the discriminator's
    part is one constant and the rest must be the bound but for another."""
    found, expected = [], []
    for mean, std in SETTINGS:
        torch.manual_seed(0)
        x = torch.full((DRAWS, 1), 0.3)
        found.append(float(AVB(sigma=0.5).generator_loss(known(mean, std, Constant()), x)))
        expected.append(negative_bound(mean, std, 0.3, 0.5))
    for i in (1, 2):
        assert found[i] - found[0] == pytest.approx(expected[i] - expected[0], abs=0.1)


class Outliers(nn.Module):
    """Codes that are nearly one point, with one far away in ten."""

    def forward(self, pair: Tensor) -> Tensor:
        noise = pair[:, 1:]
        return torch.where(noise > 1.2816, 1.0, 1e-3 * noise)


def test_rare_outliers_are_no_way_below_the_bound() -> None:
    """With nothing told apart, the loss is the divergence of the normal with the same moments, which is above 0 (the
    log of a sample covariance is below the covariance's log on average), and an error, above 0 too. Seed 0."""
    torch.manual_seed(0)
    model = known(0.0, 1.0, Constant())
    model.encoder.head = Outliers()  # type: ignore[assignment]
    assert float(AVB(sigma=0.5).generator_loss(model, torch.full((20_000, 1), 0.1))) > 0


def test_the_sign_of_the_bound_is_the_one_that_equation_29_needs() -> None:
    """log q / p is positive where q has more mass; a logit is log p / q."""
    logits = torch.tensor([math.log(0.25 / 0.75)])  # D = 1/4: codes three times likelier under q
    assert AVB().log_ratio(logits).item() == pytest.approx(math.log(3))
    assert AVB(ratio="printed").log_ratio(logits).item() == pytest.approx(-math.log(3))


def test_the_joint_contrastive_losses_of_the_thesis() -> None:
    """KL(q(z | x) p(x) || p(x | z) q(z)) = E[log D / (1 - D)] on pairs of data, data being labelled 1."""
    torch.manual_seed(0)
    model = known(0.5, 0.7, Ratio(0.0, 2.0))
    x = torch.randn(50_000, 1)
    torch.manual_seed(1)
    found = ALI(loss="kl").generator_loss(model, x)
    torch.manual_seed(1)
    z_prior = model.draw(len(x))
    z = model.draw_posterior(x)
    expected = model.judge(x, z).mean() - model.judge(model.decode(z_prior), z_prior).exp().mean()
    torch.testing.assert_close(found, expected)


def test_the_discriminator_of_ali_labels_data_one_and_that_of_avb_labels_the_prior_one() -> None:
    model = known(0.5, 0.7, Ratio(0.0, 2.0))
    x = torch.randn(1000, 1, generator=torch.Generator().manual_seed(0))

    def drawn() -> tuple[Tensor, Tensor]:
        torch.manual_seed(1)
        first = model.draw_posterior(x)
        return first, model.draw(len(x))

    posterior, prior = drawn()
    torch.manual_seed(1)
    found = ALI().discriminator_loss(model, x)
    real, fake = model.judge(x, posterior), model.judge(model.decode(prior), prior)
    torch.testing.assert_close(found, nn.functional.softplus(-real).mean() + nn.functional.softplus(fake).mean())

    torch.manual_seed(1)
    found = AVB(contrast="prior").discriminator_loss(model, x)
    real, fake = model.judge(x, prior), model.judge(x, posterior)
    torch.testing.assert_close(found, nn.functional.softplus(-real).mean() + nn.functional.softplus(fake).mean())


def test_ali_penalises_the_slope_over_pairs_where_its_loss_needs_that() -> None:
    class Slope(nn.Module):
        def forward(self, pair: Tensor) -> Tensor:
            return pair @ torch.tensor([[3.0], [4.0]])

    model = known(0.5, 0.7, Slope())
    x = torch.randn(1000, 1, generator=torch.Generator().manual_seed(0))
    losses = []
    for weight in (0.0, None, 2.0):
        torch.manual_seed(1)
        losses.append(ALI(loss="wasserstein", gradient_penalty=weight).discriminator_loss(model, x).item())
    assert losses[1] - losses[0] == pytest.approx(10 * (5 - 1) ** 2, rel=1e-4)
    assert losses[2] - losses[0] == pytest.approx(2 * (5 - 1) ** 2, rel=1e-4)
    critic = ALI(loss="wasserstein", width=4).build(DataSpec((1, 16, 16), "image", 10, 2)).discriminator
    assert not [m for m in critic.modules() if isinstance(m, nn.BatchNorm2d)]
    with pytest.raises(ParameterError, match="not empty"):
        ALI(hidden=())


class Counting(Run):
    """Counts the optimisers' steps by the first letter of their names."""

    counted = ""

    def step(self, optimiser: torch.optim.Optimizer, loss: Tensor, name: str = "loss") -> None:
        super().step(optimiser, loss, name)
        self.counted += name[0]


@pytest.mark.parametrize("cls", [AVB, ALI])
def test_the_discriminator_may_make_several_steps_to_one(cls: Any) -> None:
    for steps, expected in ((1, "dgdgdgdg"), (2, "ddgddg"), (3, "dddgd")):
        method = cls(width=4, epochs=1, batch_size=10, hidden=(8,), discriminator_steps=steps)
        model = method.build(DataSpec((1, 16, 16), "image", 40, latent_dim=2))
        counting = Counting(seed=0, device=torch.device("cpu"))
        method.fit(model, images(), counting)
        assert counting.counted == expected


def images(rows: int = 40) -> Samples:
    return Samples(torch.rand(rows, 1, 16, 16, generator=torch.Generator().manual_seed(5)))


@pytest.mark.parametrize("cls", [AVB, ALI])
def test_the_encoder_is_a_sampler_with_one_code_to_show(cls: Any) -> None:
    torch.manual_seed(0)
    method = cls(width=4, epochs=1, hidden=(16,))
    model = method.build(DataSpec((1, 16, 16), "image", 40, latent_dim=3))
    method.fit(model, images(), Run(seed=0, device=torch.device("cpu")))
    model.eval()
    x = images()[:]
    with torch.no_grad():
        torch.testing.assert_close(model.encode(x), model.encode(x))
        first, again = (model.posterior_sample(x, torch.Generator().manual_seed(s)) for s in (1, 1))
        other = model.posterior_sample(x, torch.Generator().manual_seed(2))
        draws = model.posterior_draws(x, 5)
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert first.shape == (40, 3) and draws.shape == (5, 40, 3)
    assert float(draws.std(0).min()) > 0


@pytest.mark.parametrize("cls", [AVB, ALI])
def test_every_network_learns(cls: Any) -> None:
    torch.manual_seed(0)
    method = cls(width=4, epochs=1, hidden=(16,))
    model = method.build(DataSpec((1, 16, 16), "image", 40, latent_dim=3))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    method.fit(model, images(), Run(seed=0, device=torch.device("cpu")))
    for part in ("encoder.", "decoder.", "discriminator."):
        names = [n for n, _ in model.named_parameters() if n.startswith(part)]
        assert names and all(not torch.equal(before[n], model.state_dict()[n]) for n in names)


@pytest.mark.parametrize("cls", [AVB, ALI])
def test_the_known_model_is_only_for_what_it_is_known_for(cls: Any) -> None:
    for shape, kind, latent_dim in (((1, 16, 16), "image", 2), ((3,), "vector", 2), ((1,), "vector", 5)):
        with pytest.raises(ParameterError, match=r"data of shape \(1,\) and latent_dim=2; got"):
            cls(likelihood="exponential").build(DataSpec(shape, kind, 10, latent_dim))


def test_the_known_likelihood_is_the_exponentials() -> None:
    model = ALI(likelihood="exponential").build(DataSpec((1,), "vector", 10, latent_dim=2))
    z = torch.tensor([[1.0, 2.0]])
    found = model.negative_log_likelihood(torch.tensor([[3.0]]), z, sigma=0.3)
    assert found.item() == pytest.approx(math.log(6) + 3 / 6)
    observed = model.observe(z.expand(DRAWS, 2))
    assert float(observed.std()) == pytest.approx(6, rel=0.02)  # a draw, no mean; 200 000 of them


@pytest.mark.parametrize("cls", [AVB, ALI])
def test_the_known_model_decodes_means_and_samples_observations(cls: Any) -> None:
    model = cls(likelihood="exponential").build(DataSpec((1,), "vector", 10, latent_dim=2))
    assert isinstance(model, ExponentialModel)
    z = torch.tensor([[1.0, 2.0], [0.0, 0.0]])
    assert model.decode(z).tolist() == [[6.0], [1.0]]
    # Marginally E x = 1 + E|z|^2 = 5, with a variance of 2 E(1 + |z|^2)^2 - 25 = 57. Seed 0; five standard errors.
    x = model.sample(DRAWS, torch.Generator().manual_seed(0))
    assert x.shape == (DRAWS, 1) and float(x.mean()) == pytest.approx(5, abs=5 * math.sqrt(57 / DRAWS))
