"""What a set of codes is like: how well a prior agrees with it, how normal its shape is, how far codes are apart.

Numbers are float64 on the processor, wherever codes are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from benchsuite.errors import NotApplicableError

_SINGULAR = 1e-6  # of the largest scale: what float32 leaves of a direction in which codes, or a prior, do not extend
_BLOCK = 1024  # codes whose products with all others are in memory at once


@dataclass(frozen=True)
class NormalShape:
    """In what codes differ from normal ones with the same mean and covariance.

    ``skewness`` is Mardia's b_{1,d}, at least 0; of N normal codes ``ideal_skewness`` is expected, which is near
    d (d + 1) (d + 2) / N. ``kurtosis`` is Mardia's b_{2,d} over d (d + 2), (N - 1) / (N + 1) for normal codes, below
    where their lengths vary less, above where some are far out. ``radii`` (N,), in rising order, are squared
    Mahalanobis distances from the mean, and ``radius_ks``, in [0, 1], is the Kolmogorov-Smirnov distance from the law
    that they have for normal codes.
    """

    skewness: float
    ideal_skewness: float
    kurtosis: float
    radius_ks: float
    radii: Tensor


def prior_agreement(codes: Tensor, sigma: float = 1.0, *, scaled: bool = True, centred: bool = False) -> float:
    """The prior agreement (PAG) score of ``codes`` (N, d), in nats: sum over i of (r_i - log r_i - 1) / 2, at least 0.

    r_i = nu_i^2 / sigma^2, nu_i being the singular values of the codes' matrix; infinite where one of d is 0.
    ``scaled`` divides these by sqrt(N): then r_i are mean squares along the principal axes, and the score is
    KL(N(0, diag(nu^2)) || N(0, sigma^2 I)), 0 in the limit for codes of the prior. Without, it is the score as the
    paper must have computed it: large for codes of the prior too, growing with N, and mostly a measure of how long
    codes are, so that only scores of equal N compare. ``centred`` takes the mean off first; the paper does not.
    Raises ValueError for no codes, codes that are not finite, and a sigma that is not positive.

    Source: Kilcher, Lucchi, Hofmann, Flexible Prior Distributions for Deep Generative Models (2017), eq. 2.

    >>> prior_agreement(torch.eye(4) * 2, scaled=True)
    0.0
    """
    if not len(codes) or not bool(codes.isfinite().all()) or sigma <= 0:
        raise ValueError(
            f"codes are finite numbers, at least one row, and sigma is positive; got {tuple(codes.shape)}, {sigma}"
        )
    ratios = (spectrum(codes, scaled=scaled, centred=centred) / sigma).square()
    return float((ratios - ratios.log() - 1).sum() / 2)


def ideal_prior_agreement(n: int, d: int, *, scaled: bool = True, centred: bool = False) -> float:
    """What ``prior_agreement`` is expected to be for ``n`` codes of the prior in ``d`` dimensions, in nats.

    For normal codes Z the matrix Z^T Z / sigma^2 has Wishart's law with m = n degrees of freedom, one fewer where their
    mean is taken off. Its trace is m d on average, and the logarithm of its determinant d log 2 plus the sum over
    i = 1 ... d of digamma((m + 1 - i) / 2). The r_i are its eigenvalues, divided by n where they are scaled, also where
    m is n - 1. Infinite for m < d, where no code spans the space. Raises ValueError unless n and d are positive.

    Source: Bishop, Pattern Recognition and Machine Learning (2006), eq. B.80 and B.81, for the law's moments.

    >>> round(ideal_prior_agreement(1024, 20), 4), round(ideal_prior_agreement(1024, 20, scaled=False))
    (0.1032, 10161)
    """
    if n < 1 or d < 1:
        raise ValueError(f"codes have at least one row and one dimension; got {n} rows of {d}")
    freedom = n - 1 if centred else n
    if freedom < d:
        return math.inf
    scale = n if scaled else 1
    halves = (freedom - torch.arange(d, dtype=torch.float64)) / 2
    log_determinant = float(torch.special.digamma(halves).sum()) + d * math.log(2 / scale)
    return (freedom * d / scale - log_determinant - d) / 2


def spectrum(codes: Tensor, *, scaled: bool = True, centred: bool = False) -> Tensor:
    """The singular values of the matrix of ``codes`` (N, d), (d,), in falling order.

    They are 0 below a millionth of the largest, where they are but the rounding of float32.

    ``scaled`` and ``centred`` as in ``prior_agreement``.
    """
    codes = codes.detach().cpu().double()
    if centred:
        codes = codes - codes.mean(0)
    values = torch.zeros(codes.shape[1], dtype=torch.float64)
    found = torch.linalg.svdvals(codes)
    rounding = _SINGULAR * found.max()
    values[: len(found)] = torch.where(found > rounding, found, 0.0)  # fewer codes than dimensions leave some without
    return values / math.sqrt(len(codes)) if scaled else values


def finite(codes: Tensor) -> Tensor:
    """``codes`` as float64 on the processor. Raises NotApplicableError for codes that are not finite."""
    codes = codes.detach().cpu().double()
    if not bool(codes.isfinite().all()):
        raise NotApplicableError("some codes are not finite")
    return codes


def standardised(codes: Tensor, prior: Any) -> Tensor:
    """``codes`` (N, d) in units of ``prior``, such that its own would have mean 0 and covariance I; see ``finite``.

    The prior's mean is taken off, then codes are divided by the factor of its covariance where it states one, (d, d),
    or one for each of its components, (k, d, d), else by ``std``, or by that of its bounds, where it states these. The
    codes of a prior that states nothing, and of None, stay as they are, to be compared with N(0, I). Raises
    NotApplicableError for a prior without extent in a direction, by which nothing can be divided, and for codes that
    are not finite.
    """
    codes = finite(codes) - _mean_of(prior)
    factor, std = getattr(prior, "factor", None), _deviations_of(prior)
    if factor is not None:
        wide = finite(factor) if factor.ndim == 2 else _factor_of_mixture(prior)
        _check_extent(torch.linalg.svdvals(wide))
        return torch.as_tensor(torch.linalg.solve(wide, codes.T).T)
    if std is None:
        return codes
    _check_extent(std)
    return codes / std


def normal_shape(codes: Tensor) -> NormalShape:
    """In what ``codes`` (N, d) differ from normal ones, once their own mean and covariance are taken off.

    No linear map of the codes changes it. For normal codes, with mean and covariance estimated, N r / (N - 1)^2 of the
    radii r has exactly the law Beta(d / 2, (N - d - 1) / 2). Memory is that of 1024 N numbers. Raises
    NotApplicableError for N <= d + 1, codes that lie in a subspace, and codes that are not finite.

    Source: Mardia, Measures of Multivariate Skewness and Kurtosis with Applications (1970), sections 2 and 3, and
    Applications of Some Measures of Multivariate Skewness and Kurtosis (1974) for what normal codes have; Gnanadesikan
    and Kettenring, Robust Estimates, Residuals, and Outlier Detection with Multiresponse Data (1972), for the radii.
    """
    codes = finite(codes)
    n, d = codes.shape
    if n <= d + 1:
        raise NotApplicableError(f"the shape of codes in {d} dimensions needs more than {d + 1} codes; there are {n}")
    left, scales, _ = torch.linalg.svd(codes - codes.mean(0), full_matrices=False)
    if float(scales[-1]) <= _SINGULAR * float(scales[0]):
        raise NotApplicableError("codes lie in a subspace, so that their covariance cannot be taken off")
    white = left * math.sqrt(n)
    lengths = white.square().sum(1)
    products = sum(float((block @ white.T).pow(3).sum()) for block in torch.split(white, _BLOCK))
    shares = (lengths / (n - 1)).sort().values
    return NormalShape(
        skewness=products / n**2,
        ideal_skewness=d * (d + 2) * ((n + 1) * (d + 1) - 6) / ((n + 1) * (n + 3)),
        kurtosis=float(lengths.square().mean()) / (d * (d + 2)),
        radius_ks=_distance_from_beta(shares, d / 2, (n - d - 1) / 2),
        radii=shares * (n - 1) ** 2 / n,
    )


def mean_pairwise_distance(codes: Tensor) -> float:
    """The mean of |z_i - z_j| / d over all pairs of ``codes`` (N, d), the norm not squared.

    Raises ValueError for fewer than two codes.

    Source: Lipton and Tripathi, Precise Recovery of Latent Vectors (2017), Table 2.
    """
    if len(codes) < 2:
        raise ValueError(f"distances need at least two codes; got {len(codes)}")
    distances = torch.nn.functional.pdist(codes.double())
    return float(distances.mean() / codes.shape[1])


def _mean_of(prior: Any) -> Tensor | float:
    """The mean of the ``prior``'s codes, (d,), that of a mixture being over its components; 0 where it states none."""
    mean, low = getattr(prior, "mean", None), getattr(prior, "low", None)
    if mean is not None:
        mean = torch.as_tensor(mean)
        return finite(mean if mean.ndim < 2 else prior.weights @ mean)
    high = getattr(prior, "high", None)
    return 0.0 if low is None or high is None else finite(torch.as_tensor((low + high) / 2))


