"""Baselines: the records that a gate compares with, in a small file that people review and commit.

A file has one entry for cells that differ by seed alone: what they share, and for each metric the values in the order
of the seeds. ``digest`` covers all of it, so that no number changes by hand, by a merge, or by losing the end of the
file, without its being noticed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import msgspec

from benchsuite.contracts import Cell, MetricRow, PhaseRow, Record, Status
from benchsuite.errors import BaselineError
from benchsuite.harness.rows import rows_of
from benchsuite.harness.store import RunStore
from benchsuite.kit.files import digest, write_text
from benchsuite.kit.text import json_safe, plural
from benchsuite.results.gathering import of_run
from benchsuite.results.moreseeds import more_seeds

FORMAT = 1
_MARK = "benchsuite_baseline"
_WIDTH = 118
_ENVIRONMENT = ("benchsuite", "commit", "project", "python", "system", "processor", "cores", "devices", "packages")
Number = float | Literal["inf", "-inf"] | None  # JSON knows no infinity


class Scores(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The scores by one metric: ``values`` in the order of the entry's seeds, and by seed why there is none."""

    selection: str
    unit: str
    direction: Literal["max", "min", "none"]
    fingerprint: str
    values: list[Number]
    without: dict[str, str] = {}


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Cells that differ by seed alone.

    ``cell`` holds what else Cell does; ``failed`` says by seed how a cell failed; ``fit`` are seconds of training.
    """

    method: str
    dataset: str
    cell: dict[str, Any]
    data: str
    device: str
    environment: str
    contended: bool
    seeds: list[int]
    keys: list[str]
    scores: dict[str, Scores]
    failed: dict[str, str] = {}
    fit: list[float | None] = []


class Baseline(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a file says. ``protocols`` are those of the scores, by fingerprint; ``recipe`` is the run's."""

    benchsuite_baseline: int
    recipe: dict[str, Any]
    environment: dict[str, Any]
    entries: list[Entry]
    protocols: dict[str, dict[str, Any]]
    digest: str = ""

    def records(self) -> list[Record]:
        """The cells as records, as far as a gate looks at them."""
        return [_record(self, entry, place) for entry in self.entries for place in range(len(entry.seeds))]

    def to_run(self) -> dict[str, Any]:
        """What run.json would say, as far as the file knows it."""
        return {"recipe": self.recipe, "environment": self.environment}


def baseline_of(run: RunStore) -> Baseline:
    """The records of ``run`` as a baseline. Raises StoreError for no run, BaselineError for one that is cut off."""
    gathered = of_run(run, run.records())
    if gathered.missing:
        left = plural(len(gathered.missing), "cell")
        raise BaselineError(f"{run.path} is not finished: {left} without a record; its own command goes on with it")
    if not gathered.cells:
        raise BaselineError(f"{run.path} has no cell of its plan; run its command first")
    (content,) = gathered.contents
    records = [*gathered.records, *more_seeds(run)]
    scored = [row for record in records for row in record.metrics if row.value is not None]
    if all(row.direction == "none" for row in scored):
        raise BaselineError(f"{run.path} has no score that can be gated: none with a value and a direction")
    entries: dict[str, list[Record]] = {}
    for record in records:
        entries.setdefault(digest(_shared(record)), []).append(record)
    protocols = {row.fingerprint: _protocol(row) for row in scored}
    environment = {name: value for name, value in content.get("environment", {}).items() if name in _ENVIRONMENT}
    recipe = _recipe(content["recipe"], gathered.records)
    return _sealed(Baseline(FORMAT, recipe, environment, [*map(_entry, entries.values())], protocols))


def _recipe(recipe: Mapping[str, Any], records: Sequence[Record]) -> dict[str, Any]:
    """The run's, with the metrics and samples that it was scored by since."""
    metrics = dict.fromkeys(metric for record in records for metric in record.cell.metrics)
    return {**recipe, "metrics": [*metrics], "samples": records[0].cell.samples}


def write_baseline(baseline: Baseline, path: Path) -> None:
    """Write ``baseline`` to ``path``, whole or not at all. Raises BaselineError where that cannot be."""
    content = {name: value for name, value in msgspec.to_builtins(baseline).items() if name != "digest"}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, _laid_out({**content, "digest": baseline.digest}) + "\n")
    except OSError as error:
        raise BaselineError(f"cannot write {path}: {error.strerror}; choose another file with --baseline") from None


