"""Verdicts on made-up records where the truth is known, and how often they are wrong where nothing is to be found."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from benchsuite.errors import RecipeError
from benchsuite.harness.rows import RESULT_COLUMNS, TIMING_COLUMNS
from benchsuite.results.claims import Verdict, check, judge, shared_stand_in
from benchsuite.results.expressions import parse_claim, parse_expression
from benchsuite.results.scores import Scores
from benchsuite.results.statistics import decide

Values = Sequence[float | Mapping[str, Any] | None]


def scores(
    timings: Mapping[str, Sequence[float]] | None = None, named: Mapping[str, Any] | None = None, **rows: Values
) -> Scores:
    """``psnr_glo=[1, None]`` is metric psnr of method glo: 1 for seed 0, a cell that failed for seed 1."""
    table = []
    for name, values in rows.items():
        metric, method = name.split("_")
        for seed, value in enumerate(values):
            row: dict[str, Any] = dict.fromkeys(RESULT_COLUMNS, "")
            row |= {"metric": metric, "method": method, "dataset": "digits", "seed": seed, "status": "ok"}
            failed = {"value": None, "status": "error", "reason": "it broke"}
            row |= failed if value is None else value if isinstance(value, Mapping) else {"value": value}
            table.append(row)
    seconds = None
    if timings is not None:
        times = [
            {
                "method": method,
                "dataset": "digits",
                "seed": seed,
                "status": "ok",
                "phase": "train",
                "seconds": abs(value),
            }
            | {"environment": "e", "device": "cpu", "threads": 1, "contended": value < 0}
            for method, values in timings.items()
            for seed, value in enumerate(values)
        ]
        seconds = pd.DataFrame(times, columns=TIMING_COLUMNS)
    return Scores.of(pd.DataFrame(table, columns=RESULT_COLUMNS), seconds, **(named or {}))


def verdict(text: str, dataset: str = "digits", **rows: Any) -> Verdict:
    return judge(parse_claim(text), scores(**rows), dataset)


def test_a_difference_is_judged_by_students_interval_of_the_paired_differences() -> None:
    glo, vae = [24.0, 30.0, 27.5, 21.0], [22.1, 27.6, 25.6, 19.3]  # seeds differ more than methods do
    found = verdict("psnr[glo] > psnr[vae]", psnr_glo=glo, psnr_vae=vae)
    expected = stats.ttest_rel(glo, vae).confidence_interval(0.95)
    assert (found.outcome, found.reason, found.seeds) == ("holds", "", (0, 1, 2, 3))
    (part,) = found.parts
    assert (part.low, part.high) == (pytest.approx(expected.low), pytest.approx(expected.high))
    assert (part.text, part.bound) == ("psnr[glo] > psnr[vae]", 0)
    assert part.effect == pytest.approx(np.mean(glo) - np.mean(vae))
    assert verdict("psnr[glo] < psnr[vae]", psnr_glo=glo, psnr_vae=vae).outcome == "fails"
    assert verdict("psnr[vae] < psnr[glo]", psnr_glo=glo, psnr_vae=vae).outcome == "holds"
    shuffled = verdict("psnr[glo] > psnr[vae]", psnr_glo=glo, psnr_vae=vae[::-1])
    assert (shuffled.outcome, shuffled.reason) == (
        "inconclusive",
        "the 95% interval for psnr[glo] > psnr[vae] contains 0",
    )


@pytest.mark.parametrize("text", ["psnr[glo] > 20", "20 < psnr[glo]", "psnr[glo] > 2 * 10"])
def test_beside_a_number_stands_the_other_sides_own_interval(text: str) -> None:
    values = [24.0, 25.0, 27.0]
    expected = stats.ttest_1samp(values, 20).confidence_interval(0.95)
    found = verdict(text, psnr_glo=values)
    (part,) = found.parts
    assert (found.outcome, part.effect, part.bound) == ("holds", pytest.approx(np.mean(values)), 20)
    assert (part.low, part.high) == (pytest.approx(expected.low), pytest.approx(expected.high))


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("pag[after] / pag[before] < 0.7", "holds"),
        ("pag[after] / pag[before] > 0.7", "fails"),
        ("0.5 < pag[after] / pag[before] < 0.7", "inconclusive"),
        ("-40 < pag[after] - 0.5 * pag[before] < 40", "holds"),
        ("log10(pag[before]) - log10(pag[after]) > 0.1", "holds"),
        ("pag[after] < pag[before] < 1000", "holds"),
        ("1000 > pag[before] > pag[after]", "holds"),
        ("pag[before] < pag[after] < 1000", "fails"),
    ],
)
def test_verdicts_are_right_where_the_truth_is_known(text: str, outcome: str) -> None:
    # after is about half of before, by .5 to .56 of it
    assert verdict(text, pag_before=[100.0, 140, 180], pag_after=[50.0, 74, 100]).outcome == outcome


def test_a_tie_satisfies_what_allows_equality_and_violates_the_others() -> None:
    for comparison, outcome in {">": "fails", "<": "fails", ">=": "holds", "<=": "holds"}.items():
        for values in ([20.0, 20, 20], [20.0, 21, 22]):
            found = verdict(f"psnr[pca] {comparison} psnr[same]", psnr_pca=values, psnr_same=values)
            assert found.outcome == outcome
            assert found.parts[0].low == found.parts[0].high == 0
            assert found.reason == "no spread over seeds, so that the interval is a point"
        assert verdict(f"psnr[pca] {comparison} 20", psnr_pca=[20.0, 20, 20]).outcome == outcome


def test_rounding_is_no_difference() -> None:
    third = [1 / 3, 1.1 / 3, 1.2 / 3]
    nearly = [value * (1 + 5e-10) for value in third]
    apart = [value * (1 + 5e-9) for value in third]
    assert verdict("psnr[a] < psnr[b]", psnr_a=third, psnr_b=nearly).outcome == "fails"
    assert verdict("psnr[a] >= psnr[b]", psnr_a=third, psnr_b=nearly).outcome == "holds"
    assert verdict("psnr[a] < psnr[b]", psnr_a=third, psnr_b=apart).outcome == "holds"
    rows = {"psnr_a": [0.1, 0.1, 0.1], "psnr_b": [0.2, 0.2, 0.2], "psnr_c": [0.3, 0.3, 0.3]}
    assert 0.1 + 0.2 - 0.3 > 0
    for text in ("psnr[a] + psnr[b] - psnr[c] > 0", "psnr[a] + psnr[b] > psnr[c]", "(psnr[a] + psnr[b]) / psnr[c] > 1"):
        assert verdict(text, **rows).outcome == "fails"
    assert verdict("(psnr[a] + psnr[b] - psnr[c]) / psnr[a] > 0", **rows).outcome == "fails"
    assert verdict("log((psnr[a] + psnr[b]) / psnr[c]) <= 0", **rows).outcome == "holds"
    assert verdict("update[sgd] < 1e-10", update_sgd=[3e-14, 8e-14, 2e-14]).outcome == "holds"


def test_seeds_without_a_value_are_left_out_and_named() -> None:
    diverged = {"value": None, "status": "diverged", "reason": "NaN in the loss"}
    found = verdict("psnr[glo] > psnr[vae]", psnr_glo=[5.0, 6, diverged, 7, 8], psnr_vae=[1.0, None, 2, 4, 4.5])
    assert (found.outcome, found.seeds) == ("holds", (0, 3, 4))
    assert found.reason == (
        "without seed 1: vae on digits: error: it broke; without seed 2: glo on digits: diverged: NaN in the loss"
    )
    expected = stats.ttest_rel([5.0, 7, 8], [1.0, 4, 4.5]).confidence_interval(0.95)
    assert found.parts[0].low == pytest.approx(expected.low)
    nan = {"value": math.nan, "status": "error", "reason": "the metric returned NaN"}
    found = verdict("psnr[glo] > 1", psnr_glo=[nan, 6.0, nan, 6.5, 7])
    assert (found.outcome, found.reason) == (
        "holds",
        "without seeds 0, 2: glo on digits: error: the metric returned NaN",
    )


@pytest.mark.parametrize("values", [[5.0], [5.0, 5.1], [5.0, 5.1, None]])
def test_fewer_than_three_seeds_decide_nothing(values: list[float | None]) -> None:
    found = verdict("psnr[glo] > 1", psnr_glo=values)
    n = sum(value is not None for value in values)
    assert (found.outcome, len(found.seeds)) == ("inconclusive", n)
    assert found.reason.startswith(f"{n} seed{'s' if n > 1 else ''}; an interval needs 3")
    assert (found.parts[0].low, found.parts[0].high) == (None, None)
    assert ("without seed 2: glo on digits: error: it broke" in found.reason) == (len(values) > n)


def test_an_infinite_score_leaves_the_claim_open() -> None:
    found = verdict("psnr[glo] > psnr[vae]", psnr_glo=[50.0, 51, math.inf, 52, 53], psnr_vae=[20.0, 20, 20, 20, 20])
    assert (found.outcome, found.seeds) == ("inconclusive", (0, 1, 3, 4))
    assert found.reason == "its scores have no comparable value: without seed 2: psnr of glo is infinite"
    assert found.parts[0].low is not None and found.parts[0].low > 0
    found = verdict("psnr[glo] > 1", psnr_glo=[math.inf] * 3)
    assert (found.outcome, found.parts) == ("inconclusive", ())
    assert found.reason == "its scores have no comparable value: psnr of glo is infinite"
    # what is missing anyway leaves nothing open
    assert verdict("psnr[a] > psnr[b]", psnr_a=[9.0, 9, 8, math.inf], psnr_b=[1.0, 2, 2, None]).outcome == "holds"


def test_a_division_by_zero_leaves_the_claim_open() -> None:
    found = verdict("fd[a] / fd[b] > 2", fd_a=[9.0, 9, 8, 1], fd_b=[1.0, 2, 2, 0])
    assert (found.outcome, found.seeds) == ("inconclusive", (0, 1, 2))
    assert found.reason == "its scores have no comparable value: without seed 3: division by zero"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("psnr[glo] > psnr[gan]", "no method 'gan' in this scale"),
        ("psnr[glo, celeba-64] > 1", "celeba-64 is not part of this scale"),
        ("psnr[glo] > psnr[vae]", "vae on digits: error: it broke"),
        ("fd[glo] > 1", "glo on digits: skipped: no extractor"),
        ("ssim[glo] > 1", "glo on digits: no score ssim"),
        ("seconds[glo] > 1", "glo on digits: its training was not timed"),
        ("corr(psnr, fd) > 0", "corr(psnr, fd) needs 4 methods; there are 0 methods with both scores"),
    ],
)
def test_a_claim_without_any_seed_is_not_run_and_says_why(text: str, reason: str) -> None:
    skipped = {"value": None, "status": "skipped", "reason": "no extractor"}
    found = verdict(text, psnr_glo=[5.0, 6, 7], psnr_vae=[None] * 3, fd_glo=[skipped] * 3)
    assert (found.outcome, found.parts, found.seeds) == ("not run", (), ())
    assert found.reason.startswith(reason)


def test_reasons_that_differ_by_seed_are_all_named() -> None:
    found = verdict("psnr[glo] > psnr[vae]", psnr_glo=[5.0, None, 7], psnr_vae=[None, 1.0, None])
    assert found.outcome == "not run"
    assert (
        found.reason
        == "without seeds 0, 2: vae on digits: error: it broke; without seed 1: glo on digits: error: it broke"
    )
    assert verdict("psnr[glo] > 1").reason == "no cell has been run"


def test_a_claim_on_the_papers_dataset_goes_by_its_stand_in() -> None:
    rows: dict[str, Any] = {"psnr_glo": [5.0, 6, 7], "named": {"stand_ins": {"mnist": "digits"}}}
    assert verdict("psnr[glo] > 1", dataset="mnist", **rows).outcome == "holds"
    assert verdict("psnr[glo, mnist] > 1", dataset="", **rows).outcome == "holds"
    assert verdict("psnr[glo] > 1", dataset="svhn", **rows).reason == "svhn is not part of this scale"


def test_what_one_dataset_stands_in_for_is_not_compared_with_itself() -> None:
    both = {"mnist": "digits", "celeba": "digits"}
    rows: dict[str, Any] = {"psnr_g": [5.0, 6, 7], "named": {"stand_ins": both}}
    why = "mnist and celeba both go by digits at this scale"
    for text, dataset in (("psnr[g, mnist] > psnr[g, celeba]", ""), ("psnr[g, mnist] >= psnr[g]", "celeba")):
        found = verdict(text, dataset=dataset, **rows)
        assert (found.outcome, found.reason, found.parts, found.seeds) == ("not run", why, (), ())
    assert verdict("psnr[g, mnist] > psnr[g]", **rows).reason == "mnist and digits both go by digits at this scale"
    assert verdict("psnr[g, mnist] > 1", **rows).outcome == "holds"
    assert shared_stand_in(parse_expression("psnr[g, mnist] - psnr[g, celeba]"), scores(**rows), "") == why
    assert shared_stand_in(parse_expression("psnr[g, mnist] - psnr[g, svhn]"), scores(**rows), "") == ""


def test_seconds_of_training_are_compared_without_contended_cells() -> None:
    rows = {"psnr_a": [1.0] * 4, "psnr_b": [1.0] * 4}
    found = verdict("seconds[a] < seconds[b] / 2", timings={"a": [1, 1.1, 1.2, 1], "b": [3, 3, 3.3, 3.2]}, **rows)
    assert found.outcome == "holds"
    found = verdict("seconds[a] < seconds[b]", timings={"a": [1, 1.1, 1.2, 1], "b": [3, 3, 3.3, -3.2]}, **rows)
    assert (found.outcome, found.seeds) == ("holds", (0, 1, 2))
    assert found.reason.startswith("without seed 3: b on digits: its times are those of a contended cell")


def test_a_correlation_is_judged_over_seeds() -> None:
    rows: dict[str, Values] = {f"pag_m{i}": [i, i + 0.1, i - 0.1] for i in range(6)}
    rows |= {f"fd_m{i}": [i**2, 5 - i + 3 * (i > 3), i] for i in range(6)}
    found = verdict("corr(pag, fd) > 0", **rows)
    expected = [stats.spearmanr(range(6), [rows[f"fd_m{i}"][seed] for i in range(6)]).statistic for seed in range(3)]
    assert found.outcome == "inconclusive"
    assert found.parts[0].effect == pytest.approx(np.mean(expected))


def test_what_has_to_be_known_of_a_score_stands_beside_the_verdict() -> None:
    known = [{"value": value, "reason": "few samples for a covariance"} for value in (1.0, 2.0, 1.5)]
    found = verdict("fd[glo] < fd[vae]", fd_glo=known, fd_vae=[9.0, 9.5, 10])
    assert (found.outcome, found.reason) == ("holds", "caution for glo: few samples for a covariance")
    others = {f"{metric}_m{i}": [i + 1.0] * 3 for metric in ("pag", "fd") for i in range(3)}
    found = verdict("corr(pag, fd) >= -1", fd_glo=known, pag_glo=[0.0, 0, 0], **others)
    assert found.outcome == "holds"
    assert found.reason.endswith("caution for glo: few samples for a covariance")


def test_cautions_of_seeds_that_do_not_decide_are_left_out() -> None:
    glo = [{"value": value, "reason": "copies" if seed == 1 else ""} for seed, value in enumerate([5.0, 6, 7, 8])]
    found = verdict("psnr[glo] > psnr[vae]", psnr_glo=glo, psnr_vae=[1.0, None, 2, 2])
    assert (found.outcome, found.reason) == ("holds", "without seed 1: vae on digits: error: it broke")


def test_a_chain_fails_only_at_the_level_that_its_parts_share() -> None:
    b = [-0.31, -0.13, -0.38, -0.01, -0.48]  # below 0 by its 95% interval, not by its 97.5%
    rows = {"psnr_a": [0.0] * 5, "psnr_b": b, "psnr_c": [9.0, 9.2, 9.1, 9, 9.3]}
    assert stats.ttest_1samp(b, 0).confidence_interval(0.95).high < 0
    assert stats.ttest_1samp(b, 0).confidence_interval(0.975).high > 0
    assert verdict("psnr[a] < psnr[b]", **rows).outcome == "fails"
    found = verdict("psnr[a] < psnr[b] < psnr[c]", **rows)
    assert found.outcome == "inconclusive"
    assert found.reason == "psnr[a] < psnr[b] is violated at 95%, not at the 97.5% of a chain"
    # two bounds of one quantity are one comparison with an interval
    assert verdict("0 < psnr[b] < 1", **rows).outcome == "fails"


def test_a_level_is_between_zero_and_one() -> None:
    strict = judge(parse_claim("psnr[a] > 0"), scores(psnr_a=[1.0, 2.0, 3.0]), "digits", level=0.99)
    assert strict.outcome == "inconclusive"
    assert judge(parse_claim("psnr[a] > 0"), scores(psnr_a=[1.0, 2.0, 3.0]), "digits", level=0.8).outcome == "holds"
    with pytest.raises(ValueError, match="between 0 and 1"):
        judge(parse_claim("psnr[a] > 0"), scores(psnr_a=[1.0]), "digits", level=95)


NUMBERS = st.one_of(st.none(), st.sampled_from([0.0, 1.0, math.inf, -math.inf, 1e308, 5e-324]), st.floats(-9, 9))
CLAIMS = ["m[a] > m[b]", "0 < m[a] < m[b]", "m[a] / m[b] <= 1", "log(m[a]) * 1e99 < m[b]", "sqrt(m[a]) >= 0"]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(CLAIMS), st.lists(st.tuples(NUMBERS, NUMBERS), max_size=5))
def test_every_table_of_numbers_has_a_verdict_with_its_seeds(text: str, pairs: list[tuple[float, float]]) -> None:
    found = verdict(text, m_a=[a for a, _ in pairs], m_b=[b for _, b in pairs])
    assert (found.outcome in ("holds", "fails")) <= (len(found.seeds) >= 3)
    assert found.reason or found.outcome in ("holds", "fails")
    assert bool(found.parts) == bool(found.seeds)
    numbers = [number for part in found.parts for number in (part.effect, part.low, part.high, part.bound)]
    assert not any(number is not None and math.isnan(number) for number in numbers)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("psnr[gol] > 1", "no method named 'gol'; did you mean 'glo'? known: glo, vae (in 'psnr[gol] > 1')"),
        ("psrn[glo] > 1", "no metric named 'psrn'; did you mean 'psnr'?"),
        ("psnr[glo, mnits] > 1", "no dataset named 'mnits'; did you mean 'mnist'?"),
        ("corr(psnr, fdd) > 0", "no metric named 'fdd'"),
    ],
)
def test_a_misspelt_label_is_found_without_running(text: str, says: str) -> None:
    metrics = ["psnr", "psnr[codes_by=lap1]", "fd"]
    with pytest.raises(RecipeError) as caught:
        check(parse_claim(text), ["glo", "vae"], ["mnist", "digits"], metrics)
    assert says in str(caught.value)


def test_rows_and_short_names_are_held_to_what_is_asked_for() -> None:
    metrics, names = ["psnr", "psnr[codes_by=lap1]"], {"fifth": "psnr[codes_by=lap1].p5", "lap1": "psnr[codes_by=lap1]"}
    of = parse_expression("psnr.p5[glo] + fifth[glo, digits] + lap1.p5[glo] + seconds[glo]")
    check(of, ["glo"], ["digits"], metrics, names)
    with pytest.raises(RecipeError, match=r"no metric named 'ssim.p5'"):
        check(of, ["glo"], ["digits"], metrics, names | {"other": "ssim.p5"})


TRIALS = 20_000
FOUR_ERRORS = {rate: 4 * math.sqrt(rate * (1 - rate) / TRIALS) for rate in (0.025, 0.05)}


def rates(differences: np.ndarray, quantities: int = 1) -> tuple[float, float]:
    """How often a claim of strict parts holds and fails."""
    holds, fails = decide(differences, strict=[True] * len(differences), quantities=quantities)
    return float(holds.mean()), float(fails.mean())


@pytest.mark.parametrize("n", [3, 5, 10])
def test_without_an_effect_verdicts_are_wrong_at_the_stated_rate(n: int) -> None:
    """20,000 trials from a fixed seed; each assertion allows four standard errors."""
    draws = np.random.default_rng(n).normal(size=(4, TRIALS, n))
    holds, fails = rates(draws[:1])
    assert abs(holds - 0.025) <= FOUR_ERRORS[0.025]
    assert abs(fails - 0.025) <= FOUR_ERRORS[0.025]
    for sides in (draws[:3], draws):  # a < b < c, a < b < c < d, all equal in truth
        holds, fails = rates(np.diff(sides, axis=0), quantities=len(sides) - 1)
        assert holds <= 0.025 + FOUR_ERRORS[0.025]
        assert fails <= 0.025 + FOUR_ERRORS[0.025]
    far = np.stack([draws[1] - draws[0], draws[2] + 100 - draws[1]])  # a = b, and c far above
    assert rates(far, quantities=2)[0] <= 0.025 + FOUR_ERRORS[0.025]


@pytest.mark.parametrize("n", [3, 5, 10])
def test_a_margin_fails_falsely_as_seldom_as_its_interval_misses(n: int) -> None:
    """1 < x < 2 at x = 1: 2.5% where the noise is small beside the margin, never more than 5%. As above."""
    noise = np.random.default_rng(10 + n).normal(size=(TRIALS, n))
    for width, most in ((20.0, 0.025), (1.0, 0.05), (0.01, 0.05)):
        holds, fails = rates(np.stack([noise, width - noise]))
        assert holds <= 0.025 + FOUR_ERRORS[0.025]
        assert fails <= most + FOUR_ERRORS[most]


def test_a_larger_effect_and_more_seeds_are_found_more_often() -> None:
    draws = np.random.default_rng(20).normal(size=(1, TRIALS, 10))
    power = [[rates(draws[..., :n] + effect)[0] for effect in (0, 0.5, 1, 1.5, 2)] for n in (3, 5, 10)]
    assert (np.diff(power, axis=1) > 0).all()
    assert (np.diff([row[1:4] for row in power], axis=0) > 0).all()
    expected = [1 - stats.nct.cdf(stats.t.ppf(0.975, n - 1), n - 1, 1 * math.sqrt(n)) for n in (3, 5, 10)]
    assert [row[2] for row in power] == pytest.approx(expected, abs=4 * math.sqrt(0.25 / TRIALS))


def test_too_few_seeds_or_infinity_are_no_matter_of_decision() -> None:
    for differences in (np.zeros((1, 2)), np.array([[1.0, 2.0, math.inf]])):
        with pytest.raises(ValueError, match="at least 3 seeds, and finite numbers"):
            decide(differences, strict=[True])


def test_the_printed_code_finds_the_printed_rates(capsys: pytest.CaptureFixture[str]) -> None:
    """Within four standard errors of 20,000 trials, so that another version of numpy may draw others."""
    page = (Path(__file__).parents[1] / "docs" / "claims.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile(code, "docs/claims.md", "exec", dont_inherit=True), {})
    printed = [float(number) for number in re.findall(r"(?<= )[0-9.]+(?= / )|(?<= / )[0-9.]+", capsys.readouterr().out)]
    rows = [re.findall(r"([0-9.]+) / ([0-9.]+)", line) for line in page.splitlines() if line.startswith("| ")]
    table = [float(number) for n in range(3) for row in rows if row for number in row[n]]
    assert len(table) == 36
    errors = [4 * 100 * math.sqrt(max(rate, 0.1) * (100 - rate) / 100**2 / TRIALS) + 0.1 for rate in table]
    assert all(abs(a - b) <= error for a, b, error in zip(printed, table, errors, strict=True))
