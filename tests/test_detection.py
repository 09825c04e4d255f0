"""The gate's test: against scipy's, by its error rate over whole tables, and by its power."""

from __future__ import annotations

import math

import numpy as np
import pytest
from made_up_runs import scored
from scipy import stats

from benchsuite.results.detection import Look, difference, looks, power, smallest_loss, smallest_paired_loss
from benchsuite.results.gate import judge
from benchsuite.results.rates import fails_more_often
from benchsuite.results.rules import Rules

RULES = {"alarm": 0.01, "screen": 0.1}


@pytest.mark.parametrize("sizes", [(3, 2), (5, 5), (20, 5), (20, 20)])
def test_the_p_values_are_those_of_scipys_pooled_t_test(sizes: tuple[int, int]) -> None:
    """That of a loss over the share of the pooled test, 90%, where the other test says less."""
    rng = np.random.default_rng(sum(sizes))
    a, b = rng.normal(size=sizes[0]), rng.normal(size=sizes[1]) - 0.4
    found = difference(a.tolist(), b.tolist(), higher_is_better=True)
    known = stats.ttest_ind(a, b, alternative="greater")
    own = stats.t.sf((a.mean() - b.mean()) / (a.std(ddof=1) * math.sqrt(1 / len(a) + 1 / len(b))), len(a) - 1)
    assert found.p_worse == pytest.approx(min(1, known.pvalue / 0.9, own / 0.1), rel=1e-10)
    assert found.p_better == pytest.approx(1 - known.pvalue, rel=1e-10)
    interval = stats.ttest_ind(a, b).confidence_interval(0.95)
    assert found.loss + found.half_width == pytest.approx(interval.high, rel=1e-10)
    assert difference(a.tolist(), b.tolist(), higher_is_better=False).loss == pytest.approx(-found.loss)


def test_a_candidate_that_blows_up_at_some_seeds_does_not_hide_behind_its_own_spread() -> None:
    rng = np.random.default_rng(0)
    baseline, blown = rng.normal(2, 0.2, 20), 10 ** rng.uniform(1, 12, 20)
    assert stats.ttest_ind(blown, baseline, alternative="greater").pvalue > 0.05
    assert difference(baseline.tolist(), blown.tolist(), higher_is_better=False).p_worse < 1e-6
    huge = difference(baseline.tolist(), [1e200] * 20, higher_is_better=False)
    assert huge.p_worse == pytest.approx(0.0, abs=1e-12) and math.isfinite(huge.sd)


def test_a_difference_without_any_spread_is_certain_and_one_of_rounding_has_none() -> None:
    assert difference([2.0, 2.0, 2.0], [1.9], higher_is_better=True).p_worse == 0.0
    assert difference([2.0, 2.0, 2.0], [2.0], higher_is_better=True).p_worse == 1.0
    assert difference([2.0, 2.0 + 4e-16, 2.0], [2.0], higher_is_better=True).sd == 0.0


@pytest.mark.parametrize(("a", "b"), [([], [1.0, 2.0, 3.0]), ([1.0], [1.0])])
def test_too_few_values_are_refused(a: list[float], b: list[float]) -> None:
    with pytest.raises(ValueError, match="a test needs three together"):
        difference(a, b, higher_is_better=True)


@pytest.mark.parametrize(("baseline", "candidate", "comparisons"), [(5, 5, 1), (20, 5, 24), (20, 20, 24), (10, 3, 8)])
def test_the_smallest_loss_is_found_with_95_percent_probability(
    baseline: int, candidate: int, comparisons: int
) -> None:
    """10,000 normal samples, seed 0: the rate is at least 95% less three standard errors, 0.7%, and at most 97.5%,
    since the chances of two looks to miss a loss are added."""
    steps = looks(baseline, candidate)
    loss = smallest_loss(steps, comparisons=comparisons, **RULES)
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(baseline, 10_000)), rng.normal(size=(steps[-1].candidate, 10_000)) - loss
    share = 0.9 * steps[-1].share / comparisons
    last = stats.ttest_ind(a, b, alternative="greater").pvalue <= RULES["alarm"] * share
    first = stats.ttest_ind(a, b[:candidate], alternative="greater").pvalue <= 0.9 * RULES["screen"]
    assert 0.943 <= np.mean(last & first if len(steps) > 1 else last) <= 0.975
    assert power(steps, loss, comparisons=comparisons, **RULES) == pytest.approx(0.95, abs=1e-3)


