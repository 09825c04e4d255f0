"""The kernel distance between two sets of feature vectors: a maximum mean discrepancy.

Source: Gretton et al., A Kernel Two-Sample Test (2012), eq. 3; the kernel is that of Binkowski et al., Demystifying MMD
GANs (2018), section 4.
"""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor

_BLOCK = 1024  # rows of each side whose kernel values are in memory at once


def kernel_distance(a: Tensor, b: Tensor) -> float:
    """The unbiased squared maximum mean discrepancy of ``a`` (N, D) and ``b`` (M, D), with the kernel (x.y / D + 1)^3.

    Over all pairs of rows but those of a row with itself, so that it is about 0, and may be below, where both come from
    one law. Kernel values have the precision of the features, their sums that of float64; NaN where features have it.
    Memory above the features is 32 MiB, whatever N and M. Raises ValueError for fewer than two rows on a side.
    """
    n, m = len(a), len(b)
    if min(n, m) < 2:
        raise ValueError(f"a kernel distance needs at least two rows on each side; got {n} and {m}")
    within = _sum_within(a) / (n * (n - 1)) + _sum_within(b) / (m * (m - 1))
    between = sum(_sum(_kernel(x, y)) for x in torch.split(a, _BLOCK) for y in torch.split(b, _BLOCK))
    return within - 2 * between / (n * m)


def _sum_within(rows: Tensor) -> float:
    """The sum of kernel values over ordered pairs of different rows; blocks off the diagonal count twice."""
    blocks = torch.split(rows, _BLOCK)
    on_diagonal = sum(_sum(_kernel(x, x).fill_diagonal_(0)) for x in blocks)
    return on_diagonal + 2 * sum(_sum(_kernel(x, y)) for x, y in combinations(blocks, 2))


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    """(n, D) and (m, D) -> (n, m)."""
    one = torch.ones((), dtype=x.dtype, device=x.device)
    return torch.addmm(one, x, y.T, alpha=1 / x.shape[1]).pow_(3)


def _sum(values: Tensor) -> float:
    """Rows of at most 1024 values are summed where they are, those sums in float64, which not every device has."""
    return float(values.sum(1).cpu().double().sum())
