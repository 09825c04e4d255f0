"""The Frechet distance between Gaussians, without a matrix square root, and its limit for infinitely many samples.

Source: Dowson and Landau, The Frechet Distance between Multivariate Normal Distributions (1982).

With A = U^T U and B = V^T V, tr (A B)^1/2 is the sum of the singular values of U V^T, whatever the factors U and V. So
no root is taken of a matrix that is not symmetric, which is where imaginary parts come from, and few rows are a factor.
"""

from __future__ import annotations

import math
from functools import cached_property

import torch
from torch import Tensor

from benchsuite.errors import NotApplicableError
from benchsuite.kit.moments import Moments

_JITTERS = (0.0, 1e-14, 1e-13, 1e-12, 1e-10, 1e-8)  # parts of each variance, tried until Cholesky succeeds
_SIZES = 15  # numbers of samples that the limit is extrapolated from
_BLOCK = 1024  # rows
_ROWS = 256  # of a product of which only one triangle is wanted


class Gaussian:
    """A mean (D,) and a covariance (D, D), kept to measure several distances from: its factor is made once.

    Where ``rows`` F, (n, D), are given instead of the covariance, this is F^T F, which is never formed.
    """

    def __init__(self, mean: Tensor, covariance: Tensor | None = None, *, rows: Tensor | None = None) -> None:
        self.mean = mean
        self.rows = rows
        self._covariance = covariance
        self.trace = float(self.covariance.trace() if rows is None else rows.square().sum())
        given = self.covariance if rows is None else rows
        self.is_finite = bool(mean.isfinite().all() & given.isfinite().all())

    @classmethod
    def of(cls, moments: Moments) -> Gaussian:
        """The Gaussian with these moments. Raises ValueError for those of fewer than two rows."""
        rows = moments.few_rows
        return cls(moments.mean, moments.covariance if rows is None else None, rows=rows)

    @property
    def covariance(self) -> Tensor:
        """The covariance, (D, D). Raises ValueError where rows stand for it."""
        if self._covariance is None:
            raise ValueError("the covariance of few rows is not formed")
        return self._covariance

    @cached_property
    def factor(self) -> Tensor:
        """L, (D, D), lower triangular, with L L^T the covariance to 1e-14 of each variance.

        What is factored is the correlation matrix, so that no feature's scale matters and features without variance
        have rows of zeros. Singular ones get the least jitter that they need. Raises ValueError for a matrix that is
        no covariance.
        """
        deviations = self.covariance.diagonal().clamp_min(0).sqrt()
        scale = torch.where(deviations > 0, deviations, 1.0)
        correlation = (self.covariance / scale).div_(scale[:, None])
        for jitter in _JITTERS:
            correlation.diagonal().fill_(1.0 + jitter)
            factor: Tensor
            factor, failed = torch.linalg.cholesky_ex(correlation)
            if not int(failed):
                if jitter:  # columns of nothing else would each overlap a little with anything
                    factor[:, factor.square().sum(0) <= 100 * jitter] = 0
                return factor.mul_(deviations[:, None])
        raise ValueError("the covariance has negative eigenvalues beyond rounding")

    def distance_to(self, other: Gaussian) -> float:
        """The squared Frechet distance, at least 0: |m_a - m_b|^2 + tr(A + B - 2 (A B)^1/2).

        NaN where anything is not finite. Where both have few rows the cost is that of an n x n problem, where one has,
        a product of these with the other's covariance more; else of a Cholesky decomposition, a product and the
        eigenvalues of D x D matrices. Raises ValueError for Gaussians of unlike D.
        """
        if self.mean.shape != other.mean.shape:
            raise ValueError(f"Gaussians of {len(self.mean)} and {len(other.mean)} dimensions have no distance")
        if not (self.is_finite and other.is_finite):
            return math.nan
        shift = (self.mean - other.mean).square().sum()
        return max(0.0, float(shift) + self.trace + other.trace - 2 * self._overlap(other))

    def _overlap(self, other: Gaussian) -> float:
        """tr (A B)^1/2."""
        if self.rows is not None and other.rows is not None:
            return float(torch.linalg.svdvals(self.rows @ other.rows.T).sum())
        if self.rows is not None:
            return _sum_of_roots(_between(self.rows, other.covariance))
        if other.rows is not None:
            return _sum_of_roots(_between(other.rows, self.covariance))
        return _sum_of_roots(_congruence(self.factor, other.covariance))


