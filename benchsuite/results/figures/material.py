"""What a figure is drawn from: the records of one dataset, their scores, arrays and pictures, and what is missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from benchsuite.contracts import MetricRow, Record
from benchsuite.harness.store import RunStore
from benchsuite.kit.text import clipped
from benchsuite.results.figures.kinds import Figure
from benchsuite.results.scores import NO_RECORD, SECONDS, Scores

Array = NDArray[Any]
_LONGEST_REASON = 200  # characters


@dataclass
class Missing:
    """What a figure is without, by the reason; what shares one is told together."""

    _told: dict[str, dict[str, list[int]]] = field(default_factory=dict)  # by the reason and what: the seeds

    def add(self, what: str, why: str, seed: int | None = None) -> None:
        """``what``, of one ``seed`` or altogether, is missing because of ``why``."""
        why = " ".join(why.split())
        seeds = self._told.setdefault(clipped(why, _LONGEST_REASON), {}).setdefault(what, [])
        if seed is not None and seed not in seeds:
            seeds.append(seed)

    def __str__(self) -> str:
        return "; ".join(
            f"{', '.join(self._alike(whats))}: {why}" if list(whats) != [""] else why
            for why, whats in self._told.items()
        )

    def _alike(self, whats: Mapping[str, Sequence[int]]) -> Iterator[str]:
        """What is missing, with its seeds; what has the same seeds together."""
        groups: dict[tuple[int, ...], list[str]] = {}
        for what, seeds in whats.items():
            groups.setdefault(tuple(seeds), []).append(what)
        for seeds, names in groups.items():
            said = f" (seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))})" if seeds else ""
            yield ", ".join(names) + said


@dataclass(frozen=True)
class Material:
    """The records that a figure is of, by method and seed, all of one dataset, and where what they left is found.

    ``methods`` are the labels to draw, in order; ``seeds`` those of the plan, or the one that was asked for.
    """

    store: RunStore
    scores: Scores
    options: Mapping[str, Any]
    dataset: str
    methods: tuple[str, ...]
    seeds: tuple[int, ...]
    records: Mapping[tuple[str, int], Record]
    missing: Missing

    @classmethod
    def of(cls, figure: Figure, store: RunStore, records: Sequence[Record], scores: Scores) -> Material:
        """What ``figure`` needs of ``records``; what it names and the plan lacks is missing.

        The plan is what ``scores`` has the methods, datasets and seeds of: an interrupted run lacks records of it.
        """
        missing, options = Missing(), figure.options
        asked = options.get("dataset", next(iter(scores.datasets), ""))
        dataset = scores.stand_in(asked)
        planned = dataset in scores.datasets
        if not planned:
            missing.add("", f"{asked} is not part of this scale" if asked else "there are no records")
        there = scores.methods if planned else ()
        methods = options.get("methods", there)
        for method in methods if planned else ():
            if method not in there:
                missing.add(method, "no such method in this scale")
        seeds = scores.seeds if planned else ()
        if "seed" in options and planned:
            if options["seed"] not in seeds:
                missing.add("", f"seed {options['seed']} is not part of this scale")
            seeds = tuple(seed for seed in seeds if seed == options["seed"])
        return cls(
            store=store,
            scores=scores,
            options=options,
            dataset=dataset,
            methods=tuple(method for method in methods if method in there),
            seeds=seeds,
            records={(r.cell.method, r.cell.seed): r for r in records if r.cell.dataset == dataset},
            missing=missing,
        )

    def values(self, metric: str, method: str) -> dict[int, float]:
        """The finite scores of ``method`` by seed; that others are not there is noted."""
        found = {}
        for seed in self.seeds:
            value = self.scores.value(metric, method, self.dataset, seed)
            if np.isfinite(value):
                found[seed] = value
            elif np.isnan(value):
                why = self.scores.why_missing(metric, method, self.dataset, seed)
                self.missing.add(metric, why, seed)
            else:
                self.missing.add(f"{metric} of {method}", "its value is infinite", seed)
        return found

    def unit(self, metric: str) -> str:
        """The unit of the scores of ``metric``, empty where there is none."""
        name = self.scores.row_name(metric)
        if name == SECONDS:
            return "s"
        units = (row.unit for record in self.records.values() for row in record.metrics if row.metric == name)
        return next((unit for unit in units if unit), "")

    def titled(self, metric: str) -> str:
        """``metric`` as an axis names it, with its unit."""
        return with_unit(metric, self.unit(metric))

    def first_record(self, method: str) -> Record | None:
        """The record of ``method`` with the seed that figures of one seed show; None, which is noted, without one."""
        return self.record(method, self.seeds[0]) if self.seeds else None

    def record(self, method: str, seed: int) -> Record | None:
        """The record of one cell that ended well; None, which is noted, where there is none."""
        record = self.records.get((method, seed))
        if record is None:
            self.missing.add(method, NO_RECORD, seed)
        elif record.status != "ok":
            self.missing.add(method, _status(record.status, record.reason), seed)
            return None
        return record

    def row(self, record: Record) -> MetricRow | None:
        """The row of the figure's ``metric``, whose arrays and pictures all rows of its selection share."""
        metric = self.options["metric"]
        name = self.scores.row_name(metric)
        rows = [row for row in record.metrics if name in (row.metric, row.selection)]
        rows = rows or [row for row in record.metrics if row.metric.startswith(f"{name}.")]
        rows = rows or [row for row in record.metrics if name.startswith(f"{row.selection}.")]  # it came to nothing
        if not rows:
            self._lacks(record, f"{metric} was not asked for")
        elif rows[0].status != "ok":
            self._lacks(record, _status(rows[0].status, rows[0].reason))
        return rows[0] if rows and rows[0].status == "ok" else None

    def arrays(self, record: Record, *names: str) -> dict[str, Array]:
        """Those of the arrays ``names`` of the figure's metric that are there and hold numbers."""
        row = self.row(record)
        if row is None:
            return {}
        try:
            found = self.store.arrays(record.cell.key, row)
        except (OSError, ValueError, BadZipFile) as error:
            self._lacks(record, f"the arrays of {row.metric} cannot be read: {error}")
            return {}
        numbers = {}
        for name in names:
            if name not in found:
                known = f"there are {', '.join(found)}" if found else "it kept none"
                self._lacks(record, f"{self.options['metric']} has no array '{name}'; {known}")
            elif found[name].dtype.kind not in "fiub":
                self._lacks(record, f"the array '{name}' does not hold real numbers")
            else:
                numbers[name] = np.asarray(found[name], dtype=np.float64)
        return numbers

    def picture(self, record: Record) -> Path | None:
        """The file of the figure's ``picture``."""
        row, name = self.row(record), self.options["picture"]
        if row is None:
            return None
        found = self.store.pictures(record.cell.key, row)
        if name not in found:
            known = f"there are {', '.join(found)}" if found else "it kept none"
            self._lacks(record, f"{self.options['metric']} has no picture '{name}'; {known}")
        return found.get(name)

    def _lacks(self, record: Record, why: str) -> None:
        self.missing.add(record.cell.method, why, record.cell.seed)


def with_unit(name: str, unit: str) -> str:
    """``name`` with its unit, where it has one."""
    return f"{name} [{unit}]" if unit else name


def _status(status: str, reason: str) -> str:
    return f"{status}: {reason}" if reason else status
