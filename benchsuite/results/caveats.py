"""What keeps the numbers of a report from being compared or trusted, in sentences."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from benchsuite.kit.text import named
from benchsuite.results.costs import untimed
from benchsuite.results.gathering import Gathered
from benchsuite.results.statistics import MIN_SEEDS


def caveats(gathered: Gathered, summary: pd.DataFrame, contest: pd.DataFrame) -> Iterator[str]:
    """A sentence for each thing that a reader has to know before comparing numbers of this report."""
    yield from _ends(gathered)
    yield from _seeds(summary, contest)
    yield from _protocols(summary)
    yield from _codes(gathered)
    if text := untimed(gathered.records):
        yield text
    yield from _environments(gathered)
    yield from _datasets(gathered)
    cautioned = summary.loc[summary["caution"] != "", "method"]
    if len(cautioned):
        yield f"Numbers of {named(cautioned)} are marked † for a reason; see the cautions."
    references = dict.fromkeys(record.cell.method for record in gathered.records if record.reference)
    if references:
        yield f"{named(references)} hands out real data, to compare with; it takes no part in who is best."


def _ends(gathered: Gathered) -> Iterator[str]:
    failed = [record for record in gathered.records if record.status not in ("ok", "skipped")]
    if failed:
        of = f"{len(failed)} of {len(gathered.cells)} cells"
        yield f"{of} failed ({named(record.cell.method for record in failed)}); the table of failures says why."
    if gathered.missing:
        names = named(str(cell["method"]) for cell in gathered.missing)
        yield f"{len(gathered.missing)} cells of the plan have no record ({names}); the command of the run goes on."


def _seeds(summary: pd.DataFrame, contest: pd.DataFrame) -> Iterator[str]:
    fewest = summary.loc[summary["n"] > 0, "n"].min()
    if fewest < MIN_SEEDS:
        all_few = summary["n"].max() < MIN_SEEDS
        whose = "Scores have" if all_few else "Some scores have"
        yield (
            f"{whose} fewer than {MIN_SEEDS} seeds: no interval, and nothing is tested. "
            f"Run it again with --seeds {MIN_SEEDS} or more; what is done is kept."
        )
    infinite = contest.loc[(contest["verdict"] == "not tested") & (contest["seeds"] >= MIN_SEEDS), "column"]
    if len(infinite):
        yield f"Not every pair could be tested for {named(infinite)}."


def _protocols(summary: pd.DataFrame) -> Iterator[str]:
    scored = summary[summary["n"] > 0]
    counts = scored.groupby(["dataset", "metric"], sort=False)["fingerprint"].nunique().reset_index()
    for dataset, metric, count in counts[counts["fingerprint"] > 1].itertuples(index=False, name=None):
        yield f"{metric} on {dataset} was computed in {count} ways, which are not compared; each has its own column."


def _codes(gathered: Gathered) -> Iterator[str]:
    """Where codes come from, where it is not the same place for all: recovery looks at each image at length."""
    sources: dict[str, dict[str, dict[str, None]]] = {}
    for record in gathered.records:
        if record.reconstruction:
            of_dataset = sources.setdefault(record.cell.dataset, {})
            of_dataset.setdefault(record.reconstruction, {})[record.cell.method] = None
    for dataset, methods_of in sources.items():
        if len(methods_of) > 1:
            told = "; ".join(f"{named(methods)}: {source}" for source, methods in methods_of.items())
            ways = f"Reconstructions of {dataset} are by codes that were found in different ways ({told})."
            yield f"{ways} Recovery searches for the best code of each image, which takes time; an encoder does not."


def _environments(gathered: Gathered) -> Iterator[str]:
    keys = {record.environment for record in gathered.records if record.phases and record.environment}
    if len(keys) > 1:
        names = named(sorted(keys))
        yield f"Cells ran on {len(keys)} machines or devices ({names}); their times stand in tables apart."
    environments = [content.get("environment", {}) for content in gathered.contents]
    commits = dict.fromkeys(str(environment.get("commit")) for environment in environments)
    if len(commits) > 1:
        short = (f"{commit[:12]}{'+changes' if commit.endswith('+changes') else ''}" for commit in commits)
        yield f"The runs are of different versions of the code: {named(short)}."
    if any(commit.endswith("+changes") for commit in commits):
        yield "The code had changes that were not committed; the commit does not say all of it."


def _datasets(gathered: Gathered) -> Iterator[str]:
    fingerprints: dict[str, set[str]] = {}
    for record in gathered.records:
        fingerprints.setdefault(record.cell.dataset, set()).add(record.cell.dataset_fingerprint)
    differing = [dataset for dataset, found in fingerprints.items() if len(found) > 1]
    if differing:
        yield f"The code that loads {named(differing)} is not the same for all cells."
