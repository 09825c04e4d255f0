"""Mean and covariance from a stream, and the principal axes that follow from them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from benchsuite.kit.samples import Samples

_BLOCK = 1024  # rows, of which wide samples have fewer in a block
_BLOCK_NUMBERS = 2**22  # the most numbers in a block of rows: 32 MiB in float64
_COLUMNS = 512  # of the scatter, that are summed at once
_DENSE = 4096  # the largest side of a matrix that is decomposed whole
_CONVERGED = 1e-9  # relative change of every variance, from one power iteration to the next
_ITERATIONS = 100


class Moments:
    """Count, mean and covariance of vectors that arrive in blocks, in float64; memory does not grow with their number.

    Rows wait in a buffer of max(1024, dim / 2) and enter a dim x dim scatter when it is full or asked for. Hence the
    result is the same to the last bit however the rows were divided among calls, and few rows never cost that matrix.
    Memory is at most the matrix and the buffer. On MPS, which has no float64, the moments are on the CPU.

    Source: Chan, Golub, LeVeque, Updating Formulae and a Pairwise Algorithm (1979), eq. 2.1.
    """

    def __init__(self, dim: int, device: torch.device | None = None) -> None:
        if device is not None and device.type == "mps":
            device = torch.device("cpu")
        self.dim = dim
        self._entered = 0  # rows in the scatter, and their mean
        self._mean = torch.zeros(dim, dtype=torch.float64, device=device)
        self._scatter: Tensor | None = None
        self._buffer = torch.empty(max(_BLOCK, dim // 2), dim, dtype=torch.float64, device=device)
        self._held = 0  # rows of the buffer that are in use

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

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor], device: torch.device | None = None) -> Moments:
        """The moments whose ``state()`` this is, on ``device``. Raises ValueError for one that is not whole."""
        if "rows" in state and state["rows"].ndim == 2:
            moments = cls(state["rows"].shape[1], device)
            moments.update(state["rows"])
            return moments
        shapes = {name: tuple(value.shape) for name, value in state.items()}
        dim = state["mean"].numel() if "mean" in state else 0
        if shapes != {"count": (), "mean": (dim,), "scatter": (dim, dim)}:
            raise ValueError(f"this is no state of moments: {shapes}")
        moments = cls(dim, device)
        moments._entered = int(state["count"])
        moments._mean.copy_(state["mean"])
        moments._scatter = torch.empty(dim, dim, dtype=torch.float64, device=moments.device).copy_(state["scatter"])
        return moments

    def state(self) -> dict[str, Tensor]:
        """What ``from_state`` makes the same moments of, contiguous, as safetensors files need it.

        ``rows`` (n, dim) while these are few, at most dim / 2; else ``count`` (), ``mean`` (dim,) and ``scatter``
        (dim, dim), of which the lower triangle counts.
        """
        if self._few:
            return {"rows": self._waiting.clone()}
        return {
            "count": torch.tensor(self.count),
            "mean": self.mean.clone(),
            "scatter": self._entered_scatter().clone(),
        }

    def update(self, rows: Tensor) -> None:
        """Take in ``rows``, (n, dim). Raises ValueError for rows of another length."""
        if rows.shape[1:] != (self.dim,):
            raise ValueError(f"rows of {self.dim} numbers expected; got shape {tuple(rows.shape)}")
        while len(rows):
            if self._held == len(self._buffer):
                self._entered_scatter()
            taken, rows = rows.tensor_split([len(self._buffer) - self._held])
            self._buffer[self._held : self._held + len(taken)].copy_(taken)
            self._held += len(taken)

    @property
    def device(self) -> torch.device:
        """Where the moments are kept."""
        return self._mean.device

    @property
    def count(self) -> int:
        """How many rows were taken in."""
        return self._entered + self._held

    @property
    def rank_bound(self) -> int:
        """The most that the covariance's rank can be: min(count - 1, dim)."""
        return max(0, min(self.count - 1, self.dim))

    @property
    def mean(self) -> Tensor:
        """The mean of the rows, (dim,); zeros where there are none."""
        if not self._held:
            return self._mean
        return self._mean + (self._waiting.mean(0) - self._mean) * (self._held / self.count)

    @property
    def covariance(self) -> Tensor:
        """The unbiased covariance, (dim, dim), divided by n - 1. Raises ValueError for fewer than two rows."""
        if (rows := self.few_rows) is not None:
            return rows.T @ rows
        covariance = self._entered_scatter().tril()
        covariance += covariance.tril(-1).T
        return covariance.div_(self.count - 1)

    @property
    def few_rows(self) -> Tensor | None:
        """While there are at most dim / 2 rows: F, (n, dim), of which F^T F is the covariance; else None.

        Raises ValueError for fewer than two rows.
        """
        if self.count < 2:
            raise ValueError(f"a covariance needs at least two rows; got {self.count}")
        return (self._waiting - self.mean).div_(math.sqrt(self.count - 1)) if self._few else None

    @property
    def _few(self) -> bool:
        return self.count <= self.dim // 2

    @property
    def _waiting(self) -> Tensor:
        return self._buffer[: self._held]

    def _entered_scatter(self) -> Tensor:
        """The lower triangle of the scatter, which the rows that waited have entered."""
        if self._scatter is None:
            self._scatter = torch.zeros(self.dim, self.dim, dtype=torch.float64, device=self.device)
        if self._held:
            mean, rows, shift = self.mean, self._waiting, self._waiting.mean(0) - self._mean
            rows -= rows.mean(0)
            for start in range(0, self.dim, _COLUMNS):  # what is above the diagonal would be the same once more
                columns = rows[:, start : start + _COLUMNS]
                self._scatter[start:, start : start + _COLUMNS].addmm_(rows[:, start:].T, columns)
            self._scatter.addr_(shift, shift, alpha=self._entered * self._held / self.count)
            self._mean, self._entered, self._held = mean, self.count, 0
        return self._scatter


