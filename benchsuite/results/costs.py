"""Records to the tables of what cells cost: seconds, items per second, memory, sizes and energy.

Cells that were contended are left out of all of them, since their times are those of what ran beside them as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import pandas as pd

from benchsuite.contracts import PhaseRow, Record
from benchsuite.results.phases import PARTS, mean_seconds, seconds_of
from benchsuite.results.summary import NO_VALUE

_RATES = {"sample": {"sample"}, "encode": {"encode.test", "encode.train"}, "recover": {"recover.test", "recover.train"}}


def seconds_tables(records: Sequence[Record]) -> dict[str, pd.DataFrame]:
    """One table per dataset and environment: seconds per cell by method and phase, the mean over seeds.

    Times of different environments are never put in one table. ``cells`` counts those behind a mean.
    """
    return _tables(_alone(records), _seconds_row)


def contended_tables(records: Sequence[Record]) -> dict[str, pd.DataFrame]:
    """Likewise of the cells that ran beside others: what they took, not what they take."""
    return _tables([record for record in _finished(records) if record.contended], _seconds_row)


def metric_tables(records: Sequence[Record]) -> dict[str, pd.DataFrame]:
    """Likewise seconds by method and metric, without the artefacts that the metric was given."""
    return _tables(_alone(records), _metrics_row)


def rates_tables(records: Sequence[Record]) -> dict[str, pd.DataFrame]:
    """Likewise items per second by method and phase, peak memory, learnt numbers, and the energy of training.

    A rate is all items over all seconds. ``train`` leaves out the first batches of every loop; stages, whose items may
    be other things than samples, have columns of their own. ``recover`` is the recovery by squared error.
    """
    return _tables(_alone(records), _rates_row)


def untimed(records: Sequence[Record]) -> str:
    """A sentence on the cells that the tables leave out, empty where there are none."""
    left_out = [record for record in _finished(records) if record.contended]
    if not left_out:
        return ""
    methods = ", ".join(dict.fromkeys(record.cell.method for record in left_out))
    cells = f"{len(left_out)} of {len(_finished(records))} cells"
    return (
        f"Not timed: {cells} ({methods}), which ran beside others or waited for the processor; timings.csv has them, "
        "marked as contended. To time them, run them again one at a time: --jobs 1 --force, with nothing else beside."
    )


def _alone(records: Iterable[Record]) -> list[Record]:
    return [record for record in _finished(records) if not record.contended]


def _finished(records: Iterable[Record]) -> list[Record]:
    return [record for record in records if record.status == "ok" and record.phases]


def _tables(
    records: Sequence[Record], row_of: Callable[[Sequence[Record]], Mapping[str, str]]
) -> dict[str, pd.DataFrame]:
    tables = {}
    for dataset, of_dataset in _grouped(records, lambda record: record.cell.dataset).items():
        environments = _grouped(of_dataset, lambda record: record.environment)
        for environment, alike in environments.items():
            title = dataset if len(environments) == 1 else f"{dataset} on {environment or 'an unknown machine'}"
            rows = {method: row_of(cells) for method, cells in _grouped(alike, lambda r: r.cell.method).items()}
            frame = pd.DataFrame.from_dict(rows, orient="index").rename_axis("method").fillna(NO_VALUE)
            told = [column for column in frame.columns if (frame[column] != NO_VALUE).any()]
            if told:
                tables[title] = frame[sorted(told, key=lambda column: not str(column).startswith("train"))]
    return tables


def _grouped(records: Iterable[Record], key: Callable[[Record], str]) -> dict[str, list[Record]]:
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(key(record), []).append(record)
    return groups


def _seconds_row(cells: Sequence[Record]) -> dict[str, str]:
    seconds = mean_seconds(cells)
    row = {f"{part} [s]": _seconds_text(seconds[part]) if part in seconds else NO_VALUE for part in PARTS}
    row["total [s]"] = _seconds_text(sum(map(seconds_of, cells)) / len(cells))
    threads = _told(record.cell.threads for record in cells)
    return row | {"cells": str(len(cells)), "device": _told(record.device for record in cells), "threads": threads}


def _metrics_row(cells: Sequence[Record]) -> dict[str, str]:
    by_metric: dict[str, list[PhaseRow]] = {}
    for phase in _phases(cells, "metric"):
        by_metric.setdefault(phase.phase.removeprefix("metric."), []).append(phase)
    return {
        f"{name} [s]": _seconds_text(sum(phase.seconds for phase in phases) / len(cells))
        for name, phases in by_metric.items()
    }


def _seconds_text(seconds: float) -> str:
    return f"{seconds:.2f}" if seconds >= 0.1 or not seconds else f"{seconds:.2g}"


def _rates_row(cells: Sequence[Record]) -> dict[str, str]:
    phases = [phase for record in cells for phase in record.phases]
    loops = dict.fromkeys(p.phase for p in phases if p.phase == "train" or p.phase.startswith("train."))
    row = {f"{name} [1/s]": _speed(p for p in phases if p.phase == name) for name in loops}
    for name, counted in _RATES.items():
        row[f"{name} [1/s]"] = _speed(p for p in phases if p.phase.partition("[")[0] in counted)
    row["host [MiB]"] = _peak(phase.peak_host_mib for phase in phases)
    row["device [MiB]"] = _peak(phase.peak_device_mib for phase in phases)
    row["parameters"] = _told(record.parameters for record in cells)
    row["codes"] = _told(record.codes for record in cells)
    joules = [phase.joules for phase in _phases(cells, "fit") if phase.joules is not None]
    row["fit [J]"] = _rate(sum(joules) / len(joules)) if joules else NO_VALUE
    return row


def _phases(cells: Iterable[Record], name: str) -> list[PhaseRow]:
    """``name`` and its parts, which add up (``encode.test``); the stages of ``fit`` lie inside it and do not."""
    phases = [phase for record in cells for phase in record.phases]
    return [p for p in phases if p.phase == name or (p.phase.startswith(f"{name}.") and name != "fit")]


def _speed(phases: Iterable[PhaseRow]) -> str:
    """All items over all seconds."""
    done = [phase for phase in phases if phase.items]
    seconds = sum(phase.seconds for phase in done)
    return _rate(sum(phase.items for phase in done) / seconds) if seconds else NO_VALUE


def _rate(value: float) -> str:
    """Three significant digits, or a whole number."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _peak(values: Iterable[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{max(known):.0f}" if known else NO_VALUE


def _told(values: Iterable[object]) -> str:
    """What ``values`` say, each once."""
    return ", ".join(dict.fromkeys(str(value) for value in values if value is not None)) or NO_VALUE
