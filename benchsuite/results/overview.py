"""A run in a few words: how much there is of what, and who leads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

import pandas as pd

from benchsuite.kit.text import plural
from benchsuite.results.gathering import Gathered
from benchsuite.results.phases import seconds_of


def facts(gathered: Gathered, scores: pd.DataFrame) -> Iterator[str]:
    """How many methods, datasets, seeds and cells there are, what they took, and on which devices."""
    for name in ("method", "dataset", "seed"):
        yield plural(int(scores[name].nunique()), name)
    records = gathered.records
    ok = sum(record.status == "ok" for record in records)
    yield f"{plural(len(records) + len(gathered.missing), 'cell')}, {ok} ok"
    lost = sum(seconds_of(record) for record in records if record.status != "ok")
    of_failed = f", {_duration(lost)} of it in failed cells" if lost else ""
    yield f"{_duration(sum(map(seconds_of, records)))} of cell time{of_failed}"
    devices = dict.fromkeys(record.device for record in records if record.device)
    if devices:
        yield f"on {', '.join(devices)}"


def leaders(contest: pd.DataFrame) -> Mapping[str, str]:
    """For each dataset a sentence: who has the best mean on how many metrics, and on which significantly."""
    decided = contest[~contest["verdict"].isin(["tie", "alone"])]
    return {str(dataset): _sentence(rows) for dataset, rows in decided.groupby("dataset", sort=False)}


def _sentence(rows: pd.DataFrame) -> str:
    surely = rows[rows["verdict"] == "significant"]
    said = []
    for method, count in Counter(rows["best"]).most_common():
        titles = list(surely.loc[surely["best"] == method, "column"])
        on = f"significantly on {', '.join(titles)}" if titles else "on none of them significantly"
        said.append(f"{method} has the best mean on {count} of {plural(len(rows), 'metric')}, {on}")
    return "; ".join(said) + "."


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
