"""Whether a model copies its training images: ``authpct``, ``nearest_train`` and ``psnr_gap``.

A model that hands out training images has a perfect Frechet distance. ``authpct`` finds it out and disqualifies it: a
sample counts as a copy where it is ten times nearer to a training image than any other, different training image is;
and the model copies where it does so at least ten different ones, and 20 percentage points more of its samples are
copies than one half of the training images would be of the other half. That last share is 0 for images. It is 10 % on
a line and 1 % in a plane, where points come close by chance, and high where training images repeat.

Source: Alaa et al., How Faithful is your Synthetic Data? Sample-level Metrics for Evaluating and Auditing Generative
Models (2022), section 3.3; the rule for disqualifying is our own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from benchsuite import Metric, NotApplicableError, Score, hookimpl
from benchsuite.kit.neighbours import nearest
from benchsuite.kit.samples import Reconstructions
from benchsuite.kit.scratch import collected
from benchsuite.kit.similarity import psnr, squared_error

_COPY = 0.1  # of the distance between a training image and the nearest different one
_EXCESS = 0.2  # of the samples that are copies, above the share that chance and repeated images explain
_ROUNDING = 1e-9  # of a distance: a sample just as far as the neighbour is not farther
_COPIED = 10  # different training images; fewer are met by chance where a model's samples are all the same

Nearest = tuple[Tensor, Tensor]
Shared = Callable[[str, Callable[[], Nearest]], Nearest]


def authpct(real_features: Tensor, generated_features: Tensor, shared: Shared, *, features: str | None = None) -> Score:
    """The percentage of samples that are farther from the nearest training image than this is from its own neighbour.

    Its own neighbour is the nearest different training image: were it one that is equal to it, every sample near a
    repeated image would pass. Copies have 0, samples far from the data 100. What samples of the data's own law have
    goes with the dimension: 33 on a line, 37 in a plane, 61 for held-out digits, 95 for 2048 independent numbers. So
    compare with other methods and with ``real``. Every sample is compared with every training image; memory is that of
    ``benchsuite.kit.neighbours.nearest``.
    """
    if len(real_features) < 2:
        raise NotApplicableError(f"two training images are needed; {len(real_features)} can be compared with")
    found = _nearest_train(real_features, generated_features, shared)
    distances, own = _with_own(found, real_features)
    if bool(own.isinf().any()):
        raise NotApplicableError("the features of all training images are the same")
    value = 100 * float((distances > own * (1 + _ROUNDING)).double().mean())
    return _judged(value, distances <= _COPY * own, found[1], real_features)


def nearest_train(
    real_features: Tensor,
    generated_features: Tensor,
    test_features: Tensor,
    shared: Shared,
    *,
    features: str | None = None,
) -> Mapping[str, float]:
    """The median distance of samples to the nearest training image, beside that of test images.

    Rows ``generated``, ``test``, and the first over the second, ``ratio``, which is far below 1 where samples are
    copies, and left out where the second is 0.
    """
    if not len(real_features):
        raise NotApplicableError("there is no training image to compare with")
    found = _nearest_train(real_features, generated_features, shared)
    generated, test = float(found[0].median()), float(nearest(test_features, real_features)[0].median())
    rows = {"generated": generated, "test": test}
    return rows | {"ratio": generated / test} if test else rows


def psnr_gap(reconstructed: Reconstructions, reconstructed_train: Reconstructions) -> Tensor:
    """The mean pSNR of training images less that of test images, in dB: what a model knows of its own images only."""
    return _mean_psnr(reconstructed_train) - _mean_psnr(reconstructed)


def _nearest_train(real: Tensor, generated: Tensor, shared: Shared) -> Nearest:
    """For each sample its distance from the nearest training row, and the number of that, computed once."""
    return shared("nearest_train", lambda: nearest(generated, real))


def _with_own(found: Nearest, real: Tensor) -> Nearest:
    """The distances, and for each the distance from the training image found to the nearest different one."""
    distances, number = found
    rows, index = torch.unique(number, return_inverse=True)
    return distances, nearest(real[rows.to(real.device)], real, different=True)[0][index]


def _judged(value: float, copies: Tensor, number: Tensor, real: Tensor) -> Score:
    """``value`` with what there is to say of ``copies``, (n,); only where they are many is chance's share computed."""
    share, copied = float(copies.double().mean()), len(set(number[copies].tolist()))
    if share < _EXCESS or copied < min(_COPIED, len(real)):
        return Score(value)
    distances, own = _with_own(nearest(real[::2], real[1::2]), real[1::2])
    expected = float((distances <= _COPY * own).double().mean())
    if share >= _EXCESS + expected:
        return Score(value, f"copies its training data: {share:.0%} of its samples are copies, of {copied} rows", True)
    if expected > 1 - _EXCESS:
        return Score(value, f"copying cannot be told: {expected:.0%} of the training data are copies of each other")
    return Score(value)


def _mean_psnr(reconstructed: Reconstructions) -> Tensor:
    if reconstructed.kind != "image":
        raise NotApplicableError("pSNR is for images")
    errors = collected((squared_error(x, x_hat) for x, x_hat in reconstructed.pairs()), len(reconstructed))
    return psnr(errors).mean()


@hookimpl
def benchsuite_metrics() -> Sequence[Metric]:
    """Provides ``authpct``, ``nearest_train`` and ``psnr_gap``."""
    return [
        Metric("authpct", authpct, higher_is_better=None, unit="%"),
        Metric("nearest_train", nearest_train, higher_is_better=None, default=False),
        Metric("psnr_gap", psnr_gap, higher_is_better=None, unit="dB", kind="image", default=False),
    ]
