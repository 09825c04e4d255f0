"""The kernel distance is that of three other libraries and of the closed form, over all pairs, whatever the blocks."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from benchsuite import NotApplicableError, Score
from benchsuite.kit import kernel
from benchsuite.kit.kernel import kernel_distance
from benchsuite_plugins.metrics.kernel import benchsuite_metrics, kid


def normal(n: int, d: int, seed: int, mean: float = 0.0) -> Tensor:
    return mean + torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def theirs(library: str, a: Tensor, b: Tensor) -> float:
    """The distance by another library on one subset, which is all rows."""
    if library == "torchmetrics":
        return float(pytest.importorskip("torchmetrics.image.kid").poly_mmd(a, b))
    if library == "clean-fid":
        module = pytest.importorskip("cleanfid.fid")
        return float(module.kernel_distance(a.numpy(), b.numpy(), num_subsets=1, max_subset_size=len(a)))
    module = pytest.importorskip("torch_fidelity.metric_kid")
    options = {"kid_subsets": 1, "kid_subset_size": len(a), "rng_seed": 0, "verbose": False}
    return float(module.kid_features_to_metric(a, b, **options)["kernel_inception_distance_mean"])


@pytest.mark.parametrize("library", ["torchmetrics", "torch-fidelity", "clean-fid"])
@pytest.mark.parametrize(("n", "d"), [(2, 3), (300, 64), (1100, 16)])  # the last takes several blocks
def test_it_is_the_distance_of_other_libraries_on_one_subset_of_all_rows(library: str, n: int, d: int) -> None:
    a, b = normal(n, d, 0), normal(n, d, 1, mean=0.3)
    assert kernel_distance(a, b) == pytest.approx(theirs(library, a, b), rel=1e-12, abs=1e-12)


def test_sides_of_different_numbers_are_averaged_over_their_own_pairs() -> None:
    a, b = normal(7, 3, 0).numpy(), normal(4, 3, 1).numpy()
    values = {
        name: [(x @ y / 3 + 1) ** 3 for i, x in enumerate(u) for j, y in enumerate(v) if u is not v or i != j]
        for name, u, v in (("aa", a, a), ("bb", b, b), ("ab", a, b))
    }
    expected = np.mean(values["aa"]) + np.mean(values["bb"]) - 2 * np.mean(values["ab"])
    assert kernel_distance(torch.from_numpy(a), torch.from_numpy(b)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_its_mean_is_the_closed_form_between_normals_on_a_line(shift: float) -> None:
    # E (x y + 1)^3 of independent x ~ N(a, 1), y ~ N(b, 1), from their first three moments. 50 draws of 400 rows with
    # seeds 0-99; four standard errors, so that a right estimator fails once in 16,000 such tests.
    def expected_kernel(a: float, b: float) -> float:
        return (a**3 + 3 * a) * (b**3 + 3 * b) + 3 * (a**2 + 1) * (b**2 + 1) + 3 * a * b + 1

    truth = expected_kernel(0, 0) + expected_kernel(shift, shift) - 2 * expected_kernel(0, shift)
    found = [kernel_distance(normal(400, 1, 2 * i), normal(400, 1, 2 * i + 1, shift)) for i in range(50)]
    assert abs(np.mean(found) - truth) < 4 * np.std(found, ddof=1) / math.sqrt(len(found))
    assert min(found) < truth  # below 0 too, where both sides have one law


@given(st.integers(2, 12), st.integers(2, 12), st.integers(1, 4), st.integers(1, 13), st.integers(0, 99))
@settings(max_examples=50, deadline=None)
def test_neither_blocks_nor_the_order_of_rows_matter(n: int, m: int, d: int, block: int, seed: int) -> None:
    a, b = normal(n, d, seed), normal(m, d, seed + 1, mean=1)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    whole = kernel_distance(a, b)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel, "_BLOCK", block)
        assert kernel_distance(a[order], b) == pytest.approx(whole, rel=1e-10, abs=1e-10)
        assert kernel_distance(b, a) == pytest.approx(whole, rel=1e-10, abs=1e-10)


def test_single_precision_features_lose_little() -> None:
    a, b = normal(2000, 256, 0), normal(2000, 256, 1, mean=0.1)
    assert kernel_distance(a.float(), b.float()) == pytest.approx(kernel_distance(a, b), rel=1e-4)


def test_the_metric_takes_evenly_spaced_rows_up_to_its_limit_and_draws_nothing() -> None:
    a, b = normal(100, 4, 0), normal(60, 4, 1)
    state = torch.get_rng_state()
    assert kid(a, b) == Score(kernel_distance(a, b), n=len(b))
    assert kid(a, b, limit=20) == Score(kernel_distance(a[::5], b[::3]), n=20)
    assert torch.equal(state, torch.get_rng_state())


def test_nan_is_never_a_score() -> None:
    a, b = normal(10, 3, 0), normal(10, 3, 1)
    a[4, 2] = math.nan
    assert math.isnan(float(kid(a, b).value)) and math.isnan(float(kid(b, a).value))


@pytest.mark.parametrize(("n", "m"), [(1, 5), (5, 1), (5, 0)])
def test_fewer_than_two_images_have_no_distance(n: int, m: int) -> None:
    with pytest.raises(ValueError, match=f"at least two rows on each side; got {n} and {m}"):
        kernel_distance(torch.zeros(n, 3), torch.zeros(m, 3))
    with pytest.raises(NotApplicableError, match="at least two images"):
        kid(torch.zeros(n, 3), torch.zeros(m, 3))


def test_the_plugin_provides_kid_where_it_is_named_and_lower_is_better() -> None:
    (metric,) = benchsuite_metrics()
    assert (metric.name, metric.direction, metric.default) == ("kid", "min", False)
