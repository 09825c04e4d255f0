"""How far noise in an image moves the code that is found for it: ``noise_error`` and ``noise_slope``.

Images that the model has made of draws of its prior get Gaussian noise, and their codes are searched for from other
draws. Near z a generator is linear with the Jacobian J, and least squares gives E|z' - z|^2 / d = variance *
tr((J^T J)^-1) / d: proportional to the variance. A slope below 1 comes of recovery that fails, which has an error of
its own whatever the noise, or of noise so strong that codes leave the part where the generator is linear.

As in the paper the variance is that of images in [-1, 1], so that here, in [0, 1], the standard deviation is half of
its root; to vectors it is added as it is. The same noise is scaled to each variance, so that the rows differ by nothing
else. Noisy images are not cut to their range.

Source: Lipton and Tripathi, Precise Recovery of Latent Vectors from Generative Adversarial Networks (2017), Figure 2,
which reads as a slope of 1 and prints neither it nor the number of images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from benchsuite import (
    Metric,
    Model,
    NotApplicableError,
    PositiveInt,
    Score,
    hookimpl,
)
from benchsuite.kit.search import (
    DEFAULT_SEARCH,
    Generated,
    Search,
    Shared,
    code_errors,
    generated_data,
    generator_of_shared,
)

_VARIANCES = {"1e-4": 1e-4, "1e-3": 1e-3, "1e-2": 1e-2, "1e-1": 1e-1}
_LINEAR = 3  # of them, the smallest ones, give the slope


def noise_error(
    model: Model,
    shared: Shared,
    *,
    images: PositiveInt = 64,
    restarts: PositiveInt = 3,
    search: Search = DEFAULT_SEARCH,
) -> Score:
    """The median over images of |z' - z|^2 / d, in the square of the prior's units; a row for each variance of noise.

    Of ``restarts`` searches for each image the one with the least squared error counts.
    """
    errors = _errors(model, shared, images, restarts, search)
    rows = {name: float(of_one.quantile(0.5)) for name, of_one in zip(_VARIANCES, errors, strict=True)}
    return Score(rows, n=images, arrays={"variances": torch.tensor([*_VARIANCES.values()]), "errors": errors})


def noise_slope(
    model: Model,
    shared: Shared,
    *,
    images: PositiveInt = 64,
    restarts: PositiveInt = 3,
    search: Search = DEFAULT_SEARCH,
) -> Score:
    """The power of the variance that the median error goes by, from 1e-4 to 1e-2: 1 where it grows in proportion.

    By least squares on logarithms.
    """
    medians = _errors(model, shared, images, restarts, search)[:_LINEAR].quantile(0.5, dim=1)
    if not bool((medians > 0).all()):
        raise NotApplicableError("noise moves no code, so that there is no slope")
    variances = [*_VARIANCES.values()][:_LINEAR]
    slope, _ = np.polyfit(np.log(variances), medians.log().numpy(), 1)
    return Score(float(slope), n=images)


def _errors(model: Model, shared: Shared, images: int, restarts: int, search: Search) -> Tensor:
    """|z' - z|^2 / d for each variance and image, (4, images), found once for both metrics."""
    task: Generated = shared(f"noisy data {images} {restarts}", lambda: _noisy(model, images, restarts))
    errors: Tensor = shared(f"noise {images} {restarts} {search}", lambda: _recover(model, task, search))
    return errors.view(len(_VARIANCES), images)


def _noisy(model: Model, images: int, restarts: int) -> Generated:
    """The same draws of the model with each variance of noise, one variance after the other."""
    generator = generator_of_shared()
    codes, x, starts = generated_data(model, images, restarts, generator)
    noise = torch.randn(x.shape, generator=generator).to(x) / (2 if x.ndim == 4 else 1)
    noisy = torch.cat([x + math.sqrt(variance) * noise for variance in _VARIANCES.values()])
    return Generated(codes.repeat(len(_VARIANCES), 1), noisy, starts.repeat(1, len(_VARIANCES), 1))


def _recover(model: Model, task: Generated, search: Search) -> Tensor:
    found = search.recover(model, task.data, task.starts, generator_of_shared()).codes
    return code_errors(found, task.codes)


@hookimpl
def benchsuite_metrics() -> Sequence[Metric]:
    """Provides ``noise_error`` and ``noise_slope``, each where it is named."""
    return [
        Metric("noise_error", noise_error, higher_is_better=False, default=False, version=2),
        Metric("noise_slope", noise_slope, higher_is_better=None, default=False, version=2),
    ]