def read_baseline(path: Path) -> Baseline:
    """The baseline in ``path``. Raises BaselineError, which tells another file, another version and damage apart."""
    again = f"set it again from a run: benchsuite baseline set RUN --baseline {path}"
    try:
        text = path.read_bytes()
    except OSError as error:
        raise BaselineError(f"cannot read the baseline {path}: {error.strerror}") from None
    if re.search(rb"^(<<<<<<<|>>>>>>>) ", text, re.MULTILINE):
        raise BaselineError(f"{path} has the marks of a merge that was not resolved; take one side, or {again}")
    try:
        content = msgspec.json.decode(text)
    except (ValueError, RecursionError) as error:  # msgspec's own, or of text that is no UTF-8
        if text.strip() and not is_baseline(path):
            raise BaselineError(f"{path} is no baseline, but another file; name one with --baseline") from None
        damage = f"{path} is damaged: it is no JSON ({error}); take it from version control, or {again}"
        raise BaselineError(damage) from None
    if not isinstance(content, dict) or _MARK not in content:
        raise BaselineError(f"{path} is JSON, but no baseline; name one with --baseline, or {again}")
    if content[_MARK] != FORMAT:
        raise BaselineError(
            f"{path} is a baseline of format {content[_MARK]}, of another version of benchsuite; this one reads format "
            f"{FORMAT}; {again}"
        )
    try:
        baseline = msgspec.convert(content, Baseline)
        for entry in baseline.entries:
            _check(entry, baseline)
        baseline.records()
    except (msgspec.ValidationError, ValueError) as error:
        raise BaselineError(f"{path} is damaged: {error}; take it from version control, or {again}") from None
    if _sealed(baseline).digest != baseline.digest:
        raise BaselineError(
            f"{path} was changed by hand or by a merge: its digest is not that of its numbers; take it from version "
            f"control, or {again}"
        )
    return baseline


def is_baseline(path: Path) -> bool:
    """Whether ``path`` means to be a baseline, by how it begins; it may be damaged."""
    try:
        with path.open("rb") as file:
            return f'"{_MARK}"'.encode() in file.read(200)
    except OSError:
        return False


def _sealed(baseline: Baseline) -> Baseline:
    content = msgspec.to_builtins(msgspec.structs.replace(baseline, digest=""))
    return msgspec.structs.replace(baseline, digest=digest(content, 16))


def _check(entry: Entry, baseline: Baseline) -> None:
    """Raises ValueError for parts that do not go together."""
    where = f"'{entry.method}' on '{entry.dataset}'"
    for what, values in (("keys", entry.keys), ("seconds", entry.fit)):
        if len(values) != len(entry.seeds):
            raise ValueError(f"{where} has {len(entry.seeds)} seeds and {len(values)} {what}")
    for metric, scores in entry.scores.items():
        if len(scores.values) != len(entry.seeds):
            raise ValueError(f"{where} has {len(entry.seeds)} seeds and {len(scores.values)} values of {metric}")
        if scores.fingerprint and scores.fingerprint not in baseline.protocols:
            raise ValueError(f"the protocol {scores.fingerprint} of {metric} is missing")


_SHARED = tuple(name for name in Cell.__dataclass_fields__ if name not in ("key", "seed", "method", "dataset"))


def _shared(record: Record) -> dict[str, Any]:
    """What cells of one entry have in common."""
    cell = {name: getattr(record.cell, name) for name in _SHARED}
    scored = [row for row in record.metrics if row.value is not None]
    scores = sorted((row.metric, row.fingerprint, row.direction, row.unit) for row in scored)
    named = {"method": record.cell.method, "dataset": record.cell.dataset, "cell": cell, "scores": scores}
    ran = {name: getattr(record, name) for name in ("data", "device", "environment", "contended")}
    shared: dict[str, Any] = json.loads(json.dumps(named | ran))  # as reading gives it back
    return shared


def _protocol(row: MetricRow) -> dict[str, Any]:
    """What the fingerprint covers; a record's protocol has more, such as the seed."""
    covered = ("metric", "version", "params", "protocol", "subset", "samples", "features")
    return {name: row.protocol[name] for name in covered if name in row.protocol}


def _entry(records: Sequence[Record]) -> Entry:
    ordered = sorted(records, key=lambda record: record.cell.seed)
    shared = _shared(ordered[0])
    return Entry(
        method=shared["method"],
        dataset=shared["dataset"],
        cell=shared["cell"],
        **{name: shared[name] for name in ("data", "device", "environment", "contended")},
        seeds=[record.cell.seed for record in ordered],
        keys=[record.cell.key for record in ordered],
        scores=_scores(ordered),
        failed={str(r.cell.seed): _said(r) for r in ordered if r.status != "ok"},
        fit=[_fit(record) for record in ordered],
    )


