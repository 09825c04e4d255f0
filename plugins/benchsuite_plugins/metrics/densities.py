"""The pictures that show a law beside the samples that are to follow it, with numbers for what the eye compares.

``law_density`` draws the densities of a law on a line or in the plane; ``posterior_density`` the prior and posterior of
a known model. Densities are computed on a grid, by the law's own ``log_prob``.

Source: Velasquez Vergara, Generative Adversarial Networks (2017), Figures 1 and 3 to 8, which has pictures only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from benchsuite import Metric, NotApplicableError, Samples, Score, hookimpl

_SHARES = (0.5, 0.9)  # of the law's mass, in the smallest region that has it
_LINE, _PLANE = 1201, 161  # points of the grid along each axis
_WIDTH = 5.0  # deviations to each side of the mean that a grid covers
_SHOWN = 1000  # samples in the thesis's pictures
_SMOOTHED = 50_000
_DRAWS = 4000
_OBSERVED = (1.0, 30.0)
_REACH = 6.5  # of the grid of codes, whose prior has a probability of 3e-5 beyond


def law_density(generated: Samples, truth: Any, model: Any) -> Score:
    """How samples lie in the density of their law, on a line or in the plane.

    Rows: ``ks``, the Kolmogorov-Smirnov distance of a coordinate from the law's, the largest; ``inside_50`` and
    ``inside_90``, the shares of samples inside the smallest region that has this share of the law. Kept are, on a line,
    ``x`` with the densities ``truth``, ``model`` (of the samples, smoothed) and ``latent`` (of the prior, where codes
    have one coordinate); in the plane, grids ``x`` and ``y``, ``density`` with rows along y, and 1000 ``samples``.
    """
    if not hasattr(truth, "log_prob") or not hasattr(truth, "covariance"):
        raise NotApplicableError("the law of this dataset states no density and moments")
    dim = len(truth.mean)
    if generated.kind != "vector" or dim > 2:
        raise NotApplicableError(f"densities are drawn of at most 2 coordinates; got samples of {generated.shape}")
    axes = [
        torch.linspace(float(mean - _WIDTH * std), float(mean + _WIDTH * std), _LINE if dim == 1 else _PLANE).double()
        for mean, std in zip(truth.mean, truth.covariance.diagonal().sqrt(), strict=True)
    ]
    cell = math.prod(float(axis[1] - axis[0]) for axis in axes)
    points = torch.cartesian_prod(*axes).reshape(-1, dim)
    log_density = truth.log_prob(points)
    mass = log_density.exp() * cell
    if abs(float(mass.sum()) - 1) > 0.01:
        raise NotApplicableError("the law is too narrow for the grid that its density would be drawn on")
    samples = generated[:].double().cpu()
    on_grid = mass.view([len(axis) for axis in axes])
    marginals = [on_grid if dim == 1 else on_grid.sum(1 - i) for i in range(dim)]
    rows = {"ks": max(_ks(samples[:, i], axes[i], marginals[i]) for i in range(dim))}
    own = truth.log_prob(samples)
    for share in _SHARES:
        rows[f"inside_{share:.0%}".rstrip("%")] = float((own >= _level(log_density, mass, share)).double().mean())
    if dim == 1:
        arrays = {"x": axes[0], "truth": mass / cell, "model": _smoothed(samples[:, 0], axes[0])}
        arrays |= _latent(model, axes[0])
    else:
        arrays = {"x": axes[0], "y": axes[1], "density": on_grid.T / cell, "samples": samples[:_SHOWN]}
    return Score(rows, arrays={name: array.float() for name, array in arrays.items()})


def posterior_density(model: Any, truth: Any, generator: torch.Generator) -> Score:
    """How codes drawn from q(z | x) lie in the posterior of a known model, for x = 1 and 30.

    Rows for each x: ``inside_90``, the share of draws inside the smallest region with 90% of the posterior; ``near``,
    the share of draws with |z| < 1, beside ``near_truth``, the posterior's own; and ``hollow``, the posterior's density
    at 0 over its largest. ``near_prior`` is the prior's share. Kept are grids ``x`` and ``y``, the densities ``prior``,
    ``posterior_1`` and ``posterior_30``, rows along y, and 1000 draws each: ``draws_prior``, ``draws_1``, ``draws_30``.
    """
    if not hasattr(truth, "log_likelihood") or not hasattr(truth, "prior_std"):
        raise NotApplicableError("the law of this dataset states no posterior")
    if not hasattr(model, "posterior_sample"):
        raise NotApplicableError("the method samples no posterior")
    if not isinstance(getattr(model, "law", None), type(truth)):
        raise NotApplicableError("the method's posterior is that of another model; select likelihood=exponential")
    axis = torch.linspace(-_REACH, _REACH, _PLANE, dtype=torch.float64)
    z = torch.cartesian_prod(axis, axis)
    log_prior = -z.square().sum(1) / (2 * truth.prior_std**2)
    device = next(model.parameters()).device
    reference = {"near_prior": 1 - math.exp(-1 / (2 * truth.prior_std**2))}
    rows: dict[str, float] = {}
    prior_draws = truth.prior_std * torch.randn(_SHOWN, 2, generator=generator)
    arrays = {"x": axis, "y": axis, "prior": _normalised(log_prior, axis), "draws_prior": prior_draws}
    for x in _OBSERVED:
        log_density = log_prior + truth.log_likelihood(torch.full((len(z), 1), x, dtype=torch.float64), z)
        mass = log_density.softmax(0)
        draws = model.posterior_sample(torch.full((_DRAWS, 1), x, device=device), generator).double().cpu()
        own = -draws.square().sum(1) / (2 * truth.prior_std**2)
        own = own + truth.log_likelihood(torch.full((_DRAWS, 1), x, dtype=torch.float64), draws)
        level = _level(log_density, mass, 0.9)
        name = f"{x:g}"
        rows[f"inside_90.x={name}"] = float((own >= level).double().mean())
        rows[f"near.x={name}"] = float((draws.norm(dim=1) < 1).double().mean())
        reference[f"near_truth.x={name}"] = float(truth.posterior_radius_cdf(torch.ones(1), x))
        reference[f"hollow.x={name}"] = float((log_density[len(z) // 2] - log_density.max()).exp())
        arrays |= {f"posterior_{name}": _normalised(log_density, axis), f"draws_{name}": draws[:_SHOWN]}
    return Score(
        rows | reference,
        n=_DRAWS,
        arrays={name: array.float() for name, array in arrays.items()},
        references=list(reference),
    )


def _ks(samples: Tensor, axis: Tensor, mass: Tensor) -> float:
    """The largest distance of the samples' distribution function from the law's, given by its mass at grid points."""
    cumulative = mass.cumsum(0) - mass / 2  # at the points themselves, by the trapezoid rule
    ordered = samples.sort().values.clamp(float(axis[0]), float(axis[-1]))
    place = (ordered - axis[0]) / (axis[1] - axis[0])
    left = place.floor().long().clamp(0, len(axis) - 2)
    cdf = torch.lerp(cumulative[left], cumulative[left + 1], place - left)
    below = torch.arange(len(ordered), dtype=torch.float64) / len(ordered)
    return float(torch.maximum(cdf - below, below + 1 / len(ordered) - cdf).max())


def _level(log_density: Tensor, mass: Tensor, share: float) -> Tensor:
    """The log density above which the smallest region with this share of the mass lies."""
    order = log_density.argsort(descending=True)
    last = int(torch.searchsorted(mass[order].cumsum(0) / mass.sum(), share))
    return log_density[order[min(last, len(order) - 1)]]


def _smoothed(samples: Tensor, axis: Tensor) -> Tensor:
    """A kernel estimate of the samples' density on the grid, by Silverman's bandwidth."""
    step = axis[1] - axis[0]
    some = samples[:_SMOOTHED]
    bandwidth = (1.06 * some.std() * len(some) ** -0.2).clamp_min(step)
    nearest = ((some - axis[0]) / step).round().long()
    counts = torch.bincount(nearest[(nearest >= 0) & (nearest < len(axis))], minlength=len(axis)).double()
    kernel = (-0.5 * ((axis[:, None] - axis) / bandwidth).square()).exp() / (bandwidth * math.sqrt(2 * math.pi))
    smooth: Tensor = kernel @ counts / len(some)
    return smooth


def _latent(model: Any, axis: Tensor) -> dict[str, Tensor]:
    """The density of the model's prior on the grid, where codes have one coordinate and it is known."""
    log_prob = getattr(getattr(model, "prior", None), "log_prob", None)
    if getattr(model, "latent_dim", None) != 1 or log_prob is None:
        return {}
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    return {"latent": log_prob(axis[:, None].float().to(device)).exp().double().cpu()}


def _normalised(log_density: Tensor, axis: Tensor) -> Tensor:
    """The density on the grid, (k, k) with rows along y, from its logarithm up to a constant."""
    return log_density.softmax(0).view(len(axis), len(axis)).T / (axis[1] - axis[0]) ** 2


@hookimpl
def benchsuite_metrics() -> Sequence[Metric]:
    """Provides ``law_density`` and ``posterior_density``, where they are named."""
    return [
        Metric("law_density", law_density, higher_is_better=None, kind="vector", default=False),
        Metric("posterior_density", posterior_density, higher_is_better=None, kind="vector", default=False),
    ]
