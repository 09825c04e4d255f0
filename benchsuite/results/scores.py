"""The values that expressions go by: a number for each metric, method, dataset and seed, or why there is none."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from benchsuite.errors import RecipeError

SECONDS = "seconds"  # of training, usable as a metric
NO_RECORD = "no record; it has not been run, or was cut off"
_ALIAS = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
Key = tuple[str, str, str, int]  # metric, method, dataset, seed


def check_names(names: Mapping[str, str], metrics: Collection[str] = ()) -> None:
    """Raises RecipeError for a short name that an expression could not use, or that is one of ``metrics`` itself.

    ``names`` are short names of rows, ``metrics`` the selections of the same scale: another scale may select a metric
    without parameters that goes by its name there.
    """
    for name, row in names.items():
        if not _ALIAS.fullmatch(name) or name == SECONDS:
            raise RecipeError(f"'{name}' is no short name for a metric; use letters, digits and _, but not '{SECONDS}'")
        if name in metrics and row != name:
            raise RecipeError(f"'{name}' is short for '{row}' and a metric itself; give '{row}' another short name")


@dataclass(frozen=True)
class _Entry:
    value: float  # NaN where there is none
    text: str = ""  # why there is none, or what has to be known of the one there is


@dataclass(frozen=True)
class Scores:
    """A table of values by metric, method, dataset and seed. Metrics go by their row's name or by a short name,
    datasets by their label or by the label that they stand in for."""

    methods: tuple[str, ...]
    datasets: tuple[str, ...]
    seeds: tuple[int, ...]
    names: Mapping[str, str] = field(default_factory=dict)
    stand_ins: Mapping[str, str] = field(default_factory=dict)
    _entries: Mapping[Key, _Entry] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls,
        results: pd.DataFrame,
        seconds: pd.DataFrame | None = None,
        *,
        names: Mapping[str, str] | None = None,
        stand_ins: Mapping[str, str] | None = None,
        methods: Iterable[str] = (),
        datasets: Iterable[str] = (),
        seeds: Iterable[int] = (),
    ) -> Scores:
        """The scores of one run: ``results`` has the columns of results.csv, ``seconds`` those of timings.csv.

        ``names`` are short names of rows, ``stand_ins`` the labels here of labels that are not here. What was scored
        under another protocol than most rows of its metric and dataset counts as missing, since the two are not to be
        compared; so do times of contended cells and of other machines than most. ``methods``, ``datasets`` and
        ``seeds`` are those that were planned, so that what a run has no record of is known to be missing. Raises
        RecipeError for a short name that an expression could not use.
        """
        names, stand_ins = dict(names or {}), dict(stand_ins or {})
        check_names(names)
        entries = _scored(results)
        if seconds is not None:
            entries |= _timed(seconds)
        return cls(
            methods=tuple(dict.fromkeys([*methods, *map(str, results["method"])])),
            datasets=tuple(dict.fromkeys([*datasets, *map(str, results["dataset"])])),
            seeds=tuple(sorted({*seeds, *map(int, results["seed"])})),
            names=names,
            stand_ins=stand_ins,
            _entries=entries,
        )

    def row_name(self, metric: str) -> str:
        """The row that ``metric`` stands for: ``psnr_lap1.p5`` is row ``p5`` of what ``psnr_lap1`` is short for."""
        if metric in self.names:
            return self.names[metric]
        head, dot, tail = metric.partition(".")
        return self.names.get(head, head) + dot + tail

    def stand_in(self, dataset: str) -> str:
        """The label of ``dataset`` here: its own, or that of the dataset that stands in for it."""
        return dataset if dataset in self.datasets else self.stand_ins.get(dataset, dataset)

    def value(self, metric: str, method: str, dataset: str, seed: int) -> float:
        """The score, NaN where there is none; it may be infinite."""
        entry = self._entries.get(self._key(metric, method, dataset, seed))
        return math.nan if entry is None else entry.value

    def caution(self, metric: str, method: str, dataset: str, seed: int) -> str:
        """What a reader has to know of the score, empty where nothing is said of it or there is none."""
        entry = self._entries.get(self._key(metric, method, dataset, seed))
        return entry.text if entry is not None and not math.isnan(entry.value) else ""

    def why_missing(self, metric: str, method: str, dataset: str, seed: int) -> str:
        """Why there is no score, empty where there is one."""
        name, _, label, _ = key = self._key(metric, method, dataset, seed)
        if label not in self.datasets:
            stands_in = f", which stands in for {dataset}," if label != dataset else ""
            return f"{label}{stands_in} is not part of this scale"
        if method not in self.methods:
            return f"no method '{method}' in this scale"
        entry = self._entries.get(key)
        if entry is not None and not math.isnan(entry.value):
            return ""
        place = f"{method} on {label}"
        if entry is not None:
            return f"{place}: {entry.text}"
        of_cell = {row[0]: found for row, found in self._entries.items() if row[1:] == key[1:]}
        if not of_cell:
            return f"{place}: {NO_RECORD}"
        failed = {row: found.text for row, found in of_cell.items() if math.isnan(found.value)}
        if name == SECONDS:
            untimed = "its training was not timed"
            return f"{place}: {next(iter(failed.values())) if len(failed) == len(of_cell) else untimed}"
        # A metric that came to nothing has one row, named by its selection, for all that it would have had.
        selections = [row for row in failed if name.startswith(f"{row}.")]
        return f"{place}: {failed[max(selections, key=len)] if selections else f'no score {name}'}"

    def _key(self, metric: str, method: str, dataset: str, seed: int) -> Key:
        return self.row_name(metric), method, self.stand_in(dataset), seed


def _scored(results: pd.DataFrame) -> dict[Key, _Entry]:
    fingerprints = _commonest(
        ((row["metric"], row["dataset"]), row["fingerprint"]) for row in _rows(results) if not _absent(row["value"])
    )
    entries: dict[Key, _Entry] = {}
    for row in _rows(results):
        key = (str(row["metric"]), str(row["method"]), str(row["dataset"]), int(row["seed"]))
        usual = fingerprints.get((row["metric"], row["dataset"]))
        if _absent(row["value"]):
            entry = _Entry(math.nan, _status(row))
        elif row["fingerprint"] != usual:
            entry = _Entry(math.nan, f"{key[0]} has another protocol ({row['fingerprint']}) than elsewhere ({usual})")
        else:
            entry = _Entry(float(row["value"]), _text(row["reason"]))
        entries[key] = entry
    return entries


def _timed(timings: pd.DataFrame) -> dict[Key, _Entry]:
    """Seconds of training by cell: the phase ``train`` and those of its stages together."""
    training = [
        row
        for row in _rows(timings)
        if re.fullmatch(r"train(\..*)?", _text(row["phase"])) and row["status"] == "ok" and not _absent(row["seconds"])
    ]
    usual = _commonest(((), _machine(row)) for row in training if not _is(row["contended"]))
    entries: dict[Key, _Entry] = {}
    for row in training:
        key = (SECONDS, str(row["method"]), str(row["dataset"]), int(row["seed"]))
        if _is(row["contended"]):
            why = "its times are those of a contended cell; to time it, run it alone: --jobs 1 --force"
            entries[key] = _Entry(math.nan, why)
        elif _machine(row) != usual.get(()):
            entries[key] = _Entry(math.nan, "its times are of another machine, device or number of threads than others")
        else:
            entries[key] = _Entry(entries.get(key, _Entry(0.0)).value + float(row["seconds"]))
    return entries


def _machine(row: Mapping[Hashable, Any]) -> tuple[str, ...]:
    return tuple(str(row[name]) for name in ("environment", "device", "threads"))


def _rows(frame: pd.DataFrame) -> Iterable[dict[Hashable, Any]]:
    return frame.to_dict("records")


def _commonest(pairs: Iterable[tuple[Hashable, Hashable]]) -> dict[Hashable, Hashable]:
    """What stands most often beside each key; of several the first."""
    counts: dict[Hashable, Counter[Hashable]] = {}
    for key, value in pairs:
        counts.setdefault(key, Counter())[value] += 1
    return {key: counter.most_common(1)[0][0] for key, counter in counts.items()}


def _status(row: Mapping[Hashable, Any]) -> str:
    status, reason = _text(row["status"]), _text(row["reason"])
    return ": ".join(text for text in ("no value" if status == "ok" else status, reason) if text)


def _absent(value: Any) -> bool:
    return value is None or math.isnan(float(value))


def _text(value: Any) -> str:
    """Text of a frame, where a field that was empty in a file is NaN."""
    return value if isinstance(value, str) else ""


def _is(value: Any) -> bool:
    """Whether a column of truths, which a file holds as text, says so."""
    return str(value) == "True"
