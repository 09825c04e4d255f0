"""Precision, recall, density and coverage are those of the reference code, ties too; dropped modes are noticed."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from benchsuite import NotApplicableError, Score
from benchsuite.kit import neighbours
from benchsuite.kit.laws import NormalMixture
from benchsuite.kit.neighbours import Manifolds, manifolds, nearest
from benchsuite_plugins.datasets.toys import Grid, Ring
from benchsuite_plugins.metrics.neighbours import benchsuite_metrics, coverage, density, precision, recall

NAMES = ("precision", "recall", "density", "coverage")


def normal(n: int, d: int, seed: int, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def once(key: str, make: Callable[[], Manifolds]) -> Manifolds:
    return make()


def scores(found: Manifolds) -> list[float]:
    return [getattr(found, name) for name in NAMES]


def by_prdc(real: Tensor, generated: Tensor, k: int) -> list[float]:
    found = pytest.importorskip("prdc").compute_prdc(real.double().numpy(), generated.double().numpy(), k)
    return [float(found[name]) for name in NAMES]


def by_torch_fidelity(real: Tensor, generated: Tensor, k: int) -> list[float]:
    module = pytest.importorskip("torch_fidelity.metric_prc")
    return list(module.calculate_precision_recall_full(generated.double(), real.double(), k))


SHAPES = [(400, 300, 2, 5), (300, 500, 16, 3), (1500, 1100, 8, 5), (200, 250, 300, 1)]  # the third takes several blocks


@pytest.mark.parametrize(("n", "m", "d", "k"), SHAPES)
def test_without_ties_all_four_are_those_of_prdc(n: int, m: int, d: int, k: int) -> None:
    real, generated = normal(n, d, 0), normal(m, d, 1, scale=0.8) + 0.2
    assert scores(manifolds(real, generated, k)) == pytest.approx(by_prdc(real, generated, k), rel=1e-12)


@pytest.mark.parametrize(("n", "m", "d", "k"), SHAPES)
def test_without_ties_precision_and_recall_are_those_of_torch_fidelity(n: int, m: int, d: int, k: int) -> None:
    real, generated = normal(n, d, 0), normal(m, d, 1, scale=0.8) + 0.2
    expected = by_torch_fidelity(real, generated, k)
    assert scores(manifolds(real, generated, k))[:2] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("d", [2, 2048])
def test_on_repeated_images_ties_count_as_in_torch_fidelity_for_two_and_as_in_prdc_for_the_others(d: int) -> None:
    images = 3 + normal(20, d, 0) / 10  # every ball has size 0, and every sample lies on some
    real, generated = images.repeat(4, 1), images.repeat_interleave(4, 0)
    found = manifolds(real, generated, 3)
    assert not bool(found.real_radii.any()) and not bool(found.generated_radii.any())
    assert scores(found) == [1, 1, 0, 0]
    if d == 2:  # with more features the others' own rounding decides
        assert by_prdc(real, generated, 3) == [0, 0, 0, 0]
        assert by_torch_fidelity(real, generated, 3) == [1, 1]


@pytest.mark.parametrize("scale", [1.0, 0.1, 1e-6, 1e6])
def test_rounding_decides_no_tie_between_points_of_a_lattice(scale: float) -> None:
    # Almost every distance is equal to some radius. The truth is found in whole numbers.
    generator = torch.Generator().manual_seed(0)
    real, generated = torch.randint(0, 6, (2, 150, 3), generator=generator).unique(dim=1)[:, :100]
    k = 3

    def squared(x: Tensor, y: Tensor) -> Tensor:
        return (x[:, None] - y).square().sum(2)

    def radii(x: Tensor) -> Tensor:
        return squared(x, x).sort(1).values[:, k]

    between = squared(generated, real)
    inside = between < radii(real)
    expected = [
        float((between <= radii(real)).any(1).double().mean()),
        float((between <= radii(generated)[:, None]).any(0).double().mean()),
        float(inside.sum(1).double().mean()) / k,
        float(inside.any(0).double().mean()),
    ]
    found = manifolds(real.double() * scale + 7 * scale, generated.double() * scale + 7 * scale, k)
    assert scores(found) == pytest.approx(expected, rel=1e-12)


def test_samples_of_the_law_itself_have_the_expected_density_and_coverage() -> None:
    # By exchangeability, whatever the law: density 1, and no sample is among a ball's first k of all other points with
    # chance prod (N - 1 - i) / (N - 1 + M - i). 60 draws, seeds 0-119, four standard errors: 1 in 16,000 fails.
    n, m, k = 60, 40, 3
    found = [manifolds(normal(n, 2, 2 * i), normal(m, 2, 2 * i + 1), k) for i in range(60)]
    missed = math.prod((n - 1 - i) / (n - 1 + m - i) for i in range(k))
    for expected, values in ((1, [f.density for f in found]), (1 - missed, [f.coverage for f in found])):
        assert abs(np.mean(values) - expected) < 4 * np.std(values, ddof=1) / math.sqrt(len(values))


def test_precision_and_recall_trade_places_with_the_sets() -> None:
    a, b = normal(100, 3, 0), normal(80, 3, 1, scale=2)
    there, back = manifolds(a, b, 3), manifolds(b, a, 3)
    assert (there.precision, there.recall) == (back.recall, back.precision)
    assert there.precision < there.recall  # the wider set leaves the narrower one's manifold, not the other way


@pytest.mark.parametrize("dataset", [Ring, Grid])
def test_a_generator_that_drops_half_of_the_modes_loses_recall_and_coverage_and_no_precision(
    dataset: type[Ring] | type[Grid],
) -> None:
    law = dataset().truth()
    generator = torch.Generator().manual_seed(0)
    real, whole = law.sample(1000, generator), law.sample(1000, generator)
    half = NormalMixture(law.modes[::2], law.component_covariance).sample(1000, generator)
    kept = len(law.modes[::2]) / len(law.modes)
    assert precision(real, half, once).value == pytest.approx(precision(real, whole, once).value, abs=0.03)
    for metric in (recall, coverage):
        assert metric(real, whole, once).value > 0.9
        assert metric(real, half, once).value == pytest.approx(kept, abs=0.06)


@given(st.integers(2, 30), st.integers(2, 30), st.integers(1, 4), st.integers(1, 31), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_neither_blocks_nor_the_order_of_rows_matter(n: int, m: int, d: int, block: int, seed: int) -> None:
    real, generated = normal(n, d, seed).round(decimals=1), normal(m, d, seed + 1).round(decimals=1)
    k = min(3, n - 1, m - 1)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    whole = manifolds(real, generated, k)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "_BLOCK", block)
        parts = manifolds(real[order], generated, k)
        distances = nearest(generated, real)[0]
    assert scores(parts) == scores(whole)
    assert torch.allclose(parts.real_radii, whole.real_radii[order], rtol=1e-9)
    assert torch.allclose(distances, torch.cdist(generated.double(), real.double()).amin(1), atol=1e-6)
    assert all(0 <= getattr(whole, name) <= 1 for name in ("precision", "recall", "coverage"))
    assert 0 <= whole.density <= n / k


def test_wide_features_are_taken_in_blocks_of_fewer_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    real, generated = normal(50, 40, 0), normal(50, 40, 1)
    whole = manifolds(real, generated, 3)
    monkeypatch.setattr(neighbours, "_BLOCK_NUMBERS", 40 * 7)
    assert scores(manifolds(real, generated, 3)) == scores(whole)


def test_the_nearest_row_is_found_and_a_different_one_where_asked() -> None:
    reference = torch.tensor([[0.0], [0.0], [3.0], [10.0]])
    distances, rows = nearest(torch.tensor([[0.0], [4.0], [30.0]]), reference)
    assert distances.tolist() == [0, 1, 20] and rows[1:].tolist() == [2, 3]
    distances, rows = nearest(reference, reference, different=True)
    assert distances.tolist() == [3, 3, 3, 7] and rows.tolist()[:2] == [2, 2]
    assert nearest(reference[:2], reference[:2], different=True)[0].tolist() == [math.inf, math.inf]


def test_equal_rows_are_at_distance_zero_also_far_from_the_origin_and_with_many_features() -> None:
    rows = 1e4 + normal(50, 2048, 0)
    distances, found = nearest(rows.flip(0), rows)
    assert not bool(distances.any()) and found.tolist() == list(range(49, -1, -1))


def test_precision_and_recall_are_computed_once_for_the_same_neighbours_and_limit() -> None:
    made: dict[str, Manifolds] = {}

    def shared(key: str, make: Callable[[], Manifolds]) -> Manifolds:
        if key not in made:
            made[key] = make()
        return made[key]

    real, generated = normal(60, 3, 0), normal(60, 3, 1)
    precision(real, generated, shared), recall(real, generated, shared)
    assert len(made) == 1
    density(real, generated, shared), coverage(real, generated, shared)
    assert len(made) == 2
    for chosen in ({"k": 4}, {"limit": 50}):
        precision(real, generated, shared, **chosen)
    assert len(made) == 4


@pytest.mark.parametrize("metric", [precision, recall, density, coverage])
def test_as_many_rows_are_compared_of_one_side_as_of_the_other(metric: Callable[..., Score]) -> None:
    real, generated = normal(80, 3, 0), normal(40, 3, 1)
    assert metric(real, generated, once) == metric(real[::2], generated, once)
    assert metric(real, generated, once, limit=20) == metric(real[::4], generated[::2], once)


def test_too_few_images_have_no_neighbours() -> None:
    with pytest.raises(NotApplicableError, match="3 neighbours need more than 3 images on each side; 3 are compared"):
        precision(normal(10, 2, 0), normal(3, 2, 1), once)
    with pytest.raises(ValueError, match="neighbour number 3"):
        manifolds(normal(3, 2, 0), normal(10, 2, 1), 3)
    with pytest.raises(ValueError, match="no rows to be near to"):
        nearest(normal(3, 2, 0), torch.zeros(0, 2))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_features_that_are_not_finite_are_no_score(bad: float) -> None:
    real, generated = normal(10, 2, 0), normal(10, 2, 1)
    generated[3, 1] = bad
    for a, b in ((real, generated), (generated, real)):
        with pytest.raises(ValueError, match="features are not finite"):
            manifolds(a, b, 3)
        with pytest.raises(ValueError, match="features are not finite"):
            nearest(a, b)


def test_a_caution_says_that_all_images_are_repeated() -> None:
    real, constant = normal(20, 2, 0), torch.ones(20, 2)
    assert "all samples have so many duplicates" in recall(real, constant, once).caution
    assert "all training images have so many duplicates" in density(constant, real, once).caution
    assert not precision(real, normal(20, 2, 1), once).caution


def test_the_plugin_chooses_precision_and_recall_unasked_and_higher_is_better() -> None:
    metrics = {metric.name: metric for metric in benchsuite_metrics()}
    assert set(metrics) == set(NAMES) and {metric.direction for metric in metrics.values()} == {"max"}
    assert {name for name, metric in metrics.items() if metric.default} == {"precision", "recall"}
