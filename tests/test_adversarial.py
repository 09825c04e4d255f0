"""Each adversarial loss is what its name says: with the best discriminator, its gradient is that of its divergence.

The data are the two Gaussians of Velasquez Vergara (2017), section 3.3.2.1, the model is one Gaussian, and everything
is integrated numerically in float64, so that nothing here is random.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.distributions import Categorical, MixtureSameFamily, Normal
from torch.nn import BCEWithLogitsLoss

from benchsuite.kit.adversarial import LOSSES, AdversarialLoss, LossName, f_divergence, gradient_penalty

NAMES: tuple[LossName, ...] = get_args(LossName)
GRID = torch.linspace(-12, 16, 28_001, dtype=torch.float64)
STEP = float(GRID[1] - GRID[0])
MODELS = [(2.3, 1.4), (1.2, 1.1), (2.9, 1.8)]  # mean and standard deviation; wide enough for every divergence

Integrand = Callable[[Tensor, Tensor], Tensor]  # of log p(x) and log q(x) on the grid


def data() -> MixtureSameFamily:
    """The law of the data."""
    means = torch.tensor([1.0, 3.0], dtype=torch.float64)
    return MixtureSameFamily(
        Categorical(torch.ones(2, dtype=torch.float64)), Normal(means, torch.full_like(means, 0.3))
    )


def log_densities(mean: Tensor, std: Tensor) -> tuple[Tensor, Tensor]:
    return data().log_prob(GRID), Normal(mean, std).log_prob(GRID)


def integral(values: Tensor) -> Tensor:
    return values.sum() * STEP


def kl(p: Tensor, q: Tensor) -> Tensor:
    return p.exp() * (p - q)


def twice_js(p: Tensor, q: Tensor) -> Tensor:
    middle = torch.logaddexp(p, q) - math.log(2)
    return kl(p, middle) + kl(q, middle)


def least_squares_divergence(p: Tensor, q: Tensor) -> Tensor:
    """D_f of the f with f'' = 1 / (u (1 + u)^3), which makes -f*(f'(u)) the loss at D = u / (1 + u): by integration,
    f = u log(u / (1 + u)) + u / (1 + u) + 1 / (2 (1 + u)), up to a line."""
    u, share = (p - q).exp(), torch.sigmoid(p - q)
    return q.exp() * (u * torch.nn.functional.logsigmoid(p - q) + share + (1 - share) / 2)


# The divergence that each loss descends; Wasserstein's is no integral of a function of the two densities.
DIVERGENCES: dict[LossName, Integrand] = {
    "minimax": twice_js,
    "js": twice_js,
    # Arjovsky and Bottou, Towards Principled Methods for Training GANs (2017), theorem 2.5
    "non_saturating": lambda p, q: kl(q, p) - twice_js(p, q),
    "kl": kl,
    "reverse_kl": lambda p, q: kl(q, p),
    "pearson": lambda p, q: q.exp() * (p - q).expm1().square(),
    "least_squares": least_squares_divergence,
    "hinge": lambda p, q: (p.exp() - q.exp()).abs(),
}


def wasserstein(p: Tensor, q: Tensor) -> Tensor:
    """The distance of optimal transport on a line: the area between the distribution functions."""
    return integral(((p.exp() - q.exp()).cumsum(0) * STEP).abs())


def divergence(name: LossName, p: Tensor, q: Tensor) -> Tensor:
    return wasserstein(p, q) if name == "wasserstein" else integral(DIVERGENCES[name](p, q))


def best_discriminator(name: LossName, p: Tensor, q: Tensor) -> Tensor:
    """What the discriminator of ``name`` puts out at each point when it is perfect, by the log densities."""
    if name == "least_squares":
        return torch.sigmoid(p - q)
    if name == "hinge":
        return (p - q).sign()
    if name == "wasserstein":  # the potential of optimal transport: its slope is the sign of F_q - F_p
        return ((q.exp() - p.exp()).cumsum(0).sign() * STEP).cumsum(0)
    return p - q


def gradient(value: Callable[[Tensor, Tensor], Tensor], mean: float, std: float) -> tuple[float, float]:
    parameters = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (mean, std)]
    along_mean, along_std = torch.autograd.grad(value(*parameters), parameters)
    return float(along_mean), float(along_std)


def tolerance(name: LossName) -> float:
    # Where a sign jumps, the jump falls between grid points, and the grid's step is the error.
    return 2e-3 if name in ("hinge", "wasserstein") else 1e-6


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("mean", "std"), MODELS)
def test_a_generator_loss_has_the_gradient_of_its_divergence(name: LossName, mean: float, std: float) -> None:
    """d/d(mean, std) of the generator's loss, the discriminator staying what is best at (mean, std)."""
    p, q = log_densities(*(torch.tensor(v, dtype=torch.float64) for v in (mean, std)))
    losses = LOSSES[name].generator(best_discriminator(name, p, q))
    found = gradient(lambda m, s: integral(log_densities(m, s)[1].exp() * losses), mean, std)
    expected = gradient(lambda m, s: divergence(name, *log_densities(m, s)), mean, std)
    assert found == pytest.approx(expected, rel=tolerance(name), abs=tolerance(name))
    assert max(map(abs, found)) > 0.01


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("non_saturating", "least_squares")])
def test_an_encoder_loss_has_the_gradient_of_the_same_divergence_from_the_datas_side(name: LossName) -> None:
    fixed = Normal(torch.tensor(1.7, dtype=torch.float64), 1.5).log_prob(GRID)
    moving = (2.1, 1.2)
    p = Normal(*(torch.tensor(v, dtype=torch.float64) for v in moving)).log_prob(GRID)
    losses = LOSSES[name].encoder(best_discriminator(name, p, fixed))
    found = gradient(lambda m, s: integral(Normal(m, s).log_prob(GRID).exp() * losses), *moving)
    expected = gradient(lambda m, s: divergence(name, Normal(m, s).log_prob(GRID), fixed), *moving)
    assert found == pytest.approx(expected, rel=tolerance(name), abs=tolerance(name))