def _deviations_of(prior: Any) -> Tensor | None:
    """The deviations of the ``prior``'s codes, (d,) or one number, by its bounds where it states these alone."""
    std, low, high = (getattr(prior, name, None) for name in ("std", "low", "high"))
    if std is None and low is not None and high is not None:
        std = (high - low) / math.sqrt(12)
    return None if std is None else finite(torch.as_tensor(std))


def _factor_of_mixture(prior: Any) -> Tensor:
    """F (d, d) with F F^T the covariance of a whole mixture of normal laws: that within, and that of their means."""
    weights, means, factors = finite(prior.weights), finite(prior.mean), finite(prior.factor)
    apart = weights.sqrt()[:, None] * (means - weights @ means)
    covariance = (weights[:, None, None] * factors @ factors.mT).sum(0) + apart.T @ apart
    values, vectors = torch.linalg.eigh(covariance)
    return torch.as_tensor(vectors * values.clamp_min(0).sqrt())


def _check_extent(scales: Tensor) -> None:
    if float(scales.min()) <= _SINGULAR * float(scales.max()):
        raise NotApplicableError("the prior of codes has no extent in some direction, so that codes have no unit there")


def _distance_from_beta(ordered: Tensor, a: float, b: float) -> float:
    """The Kolmogorov-Smirnov distance of ``ordered`` numbers (N,) from the law Beta(a, b)."""
    from scipy.special import betainc  # a moment's work, which importing this module should not take

    cdf = torch.as_tensor(betainc(a, b, ordered.numpy().clip(0, 1)))
    below = torch.arange(len(ordered), dtype=torch.float64) / len(ordered)
    return float(torch.maximum(cdf - below, below + 1 / len(ordered) - cdf).max())