def _sum_of_roots(symmetric: Tensor) -> float:
    """Of the eigenvalues of a matrix whose lower triangle is this one's; rounding may have made some negative."""
    return float(torch.linalg.eigvalsh(symmetric).clamp_min_(0).sqrt_().sum())


def _congruence(factor: Tensor, b: Tensor) -> Tensor:
    """The lower triangle of L^T B L for a lower triangular L: a third of the work of two products."""
    product = torch.zeros_like(b)
    for start in range(0, len(b), _ROWS):
        rows = slice(start, start + _ROWS)
        below = factor[start:, start:]
        product[rows, start:] = below[:, :_ROWS].T @ b[start:, start:] @ below
    return product.T


def _between(rows: Tensor, b: Tensor) -> Tensor:
    """G B G^T, where G are the rows turned among themselves so that they are orthogonal and fall in length.

    G^T G = F^T F, and the small eigenvalues of a matrix that falls off like this are as exact as the large ones.
    """
    turned: Tensor = torch.linalg.eigh(rows @ rows.T).eigenvectors.flip(1).T @ rows
    return turned @ b @ turned.T


def frechet_distance(a: Moments, b: Moments) -> float:
    """The squared Frechet distance of the Gaussians with these moments, at least 0; NaN for what is not finite.

    Memory, beside the moments, is at most that of eight D x D matrices, 256 MiB for D = 2048, whatever the number of
    rows. Raises ValueError for fewer than two. To measure several distances from the same set keep its ``Gaussian``.
    """
    return Gaussian.of(a).distance_to(Gaussian.of(b))


def frechet_distance_of(mean_a: Tensor, cov_a: Tensor, mean_b: Tensor, cov_b: Tensor) -> float:
    """The squared Frechet distance of N(mean_a, cov_a) and N(mean_b, cov_b), in float64: (D,) and (D, D) each."""
    return Gaussian(mean_a, cov_a).distance_to(Gaussian(mean_b, cov_b))


def fd_infinity(reference: Moments, features: Tensor, generator: torch.Generator) -> float:
    """What the distance of ``features``, (N, D), from ``reference`` tends to as N grows: an estimate by extrapolation.

    The expected distance of n samples is linear in 1/n to first order. It is measured for 15 sizes from max(N/10, 2D)
    to N, each on rows drawn anew without replacement; the value is the intercept of the least squares line through
    them, which noise may take below 0. Raises NotApplicableError for N < 4D.

    Source: Chong and Forsyth, Effectively Unbiased FID and Inception Score and Where to Find Them (2020).
    """
    n, dim = features.shape
    if n < 4 * dim:
        raise NotApplicableError(f"extrapolation on {dim} features needs {4 * dim} samples; got {n}: raise --samples")
    start = Gaussian.of(reference)
    sizes = torch.linspace(max(n // 10, 2 * dim), n, _SIZES).long()
    distances = []
    for size in sizes.tolist():
        rows = torch.randperm(n, generator=generator)[:size].to(features.device)
        part = Moments.of(features[block] for block in torch.split(rows, _BLOCK))
        distances.append(start.distance_to(Gaussian.of(part)))
    inverse = 1 / sizes.double()
    line = torch.stack([torch.ones_like(inverse), inverse], 1)
    return float(torch.linalg.lstsq(line, torch.tensor(distances, dtype=torch.float64)[:, None]).solution[0])
