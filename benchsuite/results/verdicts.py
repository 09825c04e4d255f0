"""What a gate says: a verdict for each method, dataset and metric, and what follows from all of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from benchsuite.kit.text import json_safe

Verdict = Literal[
    "regression", "new failure", "missing", "changed", "inconclusive", "improved", "new", "ungated", "pass"
]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)  # in the order in which rows are shown
BLOCKING: tuple[Verdict, ...] = ("regression", "new failure", "missing", "changed")
By = Literal["test", "bits", "smoke", "rate", ""]
EXIT_OK, EXIT_REGRESSION, EXIT_NO_BASELINE = 0, 3, 4


@dataclass(frozen=True)
class Row:
    """The verdict on one score of one method on one dataset, and what it rests on.

    ``by`` says how it was found: by a ``test`` over seeds; by ``bits``, which are the baseline's at every seed; by
    ``smoke``, which is the tolerance alone, for want of seeds; by the ``rate`` of failures; or by looking. ``loss`` is
    by how much the mean is worse, in the metric's unit and negative where it is better, with the half width of its 95%
    interval; ``sd`` the standard deviation over seeds; ``p`` that of the loss, or of the gain where it is one,
    adjusted for all comparisons and looks; ``sees`` the smallest loss that would be called a regression with 95%
    probability. NaN stands for what there is not. ``look`` is ``first`` where the baseline has more seeds than were
    run.
    """

    method: str
    dataset: str
    metric: str
    verdict: Verdict = "pass"
    reason: str = ""
    by: By = ""
    look: Literal["first", "last", ""] = ""
    unit: str = ""
    direction: str = "none"
    seeds_baseline: int = 0
    seeds: int = 0
    baseline: float = math.nan
    value: float = math.nan
    loss: float = math.nan
    half_width: float = math.nan
    sd: float = math.nan
    p: float = math.nan
    tolerance: float = math.nan
    sees: float = math.nan

    @property
    def name(self) -> str:
        """``metric of method on dataset``."""
        return f"{self.metric} of {self.method} on {self.dataset}"


@dataclass(frozen=True)
class Gate:
    """All verdicts on a run, the worst first. ``notices`` are sentences on what changed and on what could be seen."""

    run: str
    baseline: str
    rows: tuple[Row, ...]
    notices: tuple[str, ...] = ()
    comparisons: int = 0
    alarm: float = 0.01
    strict: bool = False
    changes: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """How many rows have each verdict that there is, the worst first."""
        found = Counter(row.verdict for row in self.rows)
        return {verdict: found[verdict] for verdict in VERDICTS if found[verdict]}

    @property
    def blocking(self) -> tuple[Row, ...]:
        """The rows for which the gate does not open."""
        stops = (*BLOCKING, "inconclusive") if self.strict else BLOCKING
        return tuple(row for row in self.rows if row.verdict in stops)

    @property
    def exit_code(self) -> int:
        """3 where a row is blocking, else 0."""
        return EXIT_REGRESSION if self.blocking else EXIT_OK

    def suspects(self) -> list[Row]:
        """What more seeds of the baseline would decide."""
        return [row for row in self.rows if row.verdict == "inconclusive" and row.look == "first"]

    def to_json(self) -> dict[str, Any]:
        """For ``json.dumps``; numbers that are not there are null, infinite ones text."""
        return {
            "run": self.run,
            "baseline": self.baseline,
            "exit_code": self.exit_code,
            "strict": self.strict,
            "alarm": self.alarm,
            "comparisons": self.comparisons,
            "counts": self.counts,
            "notices": list(self.notices),
            "changes": list(self.changes),
            "rows": [{name: json_safe(value) for name, value in asdict(row).items()} for row in self.rows],
        }


def in_order(rows: Iterable[Row]) -> tuple[Row, ...]:
    """``rows``, the worst first, and otherwise as they come."""
    order = {verdict: place for place, verdict in enumerate(VERDICTS)}
    return tuple(sorted(rows, key=lambda row: order[row.verdict]))
