"""What changed from run A to run B: scores paired over seeds, times, and what the runs differ in apart from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchsuite.contracts import Record
from benchsuite.harness.store import RunStore, uncollected
from benchsuite.kit.text import named
from benchsuite.results.changes import Identity, cell_changes, run_changes
from benchsuite.results.gathering import Gathered, of_run
from benchsuite.results.pairing import paired_scores
from benchsuite.results.sides import side_of


@dataclass(frozen=True)
class Comparison:
    """What changed from the run in the folder ``a`` to that in ``b``.

    ``notices`` are sentences on the runs as a whole; ``runs`` and ``changes`` are what differs apart from scores, see
    benchsuite.results.changes; ``scores``: see benchsuite.results.pairing; ``times`` are the mean seconds of ``fit``:
    ``dataset, method, seeds, a, b``; ``untimed`` says whose times do not compare, and why, and is empty where all do.
    """

    a: Path
    b: Path
    notices: tuple[str, ...]
    runs: pd.DataFrame
    changes: pd.DataFrame
    scores: pd.DataFrame
    times: pd.DataFrame
    untimed: str


def compare(a: RunStore, b: RunStore) -> Comparison:
    """What changed from the run ``a`` to the run ``b``. Raises StoreError for a run that cannot be read."""
    with uncollected():
        one_folder = a.path.resolve() == b.path.resolve()
        gathered_a = of_run(a, a.records())
        gathered_b = gathered_a if one_folder else of_run(b, b.records())
        side_a = side_of("A", gathered_a.records, gathered_a.missing)
        side_b = side_of("B", gathered_b.records, gathered_b.missing)
        scores = paired_scores(side_a, side_b)
        times, untimed = _times(side_a.records, side_b.records)
        return Comparison(
            a=a.path,
            b=b.path,
            notices=tuple(_notices(gathered_a, gathered_b, scores, one_folder)),
            runs=run_changes(gathered_a.contents[0], gathered_b.contents[0]),
            changes=cell_changes(side_a.records, side_b.records),
            scores=scores,
            times=times,
            untimed=untimed,
        )


def _notices(a: Gathered, b: Gathered, scores: pd.DataFrame, one_folder: bool) -> Iterator[str]:
    if one_folder:
        yield "A and B are the same folder, so that nothing can differ."
    for name, run in zip("AB", (a, b)[: 1 if one_folder else 2], strict=False):
        if run.missing:
            of = f"{len(run.missing)} of {len(run.missing) + len(run.cells)} cells"
            yield f"{name} is not finished: {of} have no record yet; its own command goes on."
    if not scores["seeds"].any():
        yield "A and B have no score in common."


def _times(a: Mapping[Identity, Record], b: Mapping[Identity, Record]) -> tuple[pd.DataFrame, str]:
    """The mean seconds of ``fit`` over the seeds that compare, and a sentence on methods that have none."""
    seconds: dict[tuple[str, str], list[tuple[float, float]]] = {}
    reasons: dict[str, list[str]] = {}
    for (method, dataset, seed), record in a.items():
        other = b.get((method, dataset, seed))
        fits = [fit_seconds(one) for one in (record, other) if one is not None]
        if other is None or None in fits:
            continue
        of_pair = seconds.setdefault((dataset, method), [])
        if reason := incomparable(record, other):
            reasons.setdefault(reason, []).append(method)
        else:
            of_pair.append((fits[0] or 0.0, fits[1] or 0.0))
    rows = [(*key, len(pairs), *np.mean(pairs, axis=0)) for key, pairs in seconds.items() if pairs]
    frame = pd.DataFrame(rows, columns=["dataset", "method", "seeds", "a", "b"])
    told = "; ".join(f"of {named(methods)}, {reason}" for reason, methods in reasons.items())
    return frame, f"Times do not compare: {told}." if told else ""


def fit_seconds(record: Record) -> float | None:
    """Seconds of training, where it came to its end."""
    found = (phase.seconds for phase in record.phases if phase.phase == "fit")
    return next(found, None) if record.status == "ok" else None


def incomparable(a: Record, b: Record, names: tuple[str, str] = ("A", "B")) -> str:
    """Why times of two cells, of sides of these names, say nothing of each other; empty where they do."""
    contended = [name for name, record in zip(names, (a, b), strict=True) if record.contended]
    if contended:
        return f"which ran beside other cells in {' and '.join(contended)}"
    if a.environment != b.environment:
        keys = " and ".join(record.environment or "unknown" for record in (a, b))
        return f"which ran on different machines or devices ({keys})"
    return ""
