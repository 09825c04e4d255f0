"""The scores of two runs, A and B, paired over seeds: a row for each dataset, metric and method, the worst news first.

Its columns: ``dataset, metric, method, unit, direction``; ``seeds``, how many both have; ``mean_a``, ``mean_b`` and
``difference`` (B - A) over these, with ``low`` and ``high`` of its 95% t interval; ``p`` of Student's paired t test,
adjusted by Holm over all rows that are tested; ``verdict`` and ``reason``. Where there is nothing to be paired, means
are over the seeds that each run has.

Verdicts:

- ``worse`` and ``better`` by the metric's direction, ``lower`` and ``higher`` where it has none: p is at most 0.05;
- ``failed in A``, ``failed in B``, ``failed in A and B``: no seed came to a number;
- ``not comparable``: the protocol changed;
- ``only in A``, ``only in B``: the other run has no such method, dataset or metric, skipped it, or is not so far;
- ``undecided``: p is above 0.05, or values are equal but for rounding;
- ``not tested``: fewer than three common seeds, or an infinite value;
- ``same``: equal to the last bit at every common seed, which is no test.

Source: Student, The Probable Error of a Mean (1908); Holm, A Simple Sequentially Rejective Multiple Test Procedure
(1979).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchsuite.kit.text import clean, plural
from benchsuite.results.changes import protocol_changes
from benchsuite.results.sides import Key, Side, said, why_absent
from benchsuite.results.statistics import LEVEL, MIN_SEEDS, holm, paired

VERDICTS = (
    *("worse", "failed in B", "failed in A and B", "failed in A", "not comparable", "only in A", "only in B"),
    *("lower", "higher", "undecided", "not tested", "better", "same"),
)  # in the order in which rows are shown
_NUMBERS = ("mean_a", "mean_b", "difference", "low", "high", "p")
COLUMNS = ("dataset", "metric", "method", "unit", "direction", "seeds", *_NUMBERS, "verdict", "reason")
_ROUNDING = 1e-9  # of the compared values: closer ones are equal


def paired_scores(a: Side, b: Side) -> pd.DataFrame:
    """Everything that can be said of the scores of ``a`` and ``b``."""
    rows = []
    for key in _ordered(a, b):
        rows += _rows(key, a, b)
    told = [row | {"reason": clean(row["reason"], markdown=False)} for row in _decided(rows)]
    frame = pd.DataFrame(told, columns=list(COLUMNS))
    order = frame["verdict"].map({verdict: place for place, verdict in enumerate(VERDICTS)})
    return frame.iloc[np.argsort(order.to_numpy(), kind="stable")].reset_index(drop=True)


def _ordered(a: Side, b: Side) -> list[Key]:
    """Everything that has a row, by dataset, metric and method as they come in A, and then in B."""
    keys = list(dict.fromkeys([*a.values, *b.values, *a.lacking, *b.lacking]))
    places = [{name: place for place, name in enumerate(dict.fromkeys(names))} for names in zip(*keys, strict=True)]
    return sorted(keys, key=lambda key: tuple(of[name] for of, name in zip(places, key, strict=True)))


def _rows(key: Key, a: Side, b: Side) -> list[dict[str, Any]]:
    """The rows of ``key``: those to be tested have ``pairs``, the others a verdict."""
    of_a, of_b = a.values.get(key, {}), b.values.get(key, {})
    if not of_a and not of_b:
        return _failed(key, a, b)
    known = b.rows.get(key) or a.rows[key]  # B's where both have it: it is the later one
    row = dict(zip(("dataset", "metric", "method"), key, strict=True))
    row |= {"unit": known.unit, "direction": known.direction}
    if not of_a or not of_b:
        has, lacks = (b, a) if not of_a else (a, b)
        kind, reason = why_absent(key, known.selection, lacks)
        verdict = f"failed in {lacks.name}" if kind == "failed" else f"only in {has.name}"
        return [row | _means(of_a, of_b) | {"verdict": verdict, "reason": reason}]
    common = [fingerprint for fingerprint in of_a if fingerprint in of_b]
    if not common:
        reason = f"the protocol changed: {protocol_changes(a.rows[key], b.rows[key])}"
        return [row | _means(of_a, of_b) | {"verdict": "not comparable", "reason": reason}]
    notes = [*_partly(key, known.selection, a, b), *_cautions(key, a, b)]
    if len(of_a) > len(common) or len(of_b) > len(common):
        notes.append("seeds that were scored by other protocols are left out")
    return [row | _pairs(of_a[name], of_b[name]) | {"reason": "; ".join(notes)} for name in common]


def _means(of_a: Mapping[str, Mapping[int, float]], of_b: Mapping[str, Mapping[int, float]]) -> dict[str, Any]:
    """The mean of each run over its own seeds, where it has one protocol."""
    means: dict[str, Any] = {"seeds": 0}
    for name, of in (("mean_a", of_a), ("mean_b", of_b)):
        if len(of) == 1:
            means[name] = float(np.mean(list(next(iter(of.values())).values())))
    return means


def _pairs(of_a: Mapping[int, float], of_b: Mapping[int, float]) -> dict[str, Any]:
    seeds = [seed for seed in of_a if seed in of_b]
    if seeds:
        return {"seeds": len(seeds), "pairs": {seed: (of_a[seed], of_b[seed]) for seed in seeds}}
    return _means({"": of_a}, {"": of_b}) | {"verdict": "not tested"}


def _failed(key: Key, a: Side, b: Side) -> list[dict[str, Any]]:
    """The row of what has no number in either run; none where it was skipped, or has its numbers under other names."""
    dataset, metric, method = key
    if key in a.scored or key in b.scored:
        return []
    reasons = {side.name: said(rows) for side in (a, b) if (rows := side.failed(key, metric))}
    if not reasons:
        return []
    distinct = len(set(reasons.values())) > 1
    texts = [f"{name}: {text}" for name, text in reasons.items()] if distinct else [*reasons.values()][:1]
    row = {"dataset": dataset, "metric": metric, "method": method, "unit": "", "direction": "none", "seeds": 0}
    return [row | {"verdict": f"failed in {' and '.join(reasons)}", "reason": "; ".join(texts)}]


def _partly(key: Key, selection: str, a: Side, b: Side) -> Iterator[str]:
    """On seeds that failed in a run that has numbers of others."""
    for side in (a, b):
        failed = side.failed(key, selection)
        if failed:
            seeds = "seed" if len(failed) == 1 else "seeds"
            yield f"{seeds} {', '.join(map(str, failed))} failed in {side.name}: {said(failed)}"


def _cautions(key: Key, a: Side, b: Side) -> Iterator[str]:
    """What has to be known of the values, be it better or worse."""
    for text in dict.fromkeys([*a.cautions.get(key, []), *b.cautions.get(key, [])]):
        told = [side.name for side in (a, b) if text in side.cautions.get(key, [])]
        yield f"caution in {' and '.join(told)}: {text}"


def _decided(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """``rows``, those with ``pairs`` tested all together."""
    tested = [row for row in rows if "pairs" in row]
    seeds = {seed: place for place, seed in enumerate(dict.fromkeys(seed for row in tested for seed in row["pairs"]))}
    values = np.full((2, len(seeds), len(tested)), np.nan)
    for column, row in enumerate(tested):
        for seed, pair in row.pop("pairs").items():
            values[:, seeds[seed], column] = pair
    with np.errstate(invalid="ignore", over="ignore"):
        _test(tested, values[0], values[1])
    return list(rows)


def _test(rows: Sequence[dict[str, Any]], a: NDArray[np.float64], b: NDArray[np.float64]) -> None:
    """Give ``rows`` their numbers and verdicts by the values (seeds, rows) of both runs, NaN where there is none."""
    missing = np.isnan(a)
    same = np.all((a == b) | missing, axis=0)
    finite = np.all(np.isfinite(b - a) | missing, axis=0)
    close = np.all((np.abs(b - a) <= _ROUNDING * np.maximum(np.abs(a), np.abs(b))) | missing, axis=0)
    found = paired(b - a)
    mean_a, mean_b = _mean(a, missing), _mean(b, missing)
    adjusted = holm(np.where(finite & ~close, found.p, np.nan))
    half_width = np.where(finite, found.half_width, np.nan)
    for i, row in enumerate(rows):
        difference = float(found.mean[i] if finite[i] else 0.0 if same[i] else mean_b[i] - mean_a[i])
        row |= {"mean_a": mean_a[i], "mean_b": mean_b[i], "difference": difference, "p": adjusted[i]}
        row |= {"low": difference - half_width[i], "high": difference + half_width[i]}
        verdict, why = _verdict(row, same=bool(same[i]), finite=bool(finite[i]), close=bool(close[i]))
        row |= {"verdict": verdict, "reason": "; ".join(text for text in (why, row["reason"]) if text)}


def _mean(values: NDArray[np.float64], missing: NDArray[np.bool_]) -> NDArray[np.float64]:
    mean: NDArray[np.float64] = np.where(missing, 0.0, values).sum(axis=0) / (~missing).sum(axis=0)
    return mean


def _verdict(row: Mapping[str, Any], *, same: bool, finite: bool, close: bool) -> tuple[str, str]:
    if same:
        return "same", ""
    if not finite:
        return "not tested", "a value is infinite"
    if row["seeds"] < MIN_SEEDS:
        return "not tested", f"{plural(row['seeds'], 'common seed')}; a test needs {MIN_SEEDS}"
    if close:
        return "undecided", "equal but for rounding"
    if row["p"] > 1 - LEVEL:
        return "undecided", ""
    if row["direction"] == "none":
        return ("higher" if row["difference"] > 0 else "lower"), ""
    return ("better" if (row["difference"] > 0) == (row["direction"] == "max") else "worse"), ""
