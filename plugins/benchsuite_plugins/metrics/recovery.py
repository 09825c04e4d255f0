"""Whether a model's codes can be found again: ``recovery_success``, ``psnr_generated`` and ``recovery_consistency``.

The first two take images that the model has made of draws z of its prior, and search for codes of these images from
other draws. Whatever solver is selected, they are the same images and starts. Codes are compared in the units of the
prior, as in the paper, so that a prior of another width has other numbers; the paper's is uniform on [-1, 1]. Codes are
not projected: draws of GLO's prior may lie outside its ball, and so may what is found.

Clipping keeps codes in the box of a uniform prior, and needs a solver other than the default.
``solver=gradient_descent`` with ``momentum=0``, a ``learning_rate`` and a ``final_rate`` below 1 is the paper's.

Source: Lipton and Tripathi, Precise Recovery of Latent Vectors from Generative Adversarial Networks (2017), Tables 1
and 2; Bojanowski et al., Optimizing the Latent Space of Generative Networks (2018), section 4.4, for
``psnr_generated``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, NamedTuple

import torch
from torch import Tensor

from benchsuite import (
    Between,
    Metric,
    Model,
    NotApplicableError,
    PositiveInt,
    Samples,
    Score,
    hookimpl,
)
from benchsuite.kit.coding import prior_draws
from benchsuite.kit.latents import mean_pairwise_distance
from benchsuite.kit.recovery import Progress
from benchsuite.kit.samples import evenly_spaced
from benchsuite.kit.search import (
    DEFAULT_SEARCH,
    Generated,
    Search,
    Shared,
    code_errors,
    generated_data,
    generator_of_shared,
    prior_bounds,
)
from benchsuite.kit.similarity import psnr

_THRESHOLDS = {"1e-8": 1e-8, "1e-4": 1e-4, "1e-3": 1e-3, "1e-2": 1e-2, "1e-1": 1e-1}

Several = Annotated[int, Between(2)]


class _Found(NamedTuple):
    """Of each image |z' - z|^2 / d for the codes returned, the least on any path, and its squared error, (n,) each.

    ``at_bound`` says whether the code has a component at or beyond a bound of the prior, (n,), None where it has none.
    """

    error: Tensor
    least: Tensor
    mse: Tensor
    at_bound: Tensor | None


def recovery_success(
    model: Model,
    shared: Shared,
    *,
    images: PositiveInt = 256,
    restarts: PositiveInt = 3,
    search: Search = DEFAULT_SEARCH,
) -> Score:
    """The share of the model's own images whose codes are found, by |z' - z|^2 / d below 1e-8, 1e-4, 1e-3, 1e-2, 1e-1.

    Of the codes with the least error of ``restarts`` paths; rows ``ever`` count what any point of any path came to,
    which nobody without z could pick out, as the paper's implementation does. In [0, 1], 1 where every code is found;
    codes that more than one image has, or that no image shows, cannot be. 1e-8 stands for arbitrary precision: an error
    of 1e-4 in a component is about what a squared loss in single precision resolves. Where the prior has bounds,
    ``at_bound`` is the share of codes with a component at one or beyond, and ``at_bound.failed`` of those that are not
    found to 1e-4 besides, of all images.
    """
    found = _found(model, shared, images, restarts, search)
    rows = {name: _share_below(found.error, threshold) for name, threshold in _THRESHOLDS.items()}
    rows |= {f"ever.{name}": _share_below(found.least, threshold) for name, threshold in _THRESHOLDS.items()}
    stuck: dict[str, float] = {}
    if found.at_bound is not None:
        failed = found.at_bound & (found.error >= _THRESHOLDS["1e-4"])
        stuck = {"at_bound": _share(found.at_bound), "at_bound.failed": _share(failed)}
    return Score(rows | stuck, n=images, arrays={"error": found.error}, references=list(stuck))


def psnr_generated(
    model: Model,
    shared: Shared,
    *,
    images: PositiveInt = 256,
    restarts: PositiveInt = 3,
    search: Search = DEFAULT_SEARCH,
) -> Score:
    """The pSNR of reconstructions of the model's own images, in dB: whether recovery fails, not the model.

    Rows ``p50`` and ``p5``: what at least 50% and 95% of the images reach. A perfect reconstruction has an infinite
    pSNR, and so may the rows.
    """
    found = _found(model, shared, images, restarts, search, images_only=True)
    decibels = psnr(found.mse)
    ordered = decibels.sort().values
    rows = {"p50": ordered[len(ordered) // 2], "p5": ordered[len(ordered) // 20]}
    return Score({name: float(value) for name, value in rows.items()}, n=images, arrays={"psnr": decibels})


def recovery_consistency(
    model: Model,
    real: Samples,
    shared: Shared,
    generator: torch.Generator,
    *,
    images: PositiveInt = 16,
    restarts: Several = 32,
    search: Search = DEFAULT_SEARCH,
) -> Score:
    """How far apart the codes are that ``restarts`` searches find for one test image, evenly spaced ones.

    The mean of |z_i - z_j| / d over pairs, the norm not squared, and over images; 0 where every search ends at the same
    code. The row ``baseline`` is that of the draws of the prior where they start.
    """
    x = real[evenly_spaced(len(real), images)]
    starts: Tensor = shared(
        f"starts {images} {restarts}", lambda: prior_draws(model, len(x) * restarts, generator_of_shared())
    )
    ends = search.recover(model, x.repeat_interleave(restarts, 0), starts[None], generator).codes
    codes = ends.view(len(x), restarts, -1)
    distances, baseline = _distances(codes), _distances(starts.view_as(codes))
    rows = {"": float(distances.mean()), "baseline": float(baseline.mean())}
    found = {"codes": codes, "distances": distances}
    return Score(rows, n=len(x), arrays=found, references=["baseline"])


def _found(
    model: Model, shared: Shared, images: int, restarts: int, search: Search, *, images_only: bool = False
) -> _Found:
    """One recovery for both metrics."""
    task: Generated = shared(
        f"generated data {images} {restarts}", lambda: generated_data(model, images, restarts, generator_of_shared())
    )
    if images_only and task.data.ndim != 4:
        raise NotApplicableError("pSNR is for images")
    found: _Found = shared(f"recovery {images} {restarts} {search}", lambda: _recover(model, task, search))
    return found


def _recover(model: Model, task: Generated, search: Search) -> _Found:
    least = torch.full((len(task.codes),), torch.inf, dtype=torch.float64)

    def watch(progress: Progress) -> None:
        errors = code_errors(progress.codes, task.codes[progress.sample])
        least.scatter_reduce_(0, progress.sample.cpu(), errors.nan_to_num(torch.inf), "amin")

    found = search.recover(model, task.data, task.starts, generator_of_shared(), watch)
    return _Found(code_errors(found.codes, task.codes), least, found.loss.cpu().double(), _at_bound(model, found.codes))


def _at_bound(model: Model, codes: Tensor) -> Tensor | None:
    """Whether each of ``codes`` (n, d) has a component at or beyond a bound of the prior; None where it has none."""
    if (bounds := prior_bounds(model)) is None:
        return None
    low, high = bounds
    return ((codes <= low) | (codes >= high)).any(1).cpu()


def _share_below(errors: Tensor, threshold: float) -> float:
    return _share(errors < threshold)


def _share(of: Tensor) -> float:
    return float(of.double().mean())


def _distances(codes: Tensor) -> Tensor:
    """The mean distance between the codes of each image, (images, restarts, d) -> (images,)."""
    return torch.tensor([mean_pairwise_distance(of_one) for of_one in codes], dtype=torch.float64)


@hookimpl
def benchsuite_metrics() -> Sequence[Metric]:
    """Provides ``recovery_success``, ``psnr_generated`` and ``recovery_consistency``, each where it is named."""
    return [
        Metric("recovery_success", recovery_success, True, version=2, default=False),
        Metric("psnr_generated", psnr_generated, True, unit="dB", kind="image", default=False),
        Metric("recovery_consistency", recovery_consistency, False, default=False),
    ]
