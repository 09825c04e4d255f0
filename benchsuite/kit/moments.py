"""Mean and covariance from a stream, and the principal axes that follow from them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from benchsuite.kit.samples import Samples

_BLOCK = 1024
_DENSE = 4096  # the largest side of a matrix that is decomposed whole


class Moments:
    """Count, mean and scatter of vectors that arrive in blocks, in float64; memory does not grow with their number.

    Source: Chan, Golub, LeVeque, Updating Formulae and a Pairwise Algorithm (1979), eq. 2.1.
    """

    def __init__(self, dim: int, device: torch.device | None = None) -> None:
        self.count = 0
        self.mean = torch.zeros(dim, dtype=torch.float64, device=device)
        self._scatter = torch.zeros(dim, dim, dtype=torch.float64, device=device)

    @classmethod
    def of(cls, blocks: Iterable[Tensor]) -> Moments:
        """The moments of all rows of ``blocks``, each (n, dim). Raises ValueError where there is no block."""
        moments: Moments | None = None
        for block in blocks:
            moments = moments or cls(block.shape[1], block.device)
            moments.update(block)
        if moments is None:
            raise ValueError("moments need at least one block of rows")
        return moments

    def update(self, rows: Tensor) -> None:
        """Take in ``rows``, (n, dim)."""
        for block in torch.split(rows, _BLOCK) if len(rows) else ():
            block = block.to(torch.float64)
            n, block_mean = len(block), block.mean(0)
            centred = block - block_mean
            shift = block_mean - self.mean
            total = self.count + n
            self._scatter.addmm_(centred.T, centred)
            self._scatter.addr_(shift, shift, alpha=self.count * n / total)
            self.mean += shift * (n / total)
            self.count = total

    @property
    def covariance(self) -> Tensor:
        """The unbiased covariance, (dim, dim), divided by n - 1. Raises ValueError for fewer than two rows."""
        if self.count < 2:
            raise ValueError(f"a covariance needs at least two rows; got {self.count}")
        return self._scatter / (self.count - 1)


@dataclass(frozen=True)
class PrincipalAxes:
    """``mean`` (D,), orthonormal ``axes`` (d, D) by falling variance, ``variances`` (d,), and the variance left over.

    ``residual_variance`` is the mean variance of the D - d directions left out, 0 where none are.
    """

    mean: Tensor
    axes: Tensor
    variances: Tensor
    residual_variance: float


def principal_axes(samples: Samples, d: int) -> PrincipalAxes:
    """The ``d`` principal axes of ``samples``, flattened, in float64.

    Streams the samples: by their covariance or, where N < D, their Gram matrix if the smaller side is at most 4096,
    else by block power iterations. Signs are fixed (the largest entry of an axis is positive). Raises ValueError unless
    1 <= d <= min(N - 1, D).

    Source: Pearson (1901); Halko, Martinsson, Tropp, Finding Structure with Randomness (2011), algorithm 4.4.
    """
    n, dim = len(samples), int(torch.tensor(samples.shape).prod())
    if not 1 <= d <= min(n - 1, dim):
        raise ValueError(f"{d} principal axes asked of {n} samples with {dim} numbers each; at most {min(n - 1, dim)}")
    if dim <= min(n, _DENSE):
        moments = Moments.of(_flat_blocks(samples))
        mean, (values, vectors) = moments.mean, torch.linalg.eigh(moments.covariance)
        axes, variances = vectors.flip(1).T[:d], values.flip(0)[:d]
        total = float(values.clamp_min(0).sum())
    else:
        mean = torch.stack([block.sum(0) for block in _flat_blocks(samples)]).sum(0) / n
        total = sum(float((block - mean).square().sum()) for block in _flat_blocks(samples)) / (n - 1)
        axes, variances = (_by_gram if n <= _DENSE else _by_power)(samples, mean, d)
    signs = axes.gather(1, axes.abs().argmax(1, keepdim=True)).sign()
    variances = variances.clamp_min(0)
    residual = max(0.0, total - float(variances.sum())) / max(1, dim - d)
    return PrincipalAxes(mean, axes * signs, variances, residual)


def _flat_blocks(samples: Samples) -> Iterable[Tensor]:
    return (block.flatten(1).to(torch.float64) for block in samples.batches(_BLOCK))


def _by_gram(samples: Samples, mean: Tensor, d: int) -> tuple[Tensor, Tensor]:
    blocks = [(block - mean).to(torch.float32) for block in _flat_blocks(samples)]
    gram = torch.cat([torch.cat([a.double() @ b.double().T for b in blocks], 1) for a in blocks])
    values, vectors = torch.linalg.eigh(gram)
    top = vectors.flip(1)[:, :d]
    axes = sum(part.T @ block.double() for part, block in zip(torch.split(top, _BLOCK), blocks, strict=True))
    axes = torch.linalg.qr(torch.as_tensor(axes).T).Q.T
    return axes, values.flip(0)[:d] / (len(samples) - 1)


def _by_power(
    samples: Samples, mean: Tensor, d: int, iterations: int = 12, oversampling: int = 10
) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)  # a start for the iteration, not a source of variation
    width = min(max(2 * d, d + oversampling), len(samples), len(mean))
    basis = torch.randn(len(mean), width, generator=generator, dtype=torch.float64)
    basis = basis.to(mean.device)
    for _ in range(iterations):
        basis = torch.linalg.qr(basis).Q
        image = torch.zeros_like(basis)
        for block in _flat_blocks(samples):
            centred = block - mean
            image += centred.T @ (centred @ basis)
        basis = image
    basis = torch.linalg.qr(basis).Q
    small = Moments.of((block - mean) @ basis for block in _flat_blocks(samples)).covariance
    values, vectors = torch.linalg.eigh(small)
    return (basis @ vectors.flip(1)[:, :d]).T, values.flip(0)[:d]
