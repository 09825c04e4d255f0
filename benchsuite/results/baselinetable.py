"""What a baseline holds, score by score, and how small a loss can be found against it."""

from __future__ import annotations

import math
from typing import NamedTuple

from benchsuite.results.baseline import Baseline
from benchsuite.results.detection import looks, smallest_loss
from benchsuite.results.rules import Rules
from benchsuite.results.sides import side_of
from benchsuite.results.statistics import MIN_SEEDS, ROUNDING, summarise
from benchsuite.results.summary import number


class BaselineRow(NamedTuple):
    """One score over seeds; ``sees`` is the smallest loss that as many seeds find, None where there is no test."""

    method: str
    dataset: str
    metric: str
    unit: str
    direction: str
    seeds: int
    mean: float | str
    sd: float | None
    sees: float | None

    def texts(self) -> dict[str, str]:
        """For a table."""
        arrow = {"max": " ↑", "min": " ↓"}.get(self.direction, "")
        unit = f" [{self.unit}]" if self.unit else ""
        return {
            "method": self.method,
            "dataset": self.dataset,
            "metric": f"{self.metric}{unit}{arrow}",
            "seeds": str(self.seeds),
            "mean": self.mean if isinstance(self.mean, str) else number(self.mean),
            "sd": "–" if self.sd is None else number(self.sd),
            "finds losses from": "–" if self.sees is None else number(self.sees),
        }


def baseline_table(baseline: Baseline) -> list[BaselineRow]:
    """A row for each score that has values, by the rules where none are given."""
    rules = Rules()
    side = side_of("the baseline", baseline.records())
    gated = sum(row.direction != "none" for row in side.rows.values())
    rows = []
    for (dataset, metric, method), by_protocol in side.values.items():
        known = side.rows[dataset, metric, method]
        values = [value for of in by_protocol.values() for value in of.values()]
        found = summarise(values)
        sd = 0.0 if found.sd is not None and found.sd <= ROUNDING * abs(found.mean) else found.sd
        tested = len(values) >= MIN_SEEDS and known.direction != "none" and sd is not None
        sees = None
        if tested:
            sees = smallest_loss(
                looks(len(values), len(values)),
                alarm=rules.alarm,
                screen=rules.screen,
                comparisons=gated,
                sd=sd or 0.0,
                tolerance=rules.tolerance_of(metric, known.selection).of(found.mean),
            )
        mean = found.mean if math.isfinite(found.mean) else str(found.mean)
        rows.append(BaselineRow(method, dataset, metric, known.unit, known.direction, len(values), mean, sd, sees))
    return rows