@pytest.mark.parametrize("name", ["non_saturating", "least_squares"])
def test_other_losses_treat_the_encoder_as_a_generator_of_the_other_label(name: LossName) -> None:
    out = torch.linspace(-3, 3, 13)
    mirrored = 1 - out if name == "least_squares" else -out
    torch.testing.assert_close(LOSSES[name].encoder(out), LOSSES[name].generator(mirrored))


@pytest.mark.parametrize("name", [n for n in NAMES if n != "wasserstein"])
@pytest.mark.parametrize("odds", [0.2, 1.7, 6.0])
def test_a_discriminator_is_at_rest_at_its_best(name: LossName, odds: float) -> None:
    """At a point where p = odds q, odds loss.real + loss.fake is least at the best output, of a wide range."""
    loss = LOSSES[name]
    tried = torch.linspace(-4, 4, 80_001, dtype=torch.float64)
    best = tried[(odds * loss.real(tried) + loss.fake(tried)).argmin()]
    log_odds = torch.tensor(math.log(odds), dtype=torch.float64)
    assert float(best) == pytest.approx(float(best_discriminator(name, log_odds, torch.zeros_like(log_odds))), abs=2e-4)


FORMULAS = {
    "kl": (lambda u: u * u.log(), lambda u: u.log() + 1, lambda t: (t - 1).exp()),
    "reverse_kl": (lambda u: -u.log(), lambda u: -1 / u, lambda t: -1 - (-t).log()),
    "js": (
        lambda u: u * u.log() - (u + 1) * ((u + 1) / 2).log(),
        lambda u: (2 * u / (u + 1)).log(),
        lambda t: -(2 - t.exp()).log(),
    ),
    "pearson": (lambda u: (u - 1) ** 2, lambda u: 2 * (u - 1), lambda t: t**2 / 4 + t),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_a_divergence_of_the_table_is_the_one_that_its_formulas_give(name: LossName) -> None:
    given_by_formula, tabled = f_divergence(*FORMULAS[name]), LOSSES[name]
    out = torch.linspace(-6, 6, 25, dtype=torch.float64)
    torch.testing.assert_close(given_by_formula.real(out), tabled.real(out))
    torch.testing.assert_close(given_by_formula.fake(out), tabled.fake(out))
    # A constant added to a loss changes no gradient.
    for side in ("generator", "encoder"):
        difference = getattr(given_by_formula, side)(out) - getattr(tabled, side)(out)
        torch.testing.assert_close(difference, torch.full_like(out, float(difference[0])))


def test_a_conjugate_that_is_none_is_refused() -> None:
    f, derivative, conjugate = FORMULAS["kl"]
    with pytest.raises(ValueError, match=r"f\(1\) = 0; got 1"):
        f_divergence(lambda u: f(u) + 1, derivative, conjugate)
    with pytest.raises(ValueError, match="check the derivative and the conjugate"):
        f_divergence(f, derivative, lambda t: (1 - t).exp())  # the slip in print


@pytest.mark.parametrize("name", ["minimax", "non_saturating", "js", "least_squares", "wasserstein", "hinge"])
@pytest.mark.parametrize("out", [-1e4, 1e4])
def test_a_sure_discriminator_overflows_nothing(name: LossName, out: float) -> None:
    fake = torch.tensor([out], requires_grad=True)
    loss = LOSSES[name].generator(fake).sum() + LOSSES[name].discriminator(-fake, fake)
    (slope,) = torch.autograd.grad(loss, fake)
    assert math.isfinite(loss.item()) and math.isfinite(float(slope))


def test_a_sure_discriminator_stops_minimax_but_not_the_non_saturating_loss() -> None:
    fake = torch.full((1,), -20.0, requires_grad=True)
    slopes = [
        torch.autograd.grad(LOSSES[name].generator(fake).sum(), fake)[0] for name in ("minimax", "non_saturating")
    ]
    assert abs(float(slopes[0])) < 1e-8
    assert float(slopes[1]) == pytest.approx(-1)


outputs = st.lists(st.floats(-50, 50), min_size=1, max_size=20).map(lambda v: torch.tensor(v, dtype=torch.float64))


@given(outputs, outputs)
@settings(max_examples=40, deadline=None)
def test_cross_entropy_is_torchs(real: Tensor, fake: Tensor) -> None:
    bce = BCEWithLogitsLoss()
    expected = bce(real, torch.ones_like(real)) + bce(fake, torch.zeros_like(fake))
    torch.testing.assert_close(LOSSES["non_saturating"].discriminator(real, fake), expected)
    torch.testing.assert_close(LOSSES["minimax"].generator(fake).mean(), -bce(fake, torch.zeros_like(fake)))
    torch.testing.assert_close(LOSSES["non_saturating"].generator(fake).mean(), bce(fake, torch.ones_like(fake)))


def test_the_table_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        LOSSES["kl"] = AdversarialLoss(torch.neg, torch.neg, torch.neg, torch.neg)  # type: ignore[index]


class Slope(nn.Module):
    """A critic with the same gradient everywhere."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.weight


def test_the_gradient_penalty_of_a_linear_critic_is_that_of_its_length() -> None:
    critic = Slope(torch.tensor([0.0, 3.0, 4.0]))
    penalty = gradient_penalty(critic, [torch.randn(5, 3)], [torch.randn(5, 3)])
    assert penalty.item() == pytest.approx((5 - 1) ** 2)
    (slope,) = torch.autograd.grad(penalty, critic.weight)
    torch.testing.assert_close(slope, 2 * (5 - 1) * critic.weight.detach() / 5)


def test_the_gradient_penalty_looks_between_the_pairs() -> None:
    seen: list[Tensor] = []

    class Watching(Slope):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x.detach())
            return super().forward(x)

    real, fake = torch.zeros(200, 1, 2, 2), torch.ones(200, 1, 2, 2)
    torch.manual_seed(0)
    gradient_penalty(Watching(torch.ones(4)), [real], [fake])
    assert bool(((seen[0] >= 0) & (seen[0] <= 1)).all())
    shares = seen[0].flatten(1)
    torch.testing.assert_close(shares, shares[:, :1].expand(-1, 4))  # one point between a pair, not one a pixel
    assert 0.4 < float(shares.mean()) < 0.6  # seed 0; five standard errors are 0.1
