"""What a set of codes is like: how well a normal prior agrees with it, and how far its codes are apart."""

from __future__ import annotations

import torch
from torch import Tensor


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
    codes = codes.double()
    if centred:
        codes = codes - codes.mean(0)
    values = torch.zeros(codes.shape[1], dtype=torch.float64, device=codes.device)
    found = torch.linalg.svdvals(codes)
    rounding = max(codes.shape) * torch.finfo(codes.dtype).eps * found.max()
    values[: len(found)] = torch.where(found > rounding, found, 0.0)  # fewer codes than dimensions leave some without
    ratios = (values / sigma).square() / (len(codes) if scaled else 1)
    return float((ratios - ratios.log() - 1).sum() / 2)


def mean_pairwise_distance(codes: Tensor) -> float:
    """The mean of |z_i - z_j| / d over all pairs of ``codes`` (N, d), the norm not squared.

    Raises ValueError for fewer than two codes.

    Source: Lipton and Tripathi, Precise Recovery of Latent Vectors (2017), Table 2.
    """
    if len(codes) < 2:
        raise ValueError(f"distances need at least two codes; got {len(codes)}")
    distances = torch.nn.functional.pdist(codes.double())
    return float(distances.mean() / codes.shape[1])
