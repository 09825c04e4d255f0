"""Records to pandas frames: results and timings as in the CSV files, and the tables of scores that people read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from benchsuite.contracts import Record, Report
from benchsuite.harness.store import RESULT_COLUMNS, TIMING_COLUMNS, RunStore, result_rows, timing_rows
from benchsuite.results.costs import NO_VALUE, rates_tables, seconds_tables, untimed
from benchsuite.results.statistics import Summary, summarise

_ARROWS = {"max": " ↑", "min": " ↓", "none": ""}
CAUTION = " †"


def make_report(store: RunStore, records: Sequence[Record]) -> Report:
    """Everything that reporters are given about one run."""
    results = pd.DataFrame(list(result_rows(store.name, records)), columns=list(RESULT_COLUMNS))
    timings = pd.DataFrame(list(timing_rows(store.name, records)), columns=list(TIMING_COLUMNS))
    results["n"], timings["items"] = results["n"].astype("Int64"), timings["items"].astype("Int64")
    return Report(
        name=store.name,
        folder=store.path,
        results=results,
        timings=timings,
        comparison=comparison(results),
        timing=seconds_tables(records),
        failures=pd.concat([failures(results), _missing(store, records)], ignore_index=True),
        cautions=cautions(results),
        protocols=protocols(records),
        provenance=_provenance(store, records),
        rates=rates_tables(records),
        untimed=untimed(records),
    )


def comparison(results: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """One table per dataset: methods by metrics, each cell the mean over seeds with its interval, as text.

    A metric whose fingerprint differs between rows gets a column for each, so that unlike scores never share one.
    """
    tables = {}
    for dataset, rows in results.groupby("dataset", sort=False):
        columns: dict[str, dict[str, str]] = {}
        for metric, of_metric in rows.groupby("metric", sort=False):
            scored = of_metric[of_metric["value"].notna()]
            if scored.empty and (of_metric["status"] == "skipped").all():
                continue
            protocols = list(dict.fromkeys(scored["fingerprint"])) or [""]
            for protocol in protocols:
                chosen = of_metric[of_metric["fingerprint"].isin([protocol, ""]) | of_metric["value"].isna()]
                columns[_title(str(metric), scored, protocol, len(protocols) > 1)] = _cells(chosen)
        methods = list(dict.fromkeys(rows["method"]))
        body = [[cells.get(method, NO_VALUE) for cells in columns.values()] for method in methods]
        frame = pd.DataFrame(body, index=pd.Index(methods, name="method"), columns=list(columns))
        tables[str(dataset)] = frame
    return tables


def _title(metric: str, scored: pd.DataFrame, protocol: str, several: bool) -> str:
    if scored.empty:
        return metric
    unit, direction = scored["unit"].iloc[0], scored["direction"].iloc[0]
    return f"{metric}{f' [{unit}]' if unit else ''}{_ARROWS[direction]}{f' #{protocol[:4]}' if several else ''}"


def _cells(rows: pd.DataFrame) -> dict[str, str]:
    return {str(method): _cell(group) for method, group in rows.groupby("method", sort=False)}


def _cell(rows: pd.DataFrame) -> str:
    """Several seeds of one method under one metric: their mean, or the status that kept them from one."""
    values = [float(v) for v in rows["value"].dropna()]
    if not values:
        statuses = [s for s in dict.fromkeys(rows["status"]) if s != "skipped"]
        return ", ".join(statuses) or NO_VALUE
    text = format_summary(summarise(values)) + (
        CAUTION if (rows["value"].notna() & rows["reason"].ne("")).any() else ""
    )
    return text if len(values) == len(rows) else f"{text} ({len(values)} of {len(rows)})"


def format_summary(summary: Summary) -> str:
    """Four significant digits of the mean, and as many decimals of the interval's half width."""
    if not math.isfinite(summary.mean):
        return str(summary.mean)
    magnitude = math.floor(math.log10(abs(summary.mean))) if summary.mean else 0
    decimals = max(0, 3 - magnitude)
    if decimals > 6:
        half = "" if summary.half_width is None else f" ± {summary.half_width:.1e}"
        return f"{summary.mean:.3e}{half}"
    text = f"{summary.mean:.{decimals}f}"
    return text if summary.half_width is None else f"{text} ± {summary.half_width:.{decimals}f}"


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
    keys = ["metric", "dataset", "fingerprint", "protocol"]
    rows = [
        [row.selection, record.cell.dataset, row.fingerprint, _said(row.protocol), record.cell.method]
        for record in records
        for row in record.metrics
        if row.status == "ok" and row.protocol
    ]
    frame = pd.DataFrame(rows, columns=[*keys, "methods"])
    return frame.groupby(keys, sort=False)["methods"].agg(_joined).reset_index()


def _said(protocol: Mapping[str, Any]) -> str:
    """``protocol`` in words: ``version 2; k=3; subset 500; features net-1; 64 generated_features``."""
    params = [f"{name}={value}" for name, value in protocol.get("params", {}).items() if value is not None]
    words = [f"version {protocol.get('version')}", ", ".join(params)]
    words += [f"{name} {protocol[name]}" for name in ("subset", "features") if protocol.get(name) is not None]
    words += [", ".join(f"{count} {artefact}" for artefact, count in protocol.get("n", {}).items())]
    words += [", ".join(f"{artefact} by {source}" for artefact, source in protocol.get("codes", {}).items())]
    return "; ".join(word for word in words if word)


def _missing(store: RunStore, records: Sequence[Record]) -> pd.DataFrame:
    """A row for each cell of the plan without a record, so that a report of half a run says so."""
    reason = "not run yet, cut off, or its record cannot be read; the run's command goes on"
    known = {record.cell.key for record in records}
    rows = [
        {"method": cell["method"], "dataset": cell["dataset"], "seeds": str(cell["seed"])}
        | {"metrics": "all", "status": "missing", "reason": reason}
        for cell in store.missing()
        if cell["key"] not in known
    ]
    return pd.DataFrame(rows, columns=["method", "dataset", "seeds", "metrics", "status", "reason"])


def _metrics_without(rows: pd.DataFrame, asked: pd.Series[int]) -> str:
    """The metrics among ``rows``, or "all" where they are all that was asked of their cells."""
    names = rows["metric"].nunique()
    return "all" if names > 1 and names == asked[rows["cell"]].min() else _joined(rows["metric"])


def _joined(values: pd.Series[Any]) -> str:
    return ", ".join(dict.fromkeys(str(v) for v in values))


def _provenance(store: RunStore, records: Sequence[Record]) -> Mapping[str, Any]:
    run = store.read_run()
    sources = {f"{r.cell.method} on {r.cell.dataset}": r.reconstruction for r in records if r.reconstruction}
    sizes = {
        f"{r.cell.method} on {r.cell.dataset}": {"parameters": r.parameters, "codes": r.codes}
        for r in records
        if r.parameters is not None
    }
    notes = [f"{r.cell.method} on {r.cell.dataset}, seed {r.cell.seed}: {n}" for r in records for n in r.notes]
    return {
        "recipe": run.get("recipe", {}),
        "command": run.get("command", []),
        "scored": run.get("scored", []),
        "environment": run.get("environment", {}),
        "reconstruction": sources,
        "sizes": sizes,
        "notes": notes,
    }