def _scores(records: Sequence[Record]) -> dict[str, Scores]:
    by_metric: dict[str, dict[int, MetricRow]] = {}
    for record in records:
        for row in rows_of(record):
            by_metric.setdefault(row.metric, {})[record.cell.seed] = row
    seeds = [record.cell.seed for record in records]
    return {metric: _of_metric(rows, seeds) for metric, rows in by_metric.items()}


def _of_metric(rows: Mapping[int, MetricRow], seeds: Iterable[int]) -> Scores:
    known = next((row for row in rows.values() if row.value is not None), next(iter(rows.values())))
    return Scores(
        selection=known.selection,
        unit=known.unit,
        direction=known.direction,  # type: ignore[arg-type]  # a record's text, which reading checks
        fingerprint=known.fingerprint if known.value is not None else "",
        values=[_number(rows[seed].value) if seed in rows else None for seed in seeds],
        without={str(seed): _said(row) for seed, row in rows.items() if row.value is None},
    )


def _said(of: Record | MetricRow) -> str:
    """Status and reason, without halves of characters, which errors have from logs that are no UTF-8."""
    return f"{of.status}: {of.reason}".encode(errors="replace").decode()


def _number(value: float | None) -> Number:
    number: Number = json_safe(value)
    return number


def _fit(record: Record) -> float | None:
    return next((round(phase.seconds, 4) for phase in record.phases if phase.phase == "fit"), None)


def _record(baseline: Baseline, entry: Entry, place: int) -> Record:
    seed = entry.seeds[place]
    own = {"key": entry.keys[place], "method": entry.method, "dataset": entry.dataset, "seed": seed}
    cell = msgspec.convert({**entry.cell, **own}, Cell)
    seconds = entry.fit[place]
    status, reason = _status(entry.failed.get(str(seed), "ok: "))
    record = Record(
        cell,
        status,
        reason,
        phases=() if seconds is None else (PhaseRow("fit", seconds, seconds, 0, None, None),),
        device=entry.device,
        environment=entry.environment,
        contended=entry.contended,
        data=entry.data,
    )
    if status != "ok":
        return record
    rows = (_row(metric, scores, place, seed, baseline) for metric, scores in entry.scores.items())
    return replace(record, metrics=tuple(row for row in rows if row is not None))


def _row(metric: str, scores: Scores, place: int, seed: int, baseline: Baseline) -> MetricRow | None:
    number = scores.values[place]
    row = MetricRow(metric, scores.selection, None, scores.unit, scores.direction, None, scores.fingerprint)
    if number is not None:
        return replace(row, value=float(number), protocol=baseline.protocols.get(scores.fingerprint, {}))
    if str(seed) not in scores.without:
        return None
    status, reason = _status(scores.without[str(seed)])
    return replace(row, status=status, reason=reason)


def _status(text: str) -> tuple[Status, str]:
    status, _, reason = text.partition(": ")
    known: Status = msgspec.convert(status, Status)
    return known, reason


def _laid_out(value: Any, depth: int = 0, before: int = 0) -> str:
    """JSON in which what is short stands on one line and numbers fill lines, so that a change is a small difference."""
    inline = json.dumps(value, ensure_ascii=False, allow_nan=False)
    if before + len(inline) + depth <= _WIDTH or not isinstance(value, dict | list) or not value:
        return inline
    inner = " " * (depth + 1)
    if isinstance(value, dict):
        parts = []
        for name, item in value.items():
            label = f"{json.dumps(name, ensure_ascii=False)}: "
            parts.append(f"{inner}{label}{_laid_out(item, depth + 1, len(label))}")
        return "{\n" + ",\n".join(parts) + "\n" + " " * depth + "}"
    if any(isinstance(item, dict | list) for item in value):
        return "[\n" + ",\n".join(inner + _laid_out(item, depth + 1) for item in value) + "\n" + " " * depth + "]"
    lines = [""]
    for item in (json.dumps(one, ensure_ascii=False) + "," for one in value):
        if len(lines[-1]) + len(item) + 1 > _WIDTH - depth:
            lines.append("")
        lines[-1] = f"{lines[-1]} {item}".strip()
    lines[-1] = lines[-1].removesuffix(",")
    return "[\n" + "\n".join(inner + line for line in lines) + "\n" + " " * depth + "]"