@dataclass(frozen=True)
class PrincipalAxes:
    """``mean`` (D,), orthonormal ``axes`` (d, D) by falling variance, ``variances`` (d,), and the variance left over.

    ``residual_variance`` is the mean variance of the D - d directions left out, 0 where none are.
    """

    mean: Tensor
    axes: Tensor
    variances: Tensor
    residual_variance: float


def most_axes(n: int, shape: tuple[int, ...]) -> int:
    """How many principal axes ``n`` samples of this shape can have: one fewer than there are, at most their size.

    >>> most_axes(10, (1, 2, 2)), most_axes(3, (1, 2, 2))
    (4, 2)
    """
    return min(n - 1, math.prod(shape))


def principal_axes(samples: Samples, d: int) -> PrincipalAxes:
    """The ``d`` principal axes of ``samples``, flattened, in float64.

    Streams the samples: by their covariance or, where N < D, their Gram matrix if the smaller side is at most 4096,
    else by block power iterations, until no variance changes by more than 1e-9 of itself, at most 100. Memory is that
    matrix, or D x 2d, and two blocks of rows, whatever N. Signs are fixed (the largest entry of an axis is positive).
    Raises ValueError unless 1 <= d <= min(N - 1, D).

    Source: Pearson (1901); Halko, Martinsson, Tropp, Finding Structure with Randomness (2011), algorithm 4.4.
    """
    n, dim = len(samples), math.prod(samples.shape)
    if not 1 <= d <= most_axes(n, samples.shape):
        raise ValueError(f"{d} principal axes asked of {n} samples with {dim} numbers each; at most {min(n - 1, dim)}")
    if dim <= min(n, _DENSE):
        moments = Moments.of(_flat_blocks(samples))
        mean, (values, vectors) = moments.mean, torch.linalg.eigh(moments.covariance)
        axes, variances = vectors.flip(1).T[:d], values.flip(0)[:d]
        total = float(values.clamp_min(0).sum())
    else:
        mean = sum((block.sum(0) for block in _flat_blocks(samples)), torch.zeros((), dtype=torch.float64)) / n
        total = sum(float(block.square_().sum()) for block in _centred_blocks(samples, mean)) / (n - 1)
        axes, variances = (_by_gram if n <= _DENSE else _by_power)(samples, mean, d)
    signs = axes.gather(1, axes.abs().argmax(1, keepdim=True)).sign()
    variances = variances.clamp_min(0)
    residual = max(0.0, total - float(variances.sum())) / max(1, dim - d)
    return PrincipalAxes(mean, axes * signs, variances, residual)


def _rows(samples: Samples) -> int:
    """How many rows a block has."""
    return max(1, min(_BLOCK, _BLOCK_NUMBERS // math.prod(samples.shape)))


def _flat_blocks(samples: Samples) -> Iterable[Tensor]:
    return (block.flatten(1).to(torch.float64, copy=True) for block in samples.batches(_rows(samples)))


def _centred_blocks(samples: Samples, mean: Tensor) -> Iterable[Tensor]:
    return (block.sub_(mean) for block in _flat_blocks(samples))


def _by_gram(samples: Samples, mean: Tensor, d: int) -> tuple[Tensor, Tensor]:
    n, step = len(samples), _rows(samples)
    gram = torch.empty(n, n, dtype=torch.float64, device=mean.device)
    for i, left in enumerate(_centred_blocks(samples, mean)):
        # Every pair is read anew: all blocks at once would be a copy of the samples, several times their size.
        for j, right in zip(range(i + 1), _centred_blocks(samples, mean), strict=False):
            here, there = slice(i * step, (i + 1) * step), slice(j * step, (j + 1) * step)
            part = left @ right.T
            gram[here, there], gram[there, here] = part, part.T
    values, vectors = torch.linalg.eigh(gram)
    top = torch.split(vectors.flip(1)[:, :d], step)
    axes = torch.zeros(len(mean), d, dtype=torch.float64, device=mean.device)
    for part, block in zip(top, _centred_blocks(samples, mean), strict=True):
        axes.addmm_(block.T, part)
    return torch.linalg.qr(axes).Q.T, values.flip(0)[:d] / (n - 1)


def _by_power(samples: Samples, mean: Tensor, d: int, oversampling: int = 10) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)  # a start for the iteration, not a source of variation
    width = min(max(2 * d, d + oversampling), len(samples), len(mean))
    image = torch.randn(len(mean), width, generator=generator, dtype=torch.float64).to(mean.device)
    variances = torch.zeros(d, dtype=torch.float64, device=mean.device)
    for _ in range(_ITERATIONS):
        basis = torch.linalg.qr(image).Q
        image = torch.zeros_like(basis)
        for block in _centred_blocks(samples, mean):
            image.addmm_(block.T, block @ basis)
        values, vectors = torch.linalg.eigh(basis.T @ image / (len(samples) - 1))
        before, variances = variances, values.flip(0)[:d]
        # Variances of nothing but rounding never settle by their own measure: hence the largest one's part in it.
        if bool(((variances - before).abs() <= _CONVERGED * variances + 1e-14 * variances[0]).all()):
            break
    return (basis @ vectors.flip(1)[:, :d]).T, variances
