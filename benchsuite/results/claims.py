"""Verdicts: whether what a claim says holds by the scores of several seeds, fails by them, or is left open."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from benchsuite.errors import RecipeError, unknown_name
from benchsuite.results.expressions import (
    Claim,
    Expression,
    Series,
    datasets_used_by,
    is_number,
    methods_named_in,
    metrics_named_in,
    missing_text,
    selectors,
    series,
)
from benchsuite.results.scores import SECONDS, Scores
from benchsuite.results.statistics import MIN_SEEDS, decide, summarise

Outcome = Literal["holds", "fails", "inconclusive", "not run"]
_TIE = 1e-9  # of the compared values: closer ones are equal
_ROUNDING = 1e-14  # of what was added up to them: what may be left of two that are equal


@dataclass(frozen=True)
class Part:
    """One comparison of a claim: the mean over seeds of what is compared, its interval, and the number beside it.

    Where one side is a number, ``effect`` is the other side's and ``bound`` this number, else ``effect`` is
    left - right and ``bound`` is 0. ``low`` and ``high`` are None where the seeds are too few.
    """

    text: str
    effect: float
    low: float | None
    high: float | None
    bound: float


@dataclass(frozen=True)
class Verdict:
    """What became of a claim. ``reason`` says what it rests on or lacks, ``seeds`` are those that it was decided on."""

    outcome: Outcome
    reason: str
    parts: tuple[Part, ...]
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class _Compared:
    """One comparison with the values of its seeds: ``oriented`` is above zero where the claim says so."""

    part: Part
    oriented: NDArray[np.float64]
    strict: bool
    quantity: frozenset[int]  # the sides, numbers apart, that it is about


def judge(claim: Claim, scores: Scores, dataset: str, level: float = 0.95) -> Verdict:
    """The verdict on ``claim``, with the selectors that name no dataset going by ``dataset``.

    Sides are paired by seed, over the seeds that have them all. The claim holds where the interval of every comparison
    satisfies it wholly, and fails where one violates it wholly, see ``statistics.decide``. With fewer than three seeds,
    or where the scores of a seed are there but are infinite or do not combine to a number, it is inconclusive. Values
    closer than 1e-9 of their size are equal, which satisfies <= and >= and violates < and >. It is not run where one
    dataset stands in for two that it tells apart. Raises ValueError for a level outside (0, 1).
    """
    if not 0 < level < 1:
        raise ValueError(f"level = {level} is not allowed; it lies between 0 and 1, as 0.95")
    if same := shared_stand_in(claim, scores, dataset):
        return Verdict("not run", same, (), ())
    found = [series(side, scores, dataset) for side in claim.sides]
    missing = _joined({s: why for s, why in of.missing.items() if s not in of.undefined} for of in found)
    undefined = _joined({s: of.missing[s] for s in of.undefined if s not in missing} for of in found)
    seeds = tuple(seed for seed in scores.seeds if seed not in missing and seed not in undefined)
    if not seeds and not undefined:
        return Verdict("not run", missing_text(missing, everything=True) or "no cell has been run", (), ())
    compared = [_compare(claim, place, found, seeds, level) for place in range(len(claim.comparisons))] if seeds else []
    outcome: Outcome = "inconclusive"
    if undefined:
        text = missing_text(undefined, everything=not seeds and not missing)
        why = f"its scores have no comparable value: {text}"
    elif len(seeds) < MIN_SEEDS:
        why = f"{len(seeds)} seed{'s' if len(seeds) > 1 else ''}; an interval needs {MIN_SEEDS}"
    else:
        outcome, why = _decided(compared, level)
    cautions = dict.fromkeys(text for seed in seeds for of in found for text in of.cautions.get(seed, ()))
    point = len(seeds) >= MIN_SEEDS and any(np.ptp(one.oriented) == 0 for one in compared)
    notes = [why, "no spread over seeds, so that the interval is a point" if point else ""]
    notes += [missing_text(missing, everything=False), *(f"caution for {text}" for text in cautions)]
    return Verdict(outcome, "; ".join(note for note in notes if note), tuple(one.part for one in compared), seeds)


def shared_stand_in(of: Claim | Expression, scores: Scores, dataset: str) -> str:
    """Why ``of`` says nothing here, where one dataset goes for two that it tells apart; else nothing."""
    labels: dict[str, list[str]] = {}
    for name in datasets_used_by(of, dataset):
        labels.setdefault(scores.stand_in(name), []).append(name)
    for own, names in labels.items():
        if len(names) > 1:
            return f"{' and '.join(names)} {'both' if len(names) == 2 else 'all'} go by {own} at this scale"
    return ""


def _joined(reasons: Iterable[Mapping[int, str]]) -> dict[int, str]:
    """The first reason for each seed, in the order of seeds."""
    joined: dict[int, str] = {}
    for of_side in reasons:
        joined = {**of_side, **joined}
    return dict(sorted(joined.items()))


def _decided(compared: Sequence[_Compared], level: float) -> tuple[Outcome, str]:
    """The outcome by the intervals of enough seeds, and for one that is left open what leaves it so."""
    quantities = len({one.quantity for one in compared})
    differences, strict = np.stack([one.oriented for one in compared]), [one.strict for one in compared]
    holds, fails = decide(differences, strict=strict, quantities=quantities, level=level)
    if holds or fails:
        return ("holds" if holds else "fails"), ""
    reasons = []
    for one in compared:
        part_holds, part_fails = decide(one.oriented[None], strict=[one.strict], level=level)
        if part_fails:
            asked = 1 - (1 - level) / quantities
            reasons.append(f"{one.part.text} is violated at {_percent(level)}, not at the {_percent(asked)} of a chain")
        elif not part_holds:
            reasons.append(f"the {_percent(level)} interval for {one.part.text} contains {one.part.bound:g}")
    return "inconclusive", "; ".join(reasons)


def _percent(level: float) -> str:
    return f"{100 * level:.4g}%"


def _compare(claim: Claim, place: int, found: Sequence[Series], seeds: Sequence[int], level: float) -> _Compared:
    """The comparison number ``place`` of ``claim`` on ``seeds``."""
    left, right = found[place], found[place + 1]
    comparison = claim.comparisons[place]
    differences = np.array([_difference(left, right, seed) for seed in seeds], dtype=np.float64)
    shown, bound, quantity = differences, 0.0, frozenset({place, place + 1})
    for number, other, at in ((right, left, place), (left, right, place + 1)):
        if is_number(claim.sides[2 * place + 1 - at]):
            bound, quantity = number.values[seeds[0]], frozenset({at})
            values = np.array([other.values[seed] for seed in seeds], dtype=np.float64)
            shown = np.where(differences == 0, bound, values)
    summary = summarise(shown.tolist(), level)
    half = summary.half_width
    low, high = (None, None) if half is None else (summary.mean - half, summary.mean + half)
    text = f"{claim.sides[place]} {comparison} {claim.sides[place + 1]}"
    sign = 1 if comparison.startswith(">") else -1
    return _Compared(
        part=Part(text, summary.mean, low, high, bound),
        oriented=sign * differences,
        strict=not comparison.endswith("="),
        quantity=quantity,
    )


def _difference(left: Series, right: Series, seed: int) -> float:
    """Left - right, zero where they are equal but for rounding."""
    a, b = left.values[seed], right.values[seed]
    rounding = max(_TIE * max(abs(a), abs(b)), _ROUNDING * max(left.scales[seed], right.scales[seed]))
    return 0.0 if abs(a - b) <= rounding else a - b


def check(
    of: Claim | Expression,
    methods: Collection[str],
    datasets: Collection[str],
    metrics: Collection[str],
    names: Mapping[str, str] | None = None,
) -> None:
    """Find misspelt labels without running anything. ``metrics`` are selections, ``names`` short names of their rows.

    Which rows a metric has is known after a run only, so that ``psnr.p5`` is held to ``psnr``. Raises RecipeError.
    """
    names = names or {}
    for row in names.values():
        if not is_row_of(row, metrics):
            raise RecipeError(str(unknown_name("metric", row, metrics)))
    known_metrics = {*metrics, *names, SECONDS}
    for metric in metrics_named_in(of):
        if not is_row_of(metric, known_metrics):
            raise RecipeError(f"{unknown_name('metric', metric, known_metrics)} (in '{of}')")
    for what, named, known in (
        ("method", methods_named_in(of), methods),
        ("dataset", [s.dataset for s in selectors(of) if s.dataset is not None], datasets),
    ):
        for name in named:
            if name not in known:
                raise RecipeError(f"{unknown_name(what, name, known)} (in '{of}')")


def is_row_of(row: str, metrics: Collection[str]) -> bool:
    """Whether ``row`` is one of ``metrics``, or may be a row of one, as ``psnr.p5`` of ``psnr``."""
    return any(row == metric or row.startswith(f"{metric}.") for metric in metrics)
