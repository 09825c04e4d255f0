"""An item's published values and claims against the records of a run, as frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from benchsuite.contracts import Cell
from benchsuite.reports import Report
from benchsuite.results.claims import Part, Verdict, judge, shared_stand_in
from benchsuite.results.expressions import Claim, Expression, datasets_named_in, datasets_used_by, series
from benchsuite.results.itemfile import ClaimEntry, Item, Scale
from benchsuite.results.scores import Scores
from benchsuite.results.statistics import summarise
from benchsuite.results.summary import number

CLAIM_COLUMNS = ["item", "scale", "claim", "dataset", "place", "says", "statement", "verdict", "part", "effect"]
CLAIM_COLUMNS += ["low", "high", "bound", "seeds", "reason"]
PUBLISHED_COLUMNS = ["place", "of", "published", "obtained", "low", "high", "seeds", "on", "reason"]


@dataclass(frozen=True)
class Judged:
    """A claim and its verdict; ``on`` says by which datasets of the scale, and what they stand in for."""

    entry: ClaimEntry
    on: str
    verdict: Verdict


@dataclass(frozen=True)
class Reproduction:
    """An item at one scale: the values that its expressions go by, its claims judged, and published beside obtained."""

    item: Item
    scale: Scale
    scores: Scores
    judged: tuple[Judged, ...]

    @property
    def claims(self) -> pd.DataFrame:
        """One row for each claim, dataset and part of its statement, with numbers as numbers."""
        rows = [self._row(judged, part) for judged in self.judged for part in (judged.verdict.parts or (None,))]
        return pd.DataFrame(rows, columns=CLAIM_COLUMNS)

    def _row(self, judged: Judged, part: Part | None) -> dict[str, object]:
        entry, verdict = judged.entry, judged.verdict
        common = {
            "item": self.item.name,
            "scale": self.scale.name,
            "claim": entry.name,
            "dataset": judged.on,
            "place": entry.place,
            "says": " ".join(entry.says.split()),
            "statement": str(entry.claim),
            "verdict": verdict.outcome,
            "seeds": len(verdict.seeds),
            "reason": verdict.reason,
        }
        if part is None:
            return common
        numbers = {"effect": part.effect, "low": part.low, "high": part.high, "bound": part.bound}
        return common | {"part": part.text} | numbers

    @property
    def published(self) -> pd.DataFrame:
        """One row for each number in print, beside it what was obtained, with its interval where seeds suffice."""
        return pd.DataFrame(list(self._published()), columns=PUBLISHED_COLUMNS)

    def _published(self) -> Iterator[dict[str, object]]:
        for entry in self.item.published:
            found = series(entry.of, self.scores, self._first_dataset())
            row: dict[str, object] = {"place": entry.place, "of": str(entry.of), "published": entry.value}
            cautions = [text for seed in found.values for text in found.cautions.get(seed, ())]
            row |= {"on": _on(entry.of, self._first_dataset(), self.scores)}
            row |= {"reason": "; ".join(dict.fromkeys(text for text in (found.why_missing, *cautions) if text))}
            same = shared_stand_in(entry.of, self.scores, self._first_dataset())
            if same:
                row |= {"reason": same}
            elif found.values and not found.undefined:  # leaving out an infinite seed would be choosing by the outcome
                summary = summarise(list(found.values.values()))
                row |= {"obtained": summary.mean, "seeds": summary.n}
                if summary.half_width is not None:
                    row |= {"low": summary.mean - summary.half_width, "high": summary.mean + summary.half_width}
            yield row

    def _first_dataset(self) -> str:
        return next(iter(self.scores.datasets), "")

    def counts(self) -> dict[str, int]:
        """How many claims came to each verdict."""
        return {o: n for o in OUTCOMES if (n := sum(judged.verdict.outcome == o for judged in self.judged))}


OUTCOMES = ("holds", "fails", "inconclusive", "not run")


def reproduce(item: Item, scale: Scale, report: Report, planned: Sequence[Cell]) -> Reproduction:
    """Judge the claims of ``item`` by the results of a run at ``scale``, of which ``planned`` are all cells."""
    scores = Scores.of(
        report.results,
        report.timings,
        methods=[cell.method for cell in planned],
        datasets=[cell.dataset for cell in planned],
        seeds=[cell.seed for cell in planned],
        names=scale.names,
        stand_ins=scale.stand_ins,
    )
    judged = [
        Judged(entry, _on(entry.claim, dataset, scores), judge(entry.claim, scores, dataset))
        for entry in item.claims
        for dataset in _datasets(entry, scores)
    ]
    return Reproduction(item, scale, scores, tuple(judged))


def _datasets(entry: ClaimEntry, scores: Scores) -> Sequence[str]:
    if datasets_named_in(entry.claim):
        return [""]
    return entry.datasets if entry.datasets is not None else (scores.datasets or [""])


def _on(of: Claim | Expression, dataset: str, scores: Scores) -> str:
    """The datasets that it goes by, each with what it stands in for; ``dataset`` where it names none."""
    here = [(scores.stand_in(name), name) for name in datasets_used_by(of, dataset)]
    return ", ".join(dict.fromkeys(own if own == name else f"{own} for {name}" for own, name in here))


def effects_text(parts: Sequence[Part]) -> str:
    """The effects of a claim's parts, each with its interval and what it is compared with; empty where there are none.

    ``2.31 [1.90, 2.72] against 0``; what is bounded from both sides stands once: ``1.2 [0.9, 1.5] against 1 and 2``.
    """
    bounds: dict[str, list[str]] = {}
    for part in parts:
        interval = "" if part.low is None or part.high is None else f" [{part.low:.4g}, {part.high:.4g}]"
        bounds.setdefault(f"{part.effect:.4g}{interval}", []).append(f"{part.bound:.4g}")
    return "; ".join(f"{effect} against {' and '.join(given)}" for effect, given in bounds.items())


def obtained_text(row: pd.Series[Any]) -> str:
    """Obtained and its half width, as in the other tables."""
    if pd.isna(row["obtained"]):
        return "–"
    half = None if pd.isna(row["low"]) else (row["high"] - row["low"]) / 2
    return number(float(row["obtained"]), half)
