"""Records to pandas frames: results and timings as in the CSV files, and the tables of scores that people read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from benchsuite.contracts import Record
from benchsuite.harness.rows import RESULT_COLUMNS, Columns, result_columns, timing_columns
from benchsuite.harness.store import RunStore
from benchsuite.kit.text import clean
from benchsuite.reports import Report
from benchsuite.results.caveats import caveats
from benchsuite.results.contest import contested, with_leads
from benchsuite.results.costs import contended_tables, metric_tables, rates_tables, seconds_tables, untimed
from benchsuite.results.gallery import draw
from benchsuite.results.gathering import Gathered, of_run
from benchsuite.results.overview import facts, leaders
from benchsuite.results.provenance import provenance
from benchsuite.results.ranks import ranked
from benchsuite.results.summary import as_tables, summarised


def make_report(store: RunStore, records: Sequence[Record]) -> Report:
    """Everything that reporters are given about one run."""
    return report_of(of_run(store, records))


def report_of(gathered: Gathered) -> Report:
    """Everything that reporters are given about one run or several."""
    records = gathered.records
    scores, timings = frames_of(gathered)
    summary = summarised(scores)
    contest, ranks = contested(summary, scores), ranked(summary)
    summary = with_leads(summary, contest)
    without = pd.concat([failures(scores), _missing(gathered)], ignore_index=True)
    return Report(
        name=gathered.name,
        folder=gathered.folder,
        results=scores[list(RESULT_COLUMNS)],
        timings=timings,
        comparison=as_tables(summary),
        leads=as_tables(summary, "lead"),
        timing=seconds_tables(records),
        failures=without,
        cautions=cautions(scores),
        protocols=protocols(records),
        summary=summary,
        contest=contest,
        ranks=ranks,
        pictures=partial(draw, gathered.cells, summary, ranks),
        provenance=provenance(gathered),
        rates=rates_tables(records),
        metric_timing=metric_tables(records),
        contended=contended_tables(records),
        untimed=untimed(records),
        warnings=tuple(caveats(gathered, summary, contest)),
        facts=tuple(facts(gathered, scores)),
        leaders=leaders(contest),
    )


def frames_of(gathered: Gathered) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The frames of results.csv, with the columns ``selection`` and ``contends`` besides, and of timings.csv."""
    names = {store: store.name for store in gathered.runs}
    cells = [(names[store], record) for store, record in gathered.cells]
    results, times = result_columns(cells), timing_columns(cells)
    scores, timings = _frame(results), _frame(times)
    scores["selection"] = results.of_rows["selection"]
    counted = zip(gathered.records, results.counts, strict=True)
    scores["contends"] = [contends for record, rows in counted for contends in _contends(record, rows)]
    numbers = dict.fromkeys(("seconds", "peak_host_mib", "peak_device_mib"), "float64")
    return scores.astype({"value": "float64", "n": "Int64"}), timings.astype(numbers | {"items": "Int64"})


def _frame(columns: Columns) -> pd.DataFrame:
    places = np.repeat(np.arange(len(columns.counts)), columns.counts)
    frame = pd.DataFrame(columns.of_cells).take(places).reset_index(drop=True)
    return frame.assign(**columns.of_rows)[list(columns.names)]


def _contends(record: Record, rows: int) -> list[bool]:
    """Whether each of the ``rows`` scores of ``record`` takes part in who is best: not of references, nor what a copy
    has copied."""
    if record.reference:
        return [False] * rows
    if record.status != "ok" or not any(row.disqualifies for row in record.metrics):
        return [True] * rows
    return ["samples" not in row.protocol for row in record.metrics]


def failures(results: pd.DataFrame) -> pd.DataFrame:
    """What did not come to a number and why; rows that differ by method, seed or metric only are joined."""
    asked = results.groupby("cell")["metric"].nunique()
    missing = results[results["value"].isna()]
    keys = ["method", "dataset", "status", "reason"]
    rows = [
        dict(zip(keys, key, strict=True)) | {"seeds": _joined(group["seed"]), "metrics": _metrics_without(group, asked)}
        for key, group in missing.groupby(keys, sort=False)
    ]
    frame = pd.DataFrame(rows, columns=["method", "dataset", "seeds", "metrics", "status", "reason"])
    alike = frame.groupby([name for name in frame.columns if name != "method"], sort=False)
    return alike["method"].agg(_joined).reset_index()[list(frame.columns)]


def cautions(results: pd.DataFrame) -> pd.DataFrame:
    """What has to be known of the numbers that ``comparison`` marks; rows that differ by seed or metric are joined."""
    marked = results[results["value"].notna() & results["reason"].ne("")]
    rows = [
        {"method": method, "dataset": dataset, "metrics": _joined(group["metric"]), "caution": text}
        for (method, dataset, text), group in marked.groupby(["method", "dataset", "reason"], sort=False)
    ]
    return pd.DataFrame(rows, columns=["method", "dataset", "metrics", "caution"])


def protocols(records: Sequence[Record]) -> pd.DataFrame:
    """How each metric was computed: a row for each way, with the methods that were scored so."""
    ways: dict[tuple[Any, ...], tuple[Mapping[str, Any], dict[str, None]]] = {}
    for record in records:
        for row in record.metrics:
            if row.status == "ok" and row.protocol:
                seen = [tuple(row.protocol.get(name, {}).items()) for name in ("n", "codes")]
                way = (row.selection, record.cell.dataset, row.fingerprint, *seen)
                ways.setdefault(way, (row.protocol, {}))[1][record.cell.method] = None
    rows = [(*way[:3], _said(protocol), ", ".join(methods)) for way, (protocol, methods) in ways.items()]
    first = {metric: place for place, metric in reversed(list(enumerate(row[0] for row in rows)))}
    rows.sort(key=lambda row: first[row[0]])
    return pd.DataFrame(rows, columns=["metric", "dataset", "fingerprint", "protocol", "methods"])


def _said(protocol: Mapping[str, Any]) -> str:
    """``protocol`` in words: ``version 2; k=3; subset 500; features net-1; 64 generated_features``."""
    params = [f"{name}={value}" for name, value in protocol.get("params", {}).items() if value is not None]
    words = [f"version {protocol.get('version')}", ", ".join(params)]
    words += [f"{name} {protocol[name]}" for name in ("subset", "features") if protocol.get(name) is not None]
    words += [", ".join(f"{count} {artefact}" for artefact, count in protocol.get("n", {}).items())]
    words += [", ".join(f"{artefact} by {source}" for artefact, source in protocol.get("codes", {}).items())]
    return clean("; ".join(word for word in words if word), markdown=False)


def _missing(gathered: Gathered) -> pd.DataFrame:
    """A row for each cell of the plan without a record, so that a report of half a run says so."""
    reason = "not run yet, cut off, or its record cannot be read; the run's command goes on"
    rows = [
        {"method": cell["method"], "dataset": cell["dataset"], "seeds": str(cell["seed"])}
        | {"metrics": "all", "status": "missing", "reason": reason}
        for cell in gathered.missing
    ]
    return pd.DataFrame(rows, columns=["method", "dataset", "seeds", "metrics", "status", "reason"])


def _metrics_without(rows: pd.DataFrame, asked: pd.Series[int]) -> str:
    """The metrics among ``rows``, or "all" where they are all that was asked of each of their cells."""
    several = rows["metric"].nunique() > 1
    return "all" if several and len(rows) == asked[rows["cell"].unique()].sum() else _joined(rows["metric"])


def _joined(values: pd.Series[Any]) -> str:
    return ", ".join(dict.fromkeys(str(v) for v in values))
