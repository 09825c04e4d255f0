"""The kernel distance, and precision, recall, density and coverage, against the libraries that define them."""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Callable, Iterator

import pytest
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from benchsuite.kit.kernel import kernel_distance
from benchsuite.kit.neighbours import manifolds

K = 5


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """For torch, and for the library that numpy calls."""
    torch.set_num_threads(1)
    with threadpool_limits(1):
        yield


def features(rows: int, dim: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(rows, dim, generator=generator), 0.98 * torch.randn(rows, dim, generator=generator) + 0.01


def seconds(work: Callable[[], object]) -> float:
    """Of the processor; prdc prints."""
    start = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        work()
    return time.process_time() - start


def test_the_kernel_distance_over_all_pairs_is_faster_than_a_hundred_subsets_of_torchmetrics(
    speedup: Callable[..., float],
) -> None:
    poly_mmd = pytest.importorskip("torchmetrics.image.kid").poly_mmd
    real, generated = features(10_000, 2048)

    def theirs() -> None:
        for _ in range(100):
            poly_mmd(*(x[torch.randperm(len(x))[:1000]] for x in (real, generated)))

    ratio = speedup(lambda: seconds(theirs), lambda: seconds(lambda: kernel_distance(real, generated)))
    print(f"\nKID, 10,000 x 2048: {ratio:.2f} x as fast as torchmetrics; at least 1.2")
    assert ratio >= 1.2


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("rows", "dim", "least"), [(10_000, 64, 2.5), (4_000, 2048, 1.4)])
def test_all_four_of_prdc_are_faster_than_by_its_package(
    rows: int, dim: int, least: float, speedup: Callable[..., float]
) -> None:
    compute = pytest.importorskip("prdc").compute_prdc
    real, generated = features(rows, dim)
    ratio = speedup(
        lambda: seconds(lambda: compute(real.numpy(), generated.numpy(), K)),
        lambda: seconds(lambda: manifolds(real, generated, K)),
    )
    print(f"\nprecision, recall, density and coverage, {rows} x {dim}: {ratio:.2f} x as fast as prdc; at least {least}")
    assert ratio >= least
