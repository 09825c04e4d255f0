"""Which modes of a known mixture a model finds: ``mode_coverage`` and ``high_quality_fraction``.

A sample is of high quality within three standard deviations, by Mahalanobis distance, of the nearest mode; a mode is
covered where it is the nearest one of such a sample.

Source: Srivastava et al., VEEGAN: Reducing Mode Collapse in GANs using Implicit Variational Learning (2017), section
4.1; Lin et al., PacGAN: The Power of Two Samples in Generative Adversarial Networks (2018), section 4.1. They count the
modes; here it is their share, so that laws compare.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from benchsuite import Metric, NotApplicableError, Samples, hookimpl

_DEVIATIONS = 3.0
_BATCH = 1024


def mode_coverage(generated: Samples, truth: Any) -> float:
    """The share of the law's modes that are nearest to a sample of high quality, in [0, 1]."""
    covered = {mode for near, modes in _nearest_modes(generated, truth) for mode in modes[near].tolist()}
    return len(covered) / len(truth.modes)


def high_quality_fraction(generated: Samples, truth: Any) -> float:
    """The share of samples of high quality, in [0, 1].

    For samples of the law itself, with modes far apart, it is the chance that chi-square with as many degrees of
    freedom as there are coordinates is below 9: 0.9973 for one, 0.9889 for two.
    """
    return sum(int(near.sum()) for near, _ in _nearest_modes(generated, truth)) / len(generated)


def _nearest_modes(generated: Samples, truth: Any) -> Iterator[tuple[Tensor, Tensor]]:
    """(whether each of a batch of samples is of high quality, which mode is nearest to it), (n,) each."""
    if not hasattr(truth, "modes") or not hasattr(truth, "component_covariance"):
        raise NotApplicableError("the law of this dataset is no mixture of modes")
    factor = torch.linalg.cholesky(truth.component_covariance)
    for x in generated.batches(_BATCH):
        offsets = x.double().cpu()[:, None] - truth.modes
        squared = torch.linalg.solve_triangular(factor, offsets.mT, upper=False).square().sum(1)
        distance, mode = squared.min(1)
        yield distance <= _DEVIATIONS**2, mode


@hookimpl
def benchsuite_metrics() -> Sequence[Metric]:
    """Provides ``mode_coverage`` and ``high_quality_fraction``."""
    return [
        Metric(compute.__name__, compute, higher_is_better=True, kind="vector")
        for compute in (mode_coverage, high_quality_fraction)
    ]
