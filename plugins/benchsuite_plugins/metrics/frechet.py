"""``fd``: the Frechet distance between Gaussians fitted to features of training images and of samples.

Source: Heusel et al., GANs Trained by a Two Time-Scale Update Rule (2017), eq. 6; Dowson and Landau (1982). It is
called FID only on Inception features; on any other extractor its values compare only with those of the same extractor.
The reference is the training images, since test sets are often too small: the distance falls with their number.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from benchsuite import Metric, NotApplicableError, hookimpl
from benchsuite.kit.moments import Moments


def frechet_distance(mean_a: Tensor, cov_a: Tensor, mean_b: Tensor, cov_b: Tensor) -> float:
    """|mean_a - mean_b|^2 + tr(cov_a + cov_b - 2 (cov_a cov_b)^1/2), at least 0.

    Means are (D,) and covariances (D, D), in float64. Computed without a matrix square root: with cov_a = L L^T, the
    trace of the root is the sum of the square roots of the eigenvalues of L^T cov_b L. L comes from an eigenvalue
    decomposition, so that singular covariances need no correction.
    """
    values, vectors = torch.linalg.eigh(cov_a)
    factor = vectors * values.clamp_min(0).sqrt()
    overlap = torch.linalg.eigvalsh(factor.T @ cov_b @ factor).clamp_min(0).sqrt().sum()
    distance = (mean_a - mean_b).square().sum() + cov_a.trace() + cov_b.trace() - 2 * overlap
    return float(distance.clamp_min(0))  # unlike max(0.0, ...), keeps NaN


def fd(real_features: Tensor, generated_features: Tensor, *, features: str | None = None) -> float:
    """Frechet distance on the features of ``features``, by default the extractor that the dataset names."""
    if min(len(real_features), len(generated_features)) < 2:
        raise NotApplicableError("a Frechet distance needs at least two images on each side")
    real, generated = Moments.of([real_features]), Moments.of([generated_features])
    return frechet_distance(real.mean, real.covariance, generated.mean, generated.covariance)


@hookimpl
def benchsuite_metrics() -> Sequence[Metric]:
    """Provides ``fd``."""
    return [Metric("fd", fd, higher_is_better=False, kind="image")]
