"""Expressions: what parses, what they compute, and what they say where they cannot."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from benchsuite.errors import RecipeError
from benchsuite.harness.rows import RESULT_COLUMNS, TIMING_COLUMNS
from benchsuite.results.expressions import (
    datasets_named_in,
    datasets_used_by,
    methods_named_in,
    metrics_named_in,
    parse_claim,
    parse_expression,
    selectors,
    series,
)
from benchsuite.results.grammar import Selector
from benchsuite.results.scores import Scores, check_names

PIECES = ["psnr[glo]", "fd[dcgan, digits]", "corr(a, b)", "(", ")", "[", "]", ",", "-", "+", "*", "/", "<", "<=", ">"]
PIECES += ["=", "1", "1e-4", ".5", "log", "min(", "abs(", "moments.mean.0", " ", "\n", "x", "é", "²", "1e999"]
PIECES += ["__import__('os')"]


def result(metric: str, method: str, seed: int, value: float | None, **fields: Any) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(RESULT_COLUMNS, "")
    row |= {"metric": metric, "method": method, "dataset": "digits", "seed": seed, "value": value, "status": "ok"}
    return row | {"fingerprint": "f0", "cell": f"{method}-{seed}"} | fields


def timing(method: str, seed: int, seconds: float, phase: str = "train", **fields: Any) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(TIMING_COLUMNS, "")
    row |= {"method": method, "dataset": "digits", "seed": seed, "status": "ok", "phase": phase, "seconds": seconds}
    return row | {"environment": "e0", "device": "cpu", "threads": 1, "contended": False} | fields


def scores_of(*rows: dict[str, Any], timings: list[dict[str, Any]] | None = None, **named: Any) -> Scores:
    seconds = None if timings is None else pd.DataFrame(timings, columns=TIMING_COLUMNS)
    return Scores.of(pd.DataFrame(list(rows), columns=RESULT_COLUMNS), seconds, **named)


def value_of(text: str, *rows: dict[str, Any], **named: Any) -> float:
    return series(parse_expression(text), scores_of(*rows, **named), "digits").values[0]


def why_none(text: str, *rows: dict[str, Any], **named: Any) -> str:
    found = series(parse_expression(text), scores_of(*rows, **named), "digits")
    assert not found.values
    return found.why_missing


AB = (result("psnr", "a", 0, 6.0), result("psnr", "b", 0, 1.5), result("moments.mean.0", "a", 0, 0.25))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("psnr[a] - psnr[b] - 1", 3.5),
        ("psnr[a] - (psnr[b] - 1)", 5.5),
        ("psnr[a] + 2 * psnr[b]", 9.0),
        ("psnr[a] / psnr[b] / 2", 2.0),
        ("-psnr[a] * -2", 12.0),
        ("--psnr[a]", 6.0),
        ("2 - -psnr[a]", 8.0),
        ("abs(-psnr[a])", 6.0),
        ("log(psnr[a])", math.log(6)),
        ("10 * log10(psnr[a] / psnr[b])", 10 * math.log10(4)),
        ("sqrt(psnr[a] * psnr[b])", 3.0),
        ("min(psnr[a], psnr[b], 1e-4)", 1e-4),
        ("max(psnr[a], psnr[b])", 6.0),
        ("mean(psnr[a], psnr[b])", 3.75),
        ("moments.mean.0[a]-psnr[b, digits]", -1.25),
        (" psnr [ a , digits ] ", 6.0),
        (".5e1 + 1.", 6.0),
    ],
)
def test_expressions_compute_what_arithmetic_says(text: str, expected: float) -> None:
    assert value_of(text, *AB) == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize(
    "name", ["moments.mean.0", "posterior_ks.x=1", "reconstruction_curve.trained.400", "noise_error.1e-4", "psnr.p5"]
)
def test_a_row_of_a_metric_is_named_with_its_tail(name: str) -> None:
    assert value_of(f"1-{name}[glo-2.x+y]-1", result(name, "glo-2.x+y", 0, 3.0)) == -3.0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "here stands a number, metric"),
        ("psnr", "'psnr' says no method; write psnr[method] or psnr[method, dataset]"),
        ("psnr[glo", "inside [ ] stand the labels"),
        ("psnr[codes_by=lap1][glo]", "a metric with parameters goes by a short name from [names]"),
        ("psnr[glo] psnr[vae]", "at 'psnr[vae]', character 11: after a value comes one of + - * /"),
        ("psnr[glo] == 1", "equality is no claim; give a margin"),
        ("(psnr[glo]", "')' is missing"),
        ("sin(psnr[glo])", "no function 'sin'; there are abs, log"),
        ("min(psnr[glo])", "min takes two values or more"),
        ("mean(psnr[glo])", "mean takes two values or more, of one seed"),
        ("log(psnr[glo], 2)", "log takes one value"),
        ("corr(psnr[glo], fd)", "',' is missing"),
        ("1e999 * psnr[glo]", "1e999 is too large"),
        ("psnr[glo] > 1", "a comparison makes a claim"),
        ("(" * 30 + "1" + ")" * 30, "nested more than 20 deep"),
        ("-" * 30 + "1", "nested more than 20 deep"),
        ("1 + " * 200 + "1", "text of at most 500 characters"),
        ("psnr[glo].real", "after a value comes one of"),
        ("__import__('os')", "no function '__import__'"),
    ],
)
def test_what_does_not_parse_is_refused_with_what_is_allowed(text: str, says: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_expression(text)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("psnr[glo]", "compares nothing; a claim has one of < <= > >="),
        ("1 < 2 < psnr[glo]", "are both numbers"),
        ("psnr[glo] > 1 / 0", "'1 / 0' is no number: division by zero"),
        ("psnr[glo] < > 1", "here stands a number"),
        ("psnr[glo] <", "does not parse at its end"),
        ("psnr[glo] != 1", "equality is no claim"),
    ],
)
def test_what_is_no_claim_is_refused(text: str, says: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_claim(text)
    assert says in str(caught.value)


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.text(max_size=60), st.lists(st.sampled_from(PIECES), max_size=40).map("".join)))
def test_any_text_parses_or_is_refused_and_nothing_else(text: str) -> None:
    for parse in (parse_expression, parse_claim):
        try:
            parsed = parse(text)
        except RecipeError:
            continue
        assert parse(str(parsed)) == parsed


@settings(max_examples=200, deadline=None)
@given(st.recursive(st.integers(0, 9).map(str), lambda inner: st.tuples(inner, st.sampled_from("+-*"), inner).map(
    lambda parts: f"({parts[0]}){parts[1]}{parts[2]}"), max_leaves=8))  # fmt: skip
def test_numbers_come_out_as_in_python(text: str) -> None:
    assert value_of(text, *AB) == eval(text)  # integers, brackets and three signs of our own making


def test_what_an_expression_needs_is_known_before_a_run() -> None:
    claim = parse_claim("psnr[glo, mnist] > psnr[vae, celeba] + corr(pag, fd)")
    assert selectors(claim) == (Selector("psnr", "glo", "mnist"), Selector("psnr", "vae", "celeba"))
    assert methods_named_in(claim) == ("glo", "vae")
    assert metrics_named_in(claim) == ("psnr", "pag", "fd")
    assert datasets_named_in(claim) == ()
    assert datasets_named_in(parse_claim("psnr[glo, mnist] > psnr[vae, celeba]")) == ("mnist", "celeba")
    assert datasets_named_in(parse_claim("psnr[glo, mnist] > psnr[vae]")) == ()
    assert datasets_used_by(parse_claim("psnr[glo, mnist] > psnr[vae]"), "celeba") == ("mnist", "celeba")
    assert datasets_used_by(claim, "svhn") == ("mnist", "celeba", "svhn")


def test_short_names_stand_for_rows_and_their_tails() -> None:
    rows = result("psnr[codes_by=lap1]", "a", 0, 2.0), result("psnr[codes_by=lap1].p5", "a", 0, 1.0)
    names = {"psnr_lap1": "psnr[codes_by=lap1]", "fifth": "psnr[codes_by=lap1].p5"}
    assert value_of("psnr_lap1[a] + 10 * psnr_lap1.p5[a] + 100 * fifth[a]", *rows, names=names) == 112
    for name in ("seconds", "a.b", "1a", ""):
        with pytest.raises(RecipeError, match="is no short name"):
            scores_of(*rows, names={name: "psnr"})
        with pytest.raises(RecipeError, match="is no short name"):
            check_names({name: "psnr"})


def test_a_short_name_is_not_that_of_another_metric_beside_it() -> None:
    with pytest.raises(RecipeError, match="'ssim' is short for 'psnr' and a metric itself"):
        check_names({"ssim": "psnr"}, ["psnr", "ssim"])
    check_names({"ssim": "ssim"}, ["psnr", "ssim"])
    check_names({"ssim": "ssim[window=7]"}, ["psnr", "ssim[window=7]"])  # as where one scale has other parameters


def test_a_dataset_goes_by_its_own_label_or_by_that_of_its_stand_in() -> None:
    rows = result("psnr", "a", 0, 2.0), result("psnr", "a", 0, 3.0, dataset="mnist")
    stand_ins = {"mnist": "digits", "celeba-64": "digits", "lsun": "patches"}
    assert value_of("psnr[a, mnist]", *rows, stand_ins=stand_ins) == 3
    assert value_of("psnr[a, celeba-64]", *rows, stand_ins=stand_ins) == 2
    assert why_none("psnr[a, svhn]", *rows, stand_ins=stand_ins) == "svhn is not part of this scale"
    assert why_none("psnr[a, lsun]", *rows, stand_ins=stand_ins) == (
        "patches, which stands in for lsun, is not part of this scale"
    )


def test_what_is_missing_says_why() -> None:
    broken = {"status": "diverged", "reason": "NaN in the loss"}
    rows = [result("psnr", "a", 0, 2.0), result("psnr", "b", 0, None, **broken), result("fd", "b", 0, None, **broken)]
    rows += [result("fd", "a", 0, None, status="skipped", reason="no extractor")]
    rows += [result("psnr[rows=4]", "a", 0, None, status="error", reason="KeyError: 'x'")]
    assert why_none("psnr[c]", *rows) == "no method 'c' in this scale"
    assert why_none("psnr[b]", *rows) == "b on digits: diverged: NaN in the loss"
    assert why_none("psnr.p5[b]", *rows) == "b on digits: diverged: NaN in the loss"
    assert why_none("fd.inf[a]", *rows) == "a on digits: skipped: no extractor"
    assert why_none("x.p5[a]", *rows, names={"x": "psnr[rows=4]"}) == "a on digits: error: KeyError: 'x'"
    assert why_none("psnr.p5[a]", *rows) == "a on digits: no score psnr.p5"
    assert why_none("seconds[b]", *rows, timings=[]) == "b on digits: diverged: NaN in the loss"
    assert why_none("seconds[a]", *rows, timings=[]) == "a on digits: its training was not timed"
    other = result("psnr", "a", 1, 2.0, dataset="patches"), result("psnr", "b", 0, 2.0)
    assert why_none("psnr[a]", *other) == "a on digits: no record; it has not been run, or was cut off"


def test_what_was_planned_and_has_no_record_is_missing() -> None:
    planned = {"methods": ["b", "a"], "datasets": ["digits", "patches"], "seeds": [0, 1]}
    scores = scores_of(result("psnr", "a", 0, 2.0), **planned)
    assert (scores.methods, scores.datasets, scores.seeds) == (("b", "a"), ("digits", "patches"), (0, 1))
    found = series(parse_expression("psnr[a]"), scores, "digits")
    why = "no record; it has not been run, or was cut off"
    assert (found.values, found.missing) == ({0: 2.0}, {1: f"a on digits: {why}"})
    assert series(parse_expression("psnr[b]"), scores, "patches").why_missing == f"b on patches: {why}"


def test_the_tables_of_a_run_read_from_their_files_say_the_same(tmp_path: Any) -> None:
    rows = [
        result("psnr", "a", 0, 2.0),
        result("psnr", "b", 0, None, status="error", reason="x"),
        result("psnr", "c", 0, math.inf),
    ]
    times = [timing("a", 0, 1.5), timing("c", 0, 9.0, contended=True)]
    found = []
    for frames in ("made", "read"):
        results, timings = pd.DataFrame(rows, columns=RESULT_COLUMNS), pd.DataFrame(times, columns=TIMING_COLUMNS)
        if frames == "read":
            results.to_csv(tmp_path / "r.csv", index=False)
            timings.to_csv(tmp_path / "t.csv", index=False)
            results, timings = pd.read_csv(tmp_path / "r.csv"), pd.read_csv(tmp_path / "t.csv")
        scores = Scores.of(results, timings)
        where = [(metric, method, "digits", 0) for metric in ("psnr", "seconds") for method in "abc"]
        found.append([(str(scores.value(*w)), scores.why_missing(*w), scores.caution(*w)) for w in where])
    assert found[0] == found[1]
    assert [value for value, _, _ in found[0]] == ["2.0", "nan", "inf", "1.5", "nan", "nan"]


def test_seconds_are_those_of_training_and_all_its_stages() -> None:
    rows = [result("psnr", method, 0, 1.0) for method in "abcd"]
    times = [timing("a", 0, 2.0), timing("a", 0, 3.0, "train.reverse"), timing("a", 0, 50.0, "fit")]
    times += [
        timing("a", 0, 9.0, "training"),
        timing("b", 0, 4.0, contended=True),
        timing("d", 0, 1.0, environment="e1"),
    ]
    assert value_of("seconds[a]", *rows, timings=times) == 5
    assert "contended cell; to time it, run it alone" in why_none("seconds[b]", *rows, timings=times)
    assert why_none("seconds[c]", *rows, timings=times) == "c on digits: its training was not timed"
    assert "another machine" in why_none("seconds[d]", *rows, timings=times)


def test_scores_under_unlike_protocols_are_not_compared() -> None:
    rows = [result("fd", "a", seed, 1.0) for seed in range(3)] + [result("fd", "b", 0, 9.0, fingerprint="f1")]
    assert value_of("fd[a]", *rows) == 1
    assert why_none("fd[b] - fd[a]", *rows).startswith("without seed 0: b on digits: fd has another protocol (f1)")
    elsewhere = [*rows[:3], result("fd", "a", 0, 5.0, dataset="patches", fingerprint="f1")]
    assert value_of("fd[a, patches] - fd[a]", *elsewhere) == 4


def test_cautions_stand_beside_the_seeds_that_they_are_of() -> None:
    rows = [result("fd", "a", seed, 1.0 + seed, reason=why) for seed, why in enumerate(["few samples", "", "copies"])]
    rows += [result("fd", "b", seed, value) for seed, value in enumerate([2.0, 2.0, None])]
    found = series(parse_expression("fd[a] - fd[b] + 0 * fd[a]"), scores_of(*rows), "digits")
    assert found.cautions == {0: ("a: few samples",)}
    alone = series(parse_expression("fd[a]"), scores_of(*rows), "digits")
    assert alone.cautions == {0: ("a: few samples",), 2: ("a: copies",)}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("psnr[a] / 0", "division by zero"),
        ("0 / (psnr[a] - psnr[a])", "division by zero"),
        ("log(-psnr[a])", "a logarithm of -6"),
        ("log10(psnr[a] - psnr[a])", "a logarithm of 0"),
        ("sqrt(-psnr[a])", "a square root of -6"),
        ("psnr[a] * 1e100", "a number beyond 1e+100"),
        ("1 / endless[a]", "endless of a is infinite"),
        ("huge[a]", "huge of a is beyond 1e+100"),
        ("min(endless[a], 3)", "endless of a is infinite"),
    ],
)
def test_numbers_that_do_not_combine_have_no_value(text: str, says: str) -> None:
    assert why_none(text, *AB, result("endless", "a", 0, math.inf), result("huge", "a", 0, 1e200)) == says


def test_a_correlation_over_methods_is_that_of_spearman() -> None:
    rng = np.random.default_rng(4)
    for n in (4, 7, 16):
        x, y = rng.integers(0, 6, n).astype(float), rng.normal(size=n)
        x[:2] = 0, 5
        rows = [result("pag", f"m{i}", 0, value) for i, value in enumerate(x)]
        rows += [result("fd", f"m{i}", 0, value) for i, value in enumerate(y)]
        expected = stats.spearmanr(x, y).statistic
        assert value_of("corr(pag, fd)", *rows) == pytest.approx(expected, abs=1e-12)


def test_a_correlation_leaves_out_methods_without_both_scores_and_needs_four() -> None:
    rows = [result("pag", m, 0, value) for m, value in zip("abcde", [1.0, 2, 3, math.inf, 9], strict=True)]
    rows += [result("fd", m, 0, value) for m, value in zip("abcd", [4.0, 3, 2, 1], strict=True)]
    assert value_of("corr(pag, fd)", *rows) == pytest.approx(-1)
    assert why_none("corr(pag, fd)", *rows[:-1]) == (
        "corr(pag, fd) needs 4 methods; there are 3 methods with both scores (d on digits: no score fd)"
    )
    constant = [result("gap", m, 0, 1.0) for m in "abcde"]
    assert why_none("corr(pag, gap)", *rows, *constant) == "a correlation with what is the same for all methods"
