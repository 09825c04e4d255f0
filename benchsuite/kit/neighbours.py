"""Nearest neighbours among feature vectors, and what two sets say of each other by them; no matrix of all distances.

Distances are those of float64, computed block by block from centred rows as |x|^2 + |y|^2 - 2 x.y. Rounding decides
nothing: squared distances that differ by less than 1e-12 of |x|^2 + |y|^2 are equal, so that equal rows are at distance
0, and a row on the surface of a ball is known to be there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from benchsuite.kit.scratch import collected

_BLOCK = 1024  # rows, of which wide features have fewer in a block
_BLOCK_NUMBERS = 2**21  # the most numbers in a block of rows: 16 MiB
_ROUNDING = 1e-12  # of |x|^2 + |y|^2; that of a product of 10,000 numbers is below 1e-13


@dataclass(frozen=True)
class Manifolds:
    """How far the manifolds of real and of generated rows cover each other.

    The manifold of a set is the union of balls around its rows, each as large as the distance to the k-th nearest
    other row of the set. ``precision`` is the share of generated rows on the real manifold, ``recall`` that of real
    rows on the generated one; for these the surface of a ball belongs to it. ``density`` is the number of real balls
    that a generated row is in, over k, ``coverage`` the share of real balls with a generated row in them; for these it
    does not belong. All are in [0, 1] but density, which is at most N / k for N real rows, and 1 on average where both
    come from one law. ``real_radii`` (N,) and ``generated_radii`` (M,) are the sizes of the balls, in float64.

    Source: Kynkaanniemi et al., Improved Precision and Recall Metric for Assessing Generative Models (2019), eq. 1 and
    2; Naeem et al., Reliable Fidelity and Diversity Metrics for Generative Models (2020), eq. 4 and 5.
    """

    precision: float
    recall: float
    density: float
    coverage: float
    real_radii: Tensor
    generated_radii: Tensor


@dataclass(frozen=True)
class _Block:
    """Rows ``start``, ``start`` + 1, ... of a set: (n, D), centred, and their squared norms, (n,), in float64."""

    start: int
    rows: Tensor
    norms: Tensor

    @property
    def span(self) -> slice:
        """Where the rows stand in the set."""
        return slice(self.start, self.start + len(self.rows))


class _Rows:
    """A set of rows (N, D), handed out in blocks that are centred at ``centre`` (D,)."""

    def __init__(self, rows: Tensor, centre: Tensor) -> None:
        self._rows, self._centre = rows, centre
        self.count, self.device, self._size = len(rows), rows.device, _size(rows)
        norms = (self._block(start).square_().sum(1) for start in range(0, self.count, self._size))
        self._norms = collected(norms, self.count)

    def zeros(self) -> Tensor:
        """A count for each row, (N,)."""
        return torch.zeros(self.count, dtype=torch.long, device=self.device)

    def blocks(self, first: int = 0) -> Iterator[_Block]:
        """All rows from ``first`` on, which is where a block begins."""
        for start in range(first, self.count, self._size):
            yield _Block(start, self._block(start), self._norms[start : start + self._size])

    def _block(self, start: int) -> Tensor:
        return self._rows[start : start + self._size].to(torch.float64, copy=True).sub_(self._centre)


def manifolds(real: Tensor, generated: Tensor, k: int) -> Manifolds:
    """Precision, recall, density and coverage of ``generated`` (M, D) against ``real`` (N, D).

    Memory above the features: 8 (N + M) (k + 4) bytes, and at most 150 MiB for blocks. Raises ValueError unless both
    sides have more than ``k`` rows and all features are finite.
    """
    reals, fakes = _centred(real, generated)
    real_squared, fake_squared = _squared_radii(reals, k), _squared_radii(fakes, k)
    closed_around_real, fakes_inside = reals.zeros(), reals.zeros()
    closed_around_fake, open_around_fake = fakes.zeros(), fakes.zeros()
    for x in reals.blocks():
        for y in fakes.blocks():
            distances, rounding = _squared_distances(x, y)
            inside = distances < real_squared[x.span, None] - rounding
            fakes_inside[x.span] += inside.sum(1)
            open_around_fake[y.span] += inside.sum(0)
            distances -= rounding
            closed_around_real[x.span] += (distances <= fake_squared[y.span]).sum(1)
            closed_around_fake[y.span] += (distances <= real_squared[x.span, None]).sum(0)
    return Manifolds(
        precision=_share(closed_around_fake),
        recall=_share(closed_around_real),
        density=float(open_around_fake.double().mean()) / k,
        coverage=_share(fakes_inside),
        real_radii=real_squared.sqrt(),
        generated_radii=fake_squared.sqrt(),
    )


def nearest(rows: Tensor, reference: Tensor, *, different: bool = False) -> tuple[Tensor, Tensor]:
    """How far each of ``rows`` (n, D) is from the nearest row of ``reference`` (N, D), and which that is: (n,) each.

    Where it has to be ``different``, rows of the reference that equal the row do not count, and so not the row itself
    where it is one of them; the distance is infinite where there is no other. Distances are float64. The reference may
    lie in a mapped file, which is read from its beginning to its end. Memory above both: 8 (N + 3 n) bytes, and at most
    150 MiB for blocks. Raises ValueError for a reference without rows, and unless all features are finite.
    """
    if not len(reference):
        raise ValueError("there are no rows to be near to")
    ours, theirs = _centred(rows, reference)
    least = torch.full((len(rows),), torch.inf, dtype=torch.float64, device=ours.device)
    number = ours.zeros()
    for y in theirs.blocks():
        for x in ours.blocks():
            distances = _rounded(*_squared_distances(x, y))
            if different:
                distances.masked_fill_(distances == 0, torch.inf)
            found, where = distances.min(1)
            nearer = found < least[x.span]
            least[x.span] = torch.where(nearer, found, least[x.span])
            number[x.span] = torch.where(nearer, where + y.start, number[x.span])
    return least.sqrt(), number


def _squared_radii(rows: _Rows, k: int) -> Tensor:
    """The squared distance of each row to the k-th nearest other one, (N,); each pair of blocks is compared once."""
    if rows.count <= k:
        raise ValueError(f"a row's neighbour number {k} is looked for among {rows.count} rows, which are too few")
    least = torch.full((rows.count, k), torch.inf, dtype=torch.float64, device=rows.device)
    for x in rows.blocks():
        for y in rows.blocks(x.start):
            distances = _rounded(*_squared_distances(x, y))
            if x.start == y.start:
                distances.fill_diagonal_(torch.inf)
            else:
                least[y.span] = _smallest(least[y.span], distances.T, k)
            least[x.span] = _smallest(least[x.span], distances, k)
    return least[:, -1]


def _smallest(least: Tensor, distances: Tensor, k: int) -> Tensor:
    """The k smallest of both in each row, in rising order."""
    new = distances.contiguous().topk(min(k, distances.shape[1]), largest=False).values
    return torch.cat([least, new], 1).sort(1).values[:, :k]


def _squared_distances(x: _Block, y: _Block) -> tuple[Tensor, Tensor]:
    """Those of all pairs, (n, m), and by how much rounding may change each."""
    norms = x.norms[:, None] + y.norms
    return torch.addmm(norms, x.rows, y.rows.T, alpha=-2), norms.mul_(_ROUNDING)


def _rounded(distances: Tensor, rounding: Tensor) -> Tensor:
    """The same with 0 for those that may be nothing but rounding, in place."""
    return distances.masked_fill_(distances <= rounding, 0)


def _centred(first: Tensor, second: Tensor) -> tuple[_Rows, _Rows]:
    """Both sets about the mean of their means, near which norms are small and rounding with them."""
    sets = [rows.cpu() if rows.device.type == "mps" else rows for rows in (first, second)]  # which has no float64
    centre = (_mean(sets[0]) + _mean(sets[1])) / 2
    if not bool(centre.isfinite().all()):
        raise ValueError("features are not finite")
    return _Rows(sets[0], centre), _Rows(sets[1], centre)


def _mean(rows: Tensor) -> Tensor:
    """(D,), block by block, since all rows are cast at once where a mean is asked for in float64."""
    total = torch.zeros(rows.shape[1], dtype=torch.float64, device=rows.device)
    for block in torch.split(rows, _size(rows)):
        total += block.sum(0, dtype=torch.float64)
    return total / len(rows)


def _size(rows: Tensor) -> int:
    """How many rows a block has."""
    return max(1, min(_BLOCK, _BLOCK_NUMBERS // max(1, rows.shape[1])))


def _share(counts: Tensor) -> float:
    """Which part of the counts is not 0."""
    return float((counts > 0).double().mean())
