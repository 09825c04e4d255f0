"""The Frechet distance and the moments that it is made of, against torchmetrics and pytorch-fid, at 2048 features."""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable, Iterator

import pytest
import torch
from pytorch_fid.fid_score import calculate_frechet_distance
from threadpoolctl import threadpool_limits
from torch import Tensor
from torchmetrics.image.fid import _compute_fid

from benchsuite.kit.frechet import Gaussian, frechet_distance, frechet_distance_of
from benchsuite.kit.moments import Moments

D = 2048


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """For torch, and for the library that scipy's matrix square root calls."""
    torch.set_num_threads(1)
    with threadpool_limits(1):
        yield


def features(n: int, seed: int) -> Tensor:
    """Correlated features of full rank with a mean of their own, (n, D)."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(D, D, generator=generator) / D**0.5
    return torch.randn(n, D, generator=generator) @ mixing + torch.rand(D, generator=generator)


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def by_torchmetrics(a: Moments, b: Moments) -> Callable[[], float]:
    given = a.mean, a.covariance, b.mean, b.covariance
    return lambda: float(_compute_fid(*given))


def test_the_distance_of_many_samples_is_faster_than_that_of_torchmetrics(
    speedup: Callable[..., float],
) -> None:
    a, b = Moments.of([features(4096, 0)]), Moments.of([features(4096, 1)])
    theirs = by_torchmetrics(a, b)
    assert frechet_distance(a, b) == pytest.approx(theirs(), rel=1e-8)
    ratio = speedup(lambda: seconds(theirs), lambda: seconds(lambda: frechet_distance(a, b)))
    print(f"\n4096 samples: {ratio:.1f} x torchmetrics; at least 2.5")
    assert ratio >= 2.5


def test_the_distance_from_a_reference_whose_factor_is_kept_is_faster_still(speedup: Callable[..., float]) -> None:
    a, b = Moments.of([features(4096, 0)]), Moments.of([features(4096, 1)])
    theirs, kept, other = by_torchmetrics(a, b), Gaussian.of(a), Gaussian.of(b)
    assert kept.distance_to(other) == pytest.approx(theirs(), rel=1e-8)
    ratio = speedup(lambda: seconds(theirs), lambda: seconds(lambda: kept.distance_to(other)))
    print(f"\nthe factor of the reference kept: {ratio:.1f} x torchmetrics; at least 2.5")
    assert ratio >= 2.5


def shared_axes(decay: int) -> tuple[tuple[Tensor, Tensor, Tensor, Tensor], float]:
    """Means and covariances of two Gaussians with the same axes and variances from 1 to 10^-decay; their distance."""
    generator = torch.Generator().manual_seed(0)
    axes = torch.linalg.qr(torch.randn(D, D, generator=generator, dtype=torch.float64)).Q
    a = torch.logspace(0, -decay, D, dtype=torch.float64)
    b = a * (0.5 + torch.rand(D, generator=generator, dtype=torch.float64))
    zero = torch.zeros(D, dtype=torch.float64)
    return (zero, (axes * a) @ axes.T, zero, (axes * b) @ axes.T), float((a.sqrt() - b.sqrt()).square().sum())


def test_the_distance_is_faster_than_that_of_pytorch_fid_and_nearer_to_the_closed_form() -> None:
    given, expected = shared_axes(decay=10)
    arrays = [tensor.numpy() for tensor in given]
    values, ratios = {}, []

    def ours() -> None:
        values["ours"] = frechet_distance_of(*given)

    def theirs() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            values["pytorch-fid"] = float(calculate_frechet_distance(*arrays))

    for number in range(3):  # not seven, as one of theirs takes twenty seconds
        first, second = (theirs, ours) if number % 2 else (ours, theirs)
        taken = {work: seconds(work) for work in (first, second)}
        ratios.append(taken[theirs] / taken[ours])
    values["torchmetrics"] = float(_compute_fid(*given))
    errors = {name: abs(value - expected) / expected for name, value in values.items()}
    ratio = statistics.median(ratios)
    print(f"\n{ratio:.1f} x pytorch-fid; at least 10. Relative errors, of which ours at most 1e-9:")
    print(", ".join(f"{name} {error:.0e}" for name, error in errors.items()))
    assert errors["ours"] <= 1e-9
    assert ratio >= 10


@pytest.mark.parametrize(("n", "m", "least"), [(500, 500, 20), (500, 4096, 5)])
def test_the_distance_of_few_samples_is_faster_still(
    n: int, m: int, least: float, speedup: Callable[..., float]
) -> None:
    a, b = Moments.of([features(n, 0)]), Moments.of([features(m, 1)])
    theirs = by_torchmetrics(a, b)
    assert frechet_distance(a, b) == pytest.approx(theirs(), rel=1e-6)
    ratio = speedup(lambda: seconds(theirs), lambda: seconds(lambda: frechet_distance(a, b)))
    print(f"\n{n} samples and {m}: {ratio:.1f} x torchmetrics; at least {least}")
    assert ratio >= least


def test_moments_are_summed_faster_than_batch_by_batch(speedup: Callable[..., float]) -> None:
    batches = torch.split(features(8192, 0), 64)

    def theirs() -> Tensor:
        """What FrechetInceptionDistance.update does with features, and the covariance that compute makes of it."""
        total = torch.zeros(D, dtype=torch.float64)
        products = torch.zeros(D, D, dtype=torch.float64)
        for batch in batches:
            x = batch.double()
            total += x.sum(0)
            products += x.T @ x
        mean = total / 8192
        return (products - 8192 * torch.outer(mean, mean)) / 8191

    def ours() -> Tensor:
        return Moments.of(batches).covariance

    assert torch.allclose(ours(), theirs(), rtol=0, atol=1e-12)
    ratio = speedup(lambda: seconds(theirs), lambda: seconds(ours))
    print(f"\n8192 rows in batches of 64: {ratio:.1f} x torchmetrics' update; at least 3")
    assert ratio >= 3
