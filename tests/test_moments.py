"""Means, covariances and principal axes agree with numpy and scikit-learn, however they are computed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from benchsuite.kit import moments
from benchsuite.kit.moments import Moments, PrincipalAxes, principal_axes
from benchsuite.kit.samples import Samples

WAYS = {"covariance": (1797, 64), "gram": (60, 192), "power": (400, 192)}  # and what they are tried on


def go_by(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """Have axes found by power iteration although the samples are few; else their shape decides."""
    if way == "power":
        monkeypatch.setattr(moments, "_DENSE", 1)


def digits() -> np.ndarray:
    """1797 images of 8 x 8 px, flattened."""
    return np.asarray(load_digits().data / 16, np.float32)


def assert_agrees_with_scikit_learn(found: PrincipalAxes, x: np.ndarray, d: int, tolerance: float = 1e-5) -> None:
    """Variances to ``tolerance`` of themselves; of no axis is more than ``tolerance`` outside the other subspace."""
    pca = PCA(d, svd_solver="full").fit(x.astype(np.float64))
    assert np.allclose(found.mean.numpy(), pca.mean_, rtol=0, atol=1e-9 * np.abs(x).max())
    assert np.allclose(found.variances.numpy(), pca.explained_variance_, rtol=tolerance, atol=1e-12)
    axes = found.axes.numpy()
    assert np.allclose(axes @ axes.T, np.eye(d), atol=1e-10)
    cosines = np.linalg.svd(axes @ pca.components_.T, compute_uv=False)
    assert cosines.min() ** 2 > 1 - tolerance
    left_out = min(x.shape) - d  # scikit-learn averages over the directions that the data span, we over all of them
    expected = pca.noise_variance_ * left_out / max(1, x.shape[1] - d)
    assert found.residual_variance == pytest.approx(expected, rel=tolerance, abs=1e-12)


@pytest.mark.parametrize("way", ["covariance", "power"])
@pytest.mark.parametrize("d", [1, 8, 20])
def test_principal_axes_of_images_are_those_of_scikit_learn(monkeypatch: pytest.MonkeyPatch, way: str, d: int) -> None:
    go_by(monkeypatch, way)
    assert_agrees_with_scikit_learn(principal_axes(Samples(torch.from_numpy(digits())), d), digits(), d)


@pytest.mark.parametrize("way", WAYS)
def test_each_way_to_principal_axes_finds_those_of_scikit_learn(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    called = []
    for name in ("_by_gram", "_by_power"):
        real = getattr(moments, name)
        monkeypatch.setattr(moments, name, lambda *given, name=name, real=real: called.append(name) or real(*given))
    go_by(monkeypatch, way)
    monkeypatch.setattr(moments, "_BLOCK", 50)  # several blocks, the last one smaller
    n, dim = WAYS[way]
    x = np.concatenate([digits(), digits() ** 2, np.sqrt(digits())], 1)[:n, :dim]
    assert_agrees_with_scikit_learn(principal_axes(Samples(torch.from_numpy(x)), 6), x, 6)
    assert called == ([] if way == "covariance" else [f"_by_{way}"])


@pytest.mark.parametrize("d", [1, 5, 58])
def test_fewer_samples_than_numbers_go_by_their_gram_matrix(d: int) -> None:
    x = np.random.default_rng(0).standard_normal((60, 5000)).astype(np.float32) * np.linspace(
        3, 1, 5000, dtype=np.float32
    )
    assert_agrees_with_scikit_learn(principal_axes(Samples(torch.from_numpy(x)), d), x, d)


@pytest.mark.parametrize("way", ["covariance", "power"])
def test_a_far_off_mean_does_not_blur_the_axes(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    go_by(monkeypatch, way)
    x = (digits() * 64 + 100_000).astype(np.float32)
    assert_agrees_with_scikit_learn(principal_axes(Samples(torch.from_numpy(x)), 5), x, 5)


@pytest.mark.parametrize("power", [0.5, 0.6, 1.0])
def test_a_slowly_falling_spectrum_is_captured_by_iteration_too(monkeypatch: pytest.MonkeyPatch, power: float) -> None:
    go_by(monkeypatch, "power")
    scale = np.arange(1, 401) ** -power  # standard deviations; those of natural images fall about as 0.6 has them
    x = (np.random.default_rng(0).standard_normal((500, 400)) * scale).astype(np.float32)
    assert_agrees_with_scikit_learn(principal_axes(Samples(torch.from_numpy(x)), 48), x, 48)


def test_iteration_goes_on_until_variances_hold_still_also_where_the_spectrum_is_flat(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    go_by(monkeypatch, "power")
    x = np.random.default_rng(0).standard_normal((1000, 200)).astype(np.float32)
    found = principal_axes(Samples(torch.from_numpy(x)), 4)
    best = PCA(4, svd_solver="full").fit(x.astype(np.float64)).explained_variance_
    assert np.allclose(found.variances.numpy(), best, rtol=1e-5)


@pytest.mark.parametrize("way", ["gram", "power"])
def test_data_of_lower_rank_have_their_own_axes_and_others_without_variance(
    monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    go_by(monkeypatch, way)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(60, 3, generator=generator) @ torch.randn(3, 90, generator=generator)
    found = principal_axes(Samples(x), 5)
    best = PCA(3, svd_solver="full").fit(x.double().numpy()).explained_variance_
    assert np.allclose(found.variances[:3].numpy(), best, rtol=1e-5)
    assert float(found.variances[3:].max()) < 1e-10 * best[0]
    assert torch.allclose(found.axes @ found.axes.T, torch.eye(5, dtype=torch.float64), atol=1e-10)


def test_bytes_and_floats_have_the_same_axes() -> None:
    images = torch.randint(0, 256, (40, 1, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    found = principal_axes(Samples(images), 3)
    assert_agrees_with_scikit_learn(found, images.flatten(1).numpy().astype(np.float32) / np.float32(255), 3)


@pytest.mark.parametrize("way", WAYS)
def test_the_largest_entry_of_an_axis_is_positive_and_axes_repeat(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    go_by(monkeypatch, way)
    samples = Samples(torch.randn(WAYS[way], generator=torch.Generator().manual_seed(0)))
    axes = principal_axes(samples, 4).axes
    assert torch.equal(axes, principal_axes(samples, 4).axes)
    assert bool((axes.gather(1, axes.abs().argmax(1, keepdim=True)) > 0).all())


@pytest.mark.parametrize(("shape", "d"), [((10, 3), 3), ((4, 3), 3)])
def test_nothing_is_left_over_where_all_axes_are_taken(shape: tuple[int, int], d: int) -> None:
    found = principal_axes(Samples(torch.randn(shape, generator=torch.Generator().manual_seed(0))), d)
    assert found.residual_variance == pytest.approx(0, abs=1e-12)


def test_constant_data_have_axes_without_variance() -> None:
    found = principal_axes(Samples(torch.full((10, 6), 0.3)), 2)
    assert torch.allclose(found.axes @ found.axes.T, torch.eye(2, dtype=torch.float64))
    assert found.variances.tolist() == pytest.approx([0, 0], abs=1e-20)
    assert found.residual_variance == pytest.approx(0, abs=1e-20)


@pytest.mark.parametrize(("n", "dim", "d"), [(10, 4, 0), (10, 4, 5), (5, 40, 5), (1, 4, 1)])
def test_more_axes_than_the_data_have_are_refused(n: int, dim: int, d: int) -> None:
    with pytest.raises(ValueError, match=f"{d} principal axes asked of {n} samples"):
        principal_axes(Samples(torch.randn(n, dim)), d)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(1, 5), st.integers(0, 2**16))
@settings(max_examples=50, deadline=None)
def test_a_stream_of_blocks_has_the_moments_of_all_rows(sizes: list[int], dim: int, seed: int) -> None:
    x = np.random.default_rng(seed).normal(3, 2, (sum(sizes) + 1, dim))
    found = Moments.of(torch.split(torch.from_numpy(x), [*sizes, 1]))
    assert found.count == len(x)
    assert np.allclose(found.mean.numpy(), x.mean(0), rtol=1e-12)
    assert np.allclose(found.covariance.numpy(), np.cov(x, rowvar=False).reshape(dim, dim), rtol=1e-9, atol=1e-12)


@given(st.permutations(range(12)), st.integers(1, 11))
@settings(max_examples=50, deadline=None)
def test_the_order_of_rows_does_not_matter(order: list[int], cut: int) -> None:
    x = torch.randn(12, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 5
    first, second = Moments.of([x]), Moments.of([x[order[:cut]], x[order[cut:]]])
    assert torch.allclose(first.mean, second.mean, rtol=1e-12)
    assert torch.allclose(first.covariance, second.covariance, rtol=1e-10)


@pytest.mark.parametrize("offset", [0.0, 1e6, -1e8])
def test_a_far_off_mean_does_not_blur_the_covariance(offset: float) -> None:
    x = np.random.default_rng(0).standard_normal((5000, 8)) + offset  # more rows than one inner block
    expected = np.cov(x - offset, rowvar=False)  # exact to the rounding of x itself, which is 1e-16 of the offset
    for blocks in ([x], np.array_split(x, 7), np.array_split(x, 2500)):
        found = Moments.of([torch.from_numpy(b) for b in blocks])
        assert np.allclose(found.mean.numpy() - offset, (x - offset).mean(0), atol=1e-14 * max(1, abs(offset)))
        assert np.allclose(found.covariance.numpy(), expected, atol=1e-13 * max(1, abs(offset)))


def test_single_precision_rows_are_summed_in_double() -> None:
    x = torch.rand(3000, 2, generator=torch.Generator().manual_seed(0)) + 1000
    found = Moments.of([x])
    assert found.covariance.dtype == torch.float64
    assert np.allclose(found.covariance.numpy(), np.cov(x.numpy().astype(np.float64), rowvar=False), rtol=1e-9)


def test_an_empty_block_changes_nothing() -> None:
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    plain, with_empty = Moments.of([x]), Moments.of([x[:2], x[:0], x[2:]])
    assert torch.allclose(plain.mean, with_empty.mean)
    assert torch.allclose(plain.covariance, with_empty.covariance)


def test_moments_of_too_few_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one block"):
        Moments.of([])
    with pytest.raises(ValueError, match="at least two rows; got 1"):
        _ = Moments.of([torch.ones(1, 3)]).covariance


@given(st.lists(st.integers(0, 900), min_size=1, max_size=6), st.integers(2, 40))
@settings(max_examples=20, deadline=None)
def test_how_rows_are_divided_into_blocks_changes_no_bit(sizes: list[int], dim: int) -> None:
    x = torch.randn(sum(sizes) + 2, dim, generator=torch.Generator().manual_seed(len(sizes))) + 3
    divided, whole = Moments.of(torch.split(x, [*sizes, 2])), Moments.of([x])
    assert torch.equal(divided.mean, whole.mean)
    assert torch.equal(divided.covariance, whole.covariance)


@pytest.mark.parametrize(("n", "dim", "few"), [(2, 3, False), (20, 40, True), (20, 41, True), (21, 40, False)])
@pytest.mark.parametrize("block", [8, 1024])
def test_few_rows_are_a_factor_of_the_covariance(
    monkeypatch: pytest.MonkeyPatch, n: int, dim: int, few: bool, block: int
) -> None:
    monkeypatch.setattr(moments, "_BLOCK", block)
    x = np.random.default_rng(0).normal(3, 2, (n, dim))
    found = Moments.of([torch.from_numpy(x)])
    factor = found.few_rows
    assert (factor is not None) == few
    if factor is not None:
        assert np.allclose((factor.T @ factor).numpy(), np.cov(x, rowvar=False), rtol=1e-9, atol=1e-12)
    assert found.rank_bound == min(n - 1, dim)


def test_memory_does_not_grow_with_the_number_of_rows_and_few_never_take_a_matrix(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(moments, "_BLOCK", 10)

    def numbers(*sizes: int) -> int:
        """How many numbers the moments of blocks of these sizes, 300 wide, keep."""
        held = vars(Moments.of(torch.rand(size, 300) for size in sizes)).values()
        return sum(value.numel() for value in held if isinstance(value, torch.Tensor))

    few = 150 * 300 + 300
    assert numbers(70, 70) == numbers(1) == few
    assert numbers(151) == numbers(*[1000] * 20) == few + 300 * 300


@pytest.mark.parametrize("columns", [1, 7, 16, 40])
def test_the_covariance_is_the_same_in_blocks_of_any_size(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setattr(moments, "_COLUMNS", columns)
    x = np.random.default_rng(0).normal(3, 2, (2500, 40))
    covariance = Moments.of([torch.from_numpy(x)]).covariance
    assert np.allclose(covariance.numpy(), np.cov(x, rowvar=False), rtol=1e-10, atol=1e-12)
    assert torch.equal(covariance, covariance.T)


def test_moments_are_read_at_any_time_and_go_on() -> None:
    x = np.random.default_rng(0).normal(3, 2, (2500, 4))
    found = Moments(4)
    for start, end in ((0, 1), (1, 3), (3, 1024), (1024, 1025), (1025, 2500)):
        found.update(torch.from_numpy(x[start:end]))
        assert np.allclose(found.mean.numpy(), x[:end].mean(0), rtol=1e-12)
        if end > 1:
            assert np.allclose(found.covariance.numpy(), np.cov(x[:end], rowvar=False), rtol=1e-10, atol=1e-12)


def test_rows_that_are_overwritten_afterwards_were_taken_in() -> None:
    x = torch.randn(5, 20, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found, expected = Moments.of([x]), x.mean(0)
    x.zero_()
    assert torch.allclose(found.mean, expected)


@pytest.mark.parametrize(("n", "dim"), [(1, 6), (3, 6), (4, 6), (1024, 6), (1025, 6), (3000, 6)])
def test_a_saved_state_gives_the_same_moments_to_the_last_bit_and_goes_on(tmp_path: Path, n: int, dim: int) -> None:
    x, more = torch.randn(n + 50, dim, generator=torch.Generator().manual_seed(0)).split([n, 50])
    found = Moments.of([x])
    save_file(found.state(), tmp_path / "moments.safetensors")
    again = Moments.from_state(load_file(tmp_path / "moments.safetensors"))
    assert (again.count, again.dim) == (n, dim)
    assert torch.equal(again.mean, found.mean)
    if n > 1:
        assert torch.equal(again.covariance, found.covariance)
        assert (again.few_rows is None) == (found.few_rows is None)
    for either in (found, again):
        either.update(more)
    assert torch.allclose(again.mean, found.mean, rtol=1e-12)
    assert torch.allclose(again.covariance, found.covariance, rtol=1e-12)


def test_a_state_is_a_copy_and_as_small_as_may_be() -> None:
    few, many = Moments.of([torch.rand(3, 6)]), Moments.of([torch.rand(4, 6)])
    assert {name: tuple(value.shape) for name, value in few.state().items()} == {"rows": (3, 6)}
    shapes = {name: tuple(value.shape) for name, value in many.state().items()}
    assert shapes == {"count": (), "mean": (6,), "scatter": (6, 6)}
    for found in (few, many):
        before = found.mean.clone()
        for value in found.state().values():
            value.zero_()
        assert torch.equal(found.mean, before)


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state.pop("count"),
        lambda state: state.pop("scatter"),
        lambda state: state.update(scatter=torch.zeros(1, 6)),
        lambda state: state.update(mean=torch.tensor(0.0)),
        lambda state: state.update(rows=torch.zeros(3)),
    ],
)
def test_a_state_that_is_not_whole_is_refused(change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    state = Moments.of([torch.rand(4, 6)]).state()
    change(state)
    with pytest.raises(ValueError, match="no state of moments"):
        Moments.from_state(state)


def test_rows_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match=r"rows of 3 numbers expected; got shape \(2, 4\)"):
        Moments(3).update(torch.zeros(2, 4))
    with pytest.raises(ValueError, match="rows of 3 numbers"):
        Moments(3).update(torch.zeros(2, 3, 1))