def test_power_is_that_of_statistics_textbooks() -> None:
    """Twenty on either side, one-sided 5%, a loss of 0.8: 80% (the noncentral t distribution gives 0.799)."""
    assert Look(20, 20).power(0.8, 0.05) == pytest.approx(0.7995, abs=5e-4)
    assert Look(3, 3).power(1e6, 1e-6) == 1.0


def test_the_smallest_loss_scales_with_the_spread_and_never_falls_below_the_tolerance() -> None:
    steps = looks(20, 5)
    one = smallest_loss(steps, comparisons=24, **RULES)
    assert smallest_loss(steps, comparisons=24, sd=3.0, **RULES) == pytest.approx(3 * one)
    assert smallest_loss(steps, comparisons=24, sd=0.0, tolerance=0.2, **RULES) == 0.2
    assert smallest_loss(steps, comparisons=24, sd=1e-3, tolerance=0.2, **RULES) > 0.2
    more, fewer = (smallest_loss(looks(n, n), comparisons=24, **RULES) for n in (20, 5))
    assert more < one < fewer


def test_a_paired_loss_of_that_size_is_found_with_95_percent_probability() -> None:
    """10,000 normal samples of five pairs, seed 0: 95%, standard error 0.2%."""
    loss = smallest_paired_loss(5, 0.01, 0.1)
    logs = np.random.default_rng(0).normal(loss, 0.1, (5, 10_000))
    assert np.mean(stats.ttest_1samp(logs, 0, alternative="greater").pvalue <= 0.01) == pytest.approx(0.95, abs=0.007)


def test_failures_are_more_by_fishers_exact_test_and_any_is_where_there_were_none() -> None:
    assert fails_more_often(0, 20, 1, 5, 0.01) and not fails_more_often(0, 20, 0, 5, 0.01)
    known = stats.fisher_exact([[4, 1], [2, 18]], alternative="greater").pvalue
    assert fails_more_often(2, 20, 4, 5, known * 1.001) and not fails_more_often(2, 20, 4, 5, known * 0.999)


def _table(rng: np.random.Generator, seeds: range, loss: float = 0.0) -> list:
    """Records of three methods, whose eight scores are half of them correlated."""
    found = []
    for seed in seeds:
        for method in ("a", "b", "c"):
            noise = rng.normal(size=8)
            noise[:4] = 0.9 * noise[0] + math.sqrt(1 - 0.81) * noise[:4]
            values = {f"m{i}": 10 + float(value) for i, value in enumerate(noise)}
            values["m7"] -= loss if method == "a" else 0.0
            found.append(scored(method, seed, values))
    return found


def _closed(rng: np.random.Generator, loss: float = 0.0) -> set[str]:
    """The regressions of a random table of 24 scores, as ``gate --run`` finds them."""
    baseline, candidate = _table(rng, range(20)), _table(rng, range(100, 120), loss)
    first, _ = judge(baseline, [r for r in candidate if r.cell.seed < 105], [], Rules(), escalates=True)
    suspects = {row.method for row in first if row.verdict == "inconclusive"}
    last, _ = judge(
        baseline,
        [r for r in candidate if r.cell.seed < 105 or r.cell.method in suspects],
        [],
        Rules(),
        escalates=True,
    )
    return {f"{row.method}/{row.metric}" for row in (*first, *last) if row.verdict == "regression"}


@pytest.mark.slow
def test_one_table_in_a_hundred_has_a_false_alarm_and_a_loss_of_two_deviations_is_found() -> None:
    """3000 tables without a change, seed 1: at most 1% and three standard errors, 0.55%, of them alarm. 400 with a
    loss of two standard deviations, seed 2: found in 95% at least."""
    rng = np.random.default_rng(1)
    alarms = sum(bool(_closed(rng)) for _ in range(3000))
    assert 3 <= alarms <= 46
    rng = np.random.default_rng(2)
    assert sum("a/m7" in _closed(rng, 2.0) for _ in range(400)) >= 380
