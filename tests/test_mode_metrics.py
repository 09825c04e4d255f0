"""Modes found and samples near them are counted as the law of chi-square and known mixtures say."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, chi2
from torch import Tensor

from benchsuite import NotApplicableError, Samples
from benchsuite.kit.laws import NormalMixture
from benchsuite_plugins.datasets.toys import BivariateNormal, ExponentialPosterior, Grid, Mixture, Ring
from benchsuite_plugins.metrics import modes as module
from benchsuite_plugins.metrics.modes import benchsuite_metrics, high_quality_fraction, mode_coverage

SKEWED = NormalMixture(torch.tensor([[0.0, 0.0, 0.0], [50.0, 0.0, 0.0]]), torch.diag(torch.tensor([1.0, 4.0, 0.01])))


def drawn(law: NormalMixture, n: int, seed: int = 0) -> Samples:
    return Samples(law.sample(n, torch.Generator().manual_seed(seed)))


@pytest.mark.parametrize("law", [Grid().truth(), Ring().truth(), BivariateNormal().truth(), Mixture().truth(), SKEWED])
def test_of_samples_of_the_law_as_many_are_of_high_quality_as_chi_square_says(law: NormalMixture) -> None:
    # Seed 0, 20,000 samples; a right count fails one such test in 10,000. The two modes of ``mixture`` are 6.7
    # deviations apart, so that some samples of one are near the other: 3.7 away at least, which adds 1e-4.
    n = 20_000
    found = high_quality_fraction(drawn(law, n), law)
    expected = float(chi2.cdf(9, law.modes.shape[1]))
    assert binomtest(round(found * n), n, expected).pvalue > 1e-4
    assert mode_coverage(drawn(law, n), law) == 1


def test_the_expected_fractions_are_those_of_the_docstring() -> None:
    assert chi2.cdf(9, 1) == pytest.approx(math.erf(3 / math.sqrt(2)), abs=1e-12) == pytest.approx(0.9973, abs=5e-5)
    assert chi2.cdf(9, 2) == pytest.approx(1 - math.exp(-4.5), abs=1e-12) == pytest.approx(0.9889, abs=5e-5)


@pytest.mark.parametrize(("dataset", "kept"), [(Ring, 4), (Grid, 13), (Grid, 1)])
def test_dropped_modes_are_missed_and_quality_does_not_notice(dataset: type[Ring] | type[Grid], kept: int) -> None:
    law = dataset().truth()
    samples = drawn(NormalMixture(law.modes[:kept], law.component_covariance), 2000)
    assert mode_coverage(samples, law) == kept / len(law.modes)
    assert high_quality_fraction(samples, law) > 0.98


def at(*rows: tuple[float, ...]) -> Samples:
    return Samples(torch.tensor(rows))


def test_three_standard_deviations_are_measured_along_each_axis() -> None:
    near = [(2.9, 0.0, 0.0), (0.0, 5.8, 0.0), (50.0, 0.0, 0.29)]
    far = [(3.1, 0.0, 0.0), (0.0, 6.2, 0.0), (0.0, 0.0, 0.31)]
    assert high_quality_fraction(at(*near, *far), SKEWED) == 0.5
    assert mode_coverage(at(*near), SKEWED) == 1
    assert mode_coverage(at(*near[:2], *far), SKEWED) == 0.5
    assert mode_coverage(at(*far), SKEWED) == 0


def test_samples_nowhere_near_cover_nothing() -> None:
    law = Grid().truth()
    samples = Samples(torch.full((10, 2), 1.0))  # between four modes
    assert (mode_coverage(samples, law), high_quality_fraction(samples, law)) == (0, 0)


@given(st.integers(1, 40), st.integers(1, 41), st.integers(0, 99))
@settings(max_examples=50, deadline=None)
def test_neither_batches_nor_the_order_of_samples_matter(n: int, batch: int, seed: int) -> None:
    law = Ring().truth()
    noise: Tensor = 0.02 * torch.randn(n, 2, generator=torch.Generator().manual_seed(seed))
    x = drawn(law, n, seed)[:] + noise
    whole = mode_coverage(Samples(x), law), high_quality_fraction(Samples(x), law)
    assert all(0 <= value <= 1 for value in whole) and whole[0] <= n / 8
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BATCH", batch)
        turned = Samples(x.flip(0))
        assert (mode_coverage(turned, law), high_quality_fraction(turned, law)) == whole


@pytest.mark.parametrize("metric", [mode_coverage, high_quality_fraction])
def test_laws_without_modes_do_not_apply(metric: object) -> None:
    law = ExponentialPosterior().truth()
    assert callable(metric)
    with pytest.raises(NotApplicableError, match="no mixture of modes"):
        metric(Samples(torch.ones(3, 1)), law)


def test_the_plugin_provides_both_for_vectors_and_higher_is_better() -> None:
    metrics = benchsuite_metrics()
    assert [metric.name for metric in metrics] == ["mode_coverage", "high_quality_fraction"]
    assert {(m.direction, m.kind, m.default) for m in metrics} == {("max", "vector", True)}
