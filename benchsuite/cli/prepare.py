"""``benchsuite prepare``."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from benchsuite.cli.completion import selections
from benchsuite.cli.interrupts import interrupts_kept
from benchsuite.cli.options import json_flag, plugin_flags
from benchsuite.errors import SelectionError, reason_of
from benchsuite.harness.recipe import parse_selections

Report = Callable[[str, int, int | None], None]


@click.command("prepare")
@click.argument("names", nargs=-1, metavar="NAME...", shell_complete=selections("datasets", "features"))
@click.option("--list", "listing", is_flag=True, help="Show what is there, its sizes and fingerprints.")
@click.option("--skip-bad", is_flag=True, help="Leave out images that cannot be read, and say how many.")
@click.option("--force", is_flag=True, help="Prepare again what is prepared already.")
@plugin_flags
@json_flag
def command(names: tuple[str, ...], listing: bool, skip_bad: bool, force: bool, as_json: bool) -> int:
    """Fetch datasets, check them, and store them as runs use them. The only command that uses the network.

    A dataset with labels also gets the classifier by whose features its samples are scored; networks that are needed
    for scores of their own are fetched by their name. What was fetched is kept: the same command goes on where it
    stopped.

    \b
    benchsuite prepare mnist svhn
    benchsuite prepare inception
    benchsuite prepare "celeba[size=128]" "folder[path=photographs]" --skip-bad
    benchsuite prepare --list
    """
    if listing == bool(names):
        raise click.UsageError("name what to prepare, or give --list alone; known: benchsuite list")
    selections = [selection for name in names for selection in parse_selections(name)]
    labelled = [str(selection) for selection in selections if selection.label]
    if labelled:
        raise SelectionError(f"'{labelled[0]}' has a label; labels are for runs")

    from benchsuite.contracts import FeatureExtractor, Preparation
    from benchsuite.harness.environment import cache_folder
    from benchsuite.harness.preparation import bind_prepared, prepare
    from benchsuite.harness.registry import load_registry

    cache = cache_folder()
    if listing:
        _list(cache, as_json)
        return 0
    registry = load_registry()
    chosen = [bound for selection in selections for bound in bind_prepared(selection, registry)]
    results: list[dict[str, Any]] = []
    with interrupts_kept() as check, _progress() as (report, say):

        def heard(what: str, done: int, of: int | None) -> None:
            check()
            report(what, done, of)

        work = Preparation(skip_bad, force, heard, say)
        for bound in chosen:
            try:
                prepared = asdict(prepare(bound, cache, work, registry)) | {"error": ""}
                say(_sentence(prepared))
            except Exception as error:  # also a plugin's own: the others are prepared all the same
                reason = reason_of(error)
                kind = "features" if isinstance(bound.instance, FeatureExtractor) else "dataset"
                prepared = {kind: bound.label, "error": reason}
                say(f"Error: {reason}")
            results.append(prepared)
    if as_json:
        click.echo(json.dumps(results, indent=1))
    return int(any(result["error"] for result in results))


def _sentence(prepared: dict[str, Any]) -> str:
    if "features" in prepared:
        state = "is prepared" if prepared["needed"] else "needs no preparation"
        return f"{prepared['features']} {state}: {prepared['fingerprint']}"
    shape = " x ".join(map(str, prepared["shape"]))
    rows = f"{prepared['train']} for training and {prepared['test']} for testing, each {shape}"
    if not prepared["needed"]:
        return f"{prepared['dataset']} needs no preparation: {rows}"
    return f"{prepared['dataset']} is prepared: {rows}" + (f", {prepared['content']}" if prepared["content"] else "")


def _list(cache: Path, as_json: bool) -> None:
    from benchsuite.harness.preparation import fetched, kept_features, stores, trained
    from benchsuite.kit.text import table

    prepared, files, kept = list(stores(cache)), list(fetched(cache)), list(kept_features(cache))
    networks = list(trained(cache))
    if as_json:
        found = {"cache": str(cache), "prepared": prepared, "fetched": files, "trained": networks, "features": kept}
        click.echo(json.dumps(found, indent=1))
        return
    click.echo(f"{cache}: {len(prepared)} datasets prepared, {len(files)} files fetched")
    if prepared:
        header = ["dataset", "images", "left out", "shape", "MiB", "fingerprint", "prepared"]
        rows = [
            [
                item["dataset"],
                str(item["images"]),
                str(item["left_out"]),
                " x ".join(map(str, item["shape"])),
                str(item["mib"]),
                item["fingerprint"],
                item["prepared"],
            ]
            for item in prepared
        ]
        click.echo("\n" + table(header, rows, [False, True, True, False, True, False, False]))
    if files:
        rows = [
            [item["dataset"], item["file"], str(item["mib"]), "whole" if item["whole"] else "in part"] for item in files
        ]
        click.echo("\n" + table(["of", "file", "MiB", "fetched"], rows, [False, False, True, False]))
    if networks:
        rows = [[item["dataset"], item["extractor"], f"{item['accuracy']:.1%}"] for item in networks]
        click.echo("\n" + table(["dataset", "trained", "accuracy"], rows, [False, False, True]))

    if kept:
        rows = [[item["dataset"], item["features"], str(item["mib"])] for item in kept]
        click.echo(
            f"\nFeatures of training data, kept between runs, which may be removed: {cache / 'features' / 'kept'}\n"
        )
        click.echo(table(["dataset", "features", "MiB"], rows, [False, False, True]))


@contextmanager
def _progress() -> Iterator[tuple[Report, Callable[[str], None]]]:
    """A bar on a terminal, a line for each tenth elsewhere, on standard error; and how to print a line beside it."""
    if not sys.stderr.isatty():
        yield _Tenths(), lambda line: click.echo(line, err=True)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:.0f}%"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        bars: dict[str, TaskID] = {}

        def report(what: str, done: int, of: int | None) -> None:
            if what not in bars:
                for bar in bars.values():
                    progress.update(bar, visible=False)
                bars[what] = progress.add_task(what.replace("[", r"\["), total=of)
            progress.update(bars[what], completed=done, total=of)

        yield report, lambda line: progress.console.print(line, markup=False, highlight=False, soft_wrap=True)


class _Tenths:
    """A line when something begins, and at every tenth of it."""

    def __init__(self) -> None:
        self._last: tuple[str, int] = ("", -1)

    def __call__(self, what: str, done: int, of: int | None) -> None:
        now = (what, 10 * done // of if of else 0)
        if now != self._last:
            self._last = now
            click.echo(f"{what}: {10 * now[1]}%" if of else what, err=True)
