"""``benchsuite baseline``: what a gate compares with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchsuite.cli.options import json_flag
from benchsuite.kit.text import clean, named, plural

if TYPE_CHECKING:
    from benchsuite.results.baseline import Baseline

_ADVISED = 20
_SKIPPED = {"node_modules", "site-packages", "__pycache__", "runs"}
_MOST_BYTES = 2**26
_FOLDER = click.Path(path_type=Path, file_okay=False, exists=True)
_BASELINE = click.option(
    "--baseline", "-b", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", required=True, help="Its file."
)


@click.group("baseline")
def command() -> None:
    """Set, show and list baselines: small files with the scores that a gate compares with, to be committed."""


@command.command("set")
@click.argument("run", type=click.Path(path_type=Path), metavar="RUN")
@_BASELINE
@json_flag
def set_(run: Path, baseline: Path, as_json: bool) -> None:
    """Make the records of RUN the baseline in FILE, in place of what was there.

    \b
    benchsuite baseline set runs/main --baseline benchmarks/baselines/digits.json
    """
    from benchsuite.errors import BaselineError
    from benchsuite.harness.store import find_run
    from benchsuite.results.baseline import baseline_of, is_baseline, write_baseline

    found = baseline_of(find_run(run))
    replaced = baseline.exists()
    if replaced and not is_baseline(baseline):
        raise BaselineError(f"{baseline} is there, and is no baseline; choose another file, or remove it first")
    write_baseline(found, baseline)
    if as_json:
        click.echo(json.dumps(_summary(baseline, found), indent=1))
        return
    click.echo(f"{'Replaced' if replaced else 'Wrote'} {baseline}: {_described(found)}")
    for warning in _warnings(found):
        click.echo(f"Warning: {warning}", err=True)
    click.echo(f"Commit it; then: benchsuite gate --run --baseline {baseline}")


@command.command("show")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE")
@json_flag
def show(file: Path, as_json: bool) -> None:
    """Show the scores in FILE, and the smallest loss that a gate with all its seeds would find.

    \b
    benchsuite baseline show benchmarks/baselines/digits.json
    """
    from benchsuite.cli.tables import print_frame
    from benchsuite.results.baseline import read_baseline
    from benchsuite.results.baselinetable import baseline_table

    found = read_baseline(file)
    if as_json:
        rows = [row._asdict() for row in baseline_table(found)]
        click.echo(json.dumps({**_summary(file, found), "scores": rows}, indent=1, allow_nan=False))
        return
    import pandas as pd

    click.echo(f"{file}: {_described(found)}\n")
    print_frame(pd.DataFrame([row.texts() for row in baseline_table(found)]))
    click.echo("\nfinds losses from: those that a gate of as many seeds calls a regression with 95% probability")
    for warning in _warnings(found):
        click.echo(f"\nWarning: {warning}")


@command.command("list")
@click.argument("folder", type=_FOLDER, default=".", metavar="[FOLDER]")
@json_flag
def list_(folder: Path, as_json: bool) -> None:
    """List the baselines in FOLDER and below, and say what is wrong with damaged ones.

    \b
    benchsuite baseline list benchmarks
    """
    from benchsuite.errors import BaselineError
    from benchsuite.results.baseline import is_baseline, read_baseline

    rows: list[dict[str, object]] = []
    for path in sorted(_json_files(folder)):
        if not is_baseline(path):
            continue
        try:
            rows.append(_summary(path, read_baseline(path)) | {"problem": ""})
        except BaselineError as error:
            rows.append({"file": str(path), "problem": str(error)})
    if as_json:
        click.echo(json.dumps({"baselines": rows}, indent=1))
        return
    if not rows:
        click.echo(f"no baseline in {folder}; make one: benchsuite baseline set RUN --baseline FILE")
    for row in rows:
        click.echo(clean(str(row["problem"]), markdown=False) or f"{row['file']}: {row['described']}")


def _json_files(folder: Path) -> Iterator[Path]:
    """Those below ``folder``, but not in hidden folders, environments and runs."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            if not path.name.startswith(".") and path.name not in _SKIPPED and not (path / "pyvenv.cfg").exists():
                yield from _json_files(path)
        elif path.suffix == ".json" and path.is_file() and path.stat().st_size <= _MOST_BYTES:
            yield path


def _summary(path: Path, baseline: Baseline) -> dict[str, object]:
    environment = baseline.environment
    return {
        "file": str(path),
        "described": _described(baseline),
        "methods": sorted({entry.method for entry in baseline.entries}),
        "datasets": sorted({entry.dataset for entry in baseline.entries}),
        "seeds": sorted({seed for entry in baseline.entries for seed in entry.seeds}),
        "commit": environment.get("project"),
        "benchsuite": environment.get("benchsuite"),
        "digest": baseline.digest,
    }


def _described(baseline: Baseline) -> str:
    """``vae, glo on digits, 20 seeds, 16 scores, at 1a2b3c4d``."""
    methods = named(entry.method for entry in baseline.entries)
    datasets = named(entry.dataset for entry in baseline.entries)
    seeds = {seed for entry in baseline.entries for seed in entry.seeds}
    scores = {(entry.method, entry.dataset, metric) for entry in baseline.entries for metric in entry.scores}
    commit, changes, _ = str(baseline.environment.get("project") or "").partition("+changes")
    at = f", at {commit[:8]}{' and changes' if changes else ''}" if commit else ""
    return f"{methods} on {datasets}, {plural(len(seeds), 'seed')}, {plural(len(scores), 'score')}{at}"


def _warnings(baseline: Baseline) -> list[str]:
    tried: dict[tuple[str, str], list[int]] = {}
    for entry in baseline.entries:
        tried.setdefault((entry.method, entry.dataset), []).extend(entry.seeds)
    seeds = min(map(len, tried.values()))
    warnings = []
    if seeds < _ADVISED:
        kind = "allows tolerances alone, and no test" if seeds < 3 else "finds large losses only"
        advice = f"{_ADVISED} are advised: run it with --seeds {_ADVISED}"
        warnings.append(f"a baseline of {plural(seeds, 'seed')} {kind}; {advice}")
    empty = [
        f"{metric} of {entry.method} on {entry.dataset} ({named(scores.without.values(), most=1)})"
        for entry in baseline.entries
        for metric, scores in entry.scores.items()
        if not entry.failed and all(value is None for value in scores.values)
    ]
    if empty:
        warnings.append(f"scores without a value are not gated: {named(empty)}")
    failures: dict[tuple[str, str], int] = {}
    for entry in baseline.entries:
        if entry.failed:
            place = (entry.method, entry.dataset)
            failures[place] = failures.get(place, 0) + len(entry.failed)
    if failures:
        found = (f"{m} on {d}, {count} of {plural(len(tried[m, d]), 'seed')}" for (m, d), count in failures.items())
        warnings.append(f"cells failed, and may go on failing as often: {'; '.join(found)}")
    return warnings
