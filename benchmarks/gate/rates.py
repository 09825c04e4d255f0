"""How often the gate cries wolf, and how often it finds a loss, on scores of real runs.

    benchsuite run benchmarks/gate/vae-glo.toml --out runs/vae-glo       # 240 seeds; about 15 minutes on two cores
    benchsuite run benchmarks/gate/dcgan.toml --out runs/dcgan           # the same; about 25 minutes
    python benchmarks/gate/rates.py runs/vae-glo runs/dcgan

A change that alters the random stream but not the method is a draw of other seeds. So every trial draws a baseline of
20 seeds and a candidate of 20 others, and does as ``gate --run``: five seeds first, the other fifteen for the methods
of suspects. Trials draw baselines anew, since an unlucky one would repeat its alarms. For the power, every score in
turn is made worse by so many of its standard deviations over all seeds.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from benchsuite.contracts import Record
from benchsuite.harness.store import find_run
from benchsuite.kit.text import table
from benchsuite.results.gate import judge
from benchsuite.results.rules import Rules
from benchsuite.results.verdicts import Row

BASELINE, CANDIDATE = 20, 20
Score = tuple[str, str]
Pool = dict[int, list[Record]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--trials", type=int, default=4000, help="tables without a change")
    parser.add_argument("--losses", type=int, default=250, help="tables for each score that is made worse")
    parser.add_argument("--loss", type=float, default=2.0, help="in standard deviations over seeds")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    pool = read_pool(options.runs)
    scores = {score: values_of(pool, score) for score in scores_of(pool)}
    first = Rules().seeds
    print(f"{len(pool)} seeds, {len(scores)} scores; baselines of {BASELINE}, candidates of {first} and {CANDIDATE}")
    with ProcessPoolExecutor(options.jobs) as executor:
        report_alarms([*executor.map(partial(trial, pool), range(options.trials), chunksize=50)])
        rows = []
        for number, (score, values) in enumerate(scores.items()):
            seeds = range(10**6 * (number + 1), 10**6 * (number + 1) + options.losses)
            worse = partial(trial, pool, score=score, loss=options.loss * float(values.std(ddof=1)))
            rows.append(found_row(score, values, [*executor.map(worse, seeds, chunksize=25)]))
    print(f"\nA loss of {options.loss:g} standard deviations in one score, {options.losses} tables each\n")
    header = ["score", "mean", "sd, share of mean", "skewness", "found", "found at the first look", "seen from, in sd"]
    print(table(header, rows, [False, *[True] * 6]))
    shares = [float(row[4].rstrip("%")) for row in rows]
    print(f"\nfound over all scores: {np.mean(shares):.1f}%; least {min(shares):.1f}%")


def read_pool(runs: Sequence[Path]) -> Pool:
    """The records of all runs by seed, of the seeds that all have."""
    records = [record for run in runs for record in find_run(run).records()]
    methods = {record.cell.method for record in records}
    pool: Pool = {}
    for record in records:
        pool.setdefault(record.cell.seed, []).append(record)
    return {seed: of_seed for seed, of_seed in pool.items() if len(of_seed) == len(methods)}


def scores_of(pool: Pool) -> list[Score]:
    return [(record.cell.method, row.metric) for record in next(iter(pool.values())) for row in record.metrics]


def values_of(pool: Pool, score: Score) -> np.ndarray:
    rows = (
        row for of_seed in pool.values() for r in of_seed for row in r.metrics if (r.cell.method, row.metric) == score
    )
    return np.asarray([row.value for row in rows])


def trial(pool: Pool, seed: int, score: Score | None = None, loss: float = 0.0) -> tuple[list[Row], list[Row]]:
    """The rows of the first look at a random table, and those once its suspects had all seeds."""
    drawn = np.random.default_rng(seed).permutation(sorted(pool))
    baseline, candidate = drawn[:BASELINE], drawn[BASELINE : BASELINE + CANDIDATE]
    rules = Rules()
    before = [record for one in baseline for record in pool[one]]
    early = [worsened(record, score, loss) for one in candidate[: rules.seeds] for record in pool[one]]
    first = judge(before, early, [], rules, escalates=True)[0]
    suspects = {row.method for row in first if row.verdict == "inconclusive"}
    if not suspects:
        return list(first), list(first)
    more = [
        worsened(r, score, loss) for one in candidate[rules.seeds :] for r in pool[one] if r.cell.method in suspects
    ]
    return list(first), list(judge(before, [*early, *more], [], rules, escalates=True)[0])


def worsened(record: Record, score: Score | None, loss: float) -> Record:
    if score is None or record.cell.method != score[0]:
        return record
    rows = tuple(
        replace(row, value=(row.value or 0.0) + (loss if row.direction == "min" else -loss))
        if row.metric == score[1]
        else row
        for row in record.metrics
    )
    return replace(record, metrics=rows)


def report_alarms(trials: Sequence[tuple[list[Row], list[Row]]]) -> None:
    """Prints the share of tables with a false alarm, its error, and how many suspects there were."""
    alarms = np.asarray([any(row.verdict == "regression" for row in first + last) for first, last in trials])
    at_first = np.mean([any(row.verdict == "regression" for row in first) for first, _ in trials])
    suspected = np.mean([len({row.method for row in first if row.verdict == "inconclusive"}) for first, _ in trials])
    undecided = np.mean([any(row.verdict == "inconclusive" for row in last) for _, last in trials])
    rate, error = alarms.mean(), alarms.std() / len(alarms) ** 0.5
    print(
        f"\nWithout a change, {len(trials)} tables: false alarms in {100 * rate:.2f}%, standard error {100 * error:.2f}"
    )
    print(f"at the first look {100 * at_first:.2f}%; methods that got more seeds: {suspected:.2f} a table")
    print(f"tables with a score undecided at the end: {100 * undecided:.1f}%")
    by_score: dict[str, int] = {}
    for first, last in trials:
        for name in {row.name for row in first + last if row.verdict == "regression"}:
            by_score[name] = by_score.get(name, 0) + 1
    print(f"alarms by score: {dict(sorted(by_score.items(), key=lambda item: -item[1]))}")


def found_row(score: Score, values: np.ndarray, trials: Sequence[tuple[list[Row], list[Row]]]) -> list[str]:
    method, metric = score
    mean, sd = float(values.mean()), float(values.std(ddof=1))
    skewness = float(((values - mean) ** 3).mean() / sd**3) if sd else 0.0

    def hits(rows: list[Row]) -> bool:
        return any(row.verdict == "regression" and (row.method, row.metric) == score for row in rows)

    sees = np.median(
        [row.sees / row.sd for _, last in trials for row in last if (row.method, row.metric) == score and row.sd]
    )
    return [
        f"{metric} of {method}",
        f"{mean:.4g}",
        f"{100 * sd / abs(mean):.1f}%",
        f"{skewness:.1f}",
        f"{100 * np.mean([hits(first + last) for first, last in trials]):.1f}%",
        f"{100 * np.mean([hits(first) for first, _ in trials]):.1f}%",
        f"{sees:.2f}",
    ]


if __name__ == "__main__":
    main()
