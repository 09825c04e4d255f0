"""``benchsuite reproduce``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchsuite.cli.options import json_flag, plugin_flags
from benchsuite.kit.text import clean

if TYPE_CHECKING:
    from benchsuite.papers import ItemOutcome
    from benchsuite.results.itemfile import Item, ScaleName

SCALES: tuple[ScaleName, ...] = ("smoke", "small", "paper")


@click.command("reproduce")
@click.argument("names", nargs=-1, metavar="[PAPER/ITEM | PAPER | all | FILE.toml]...")
@click.option("--list", "listed", is_flag=True, help="List the items, their claims and how long they take.")
@click.option("--scale", type=click.Choice(SCALES), default="small", show_default=True, help="How large to run.")
@click.option("--out", "-o", type=click.Path(path_type=Path), help="Where the runs go.  [default: runs/reproduce]")
@click.option("--reports", type=click.Path(path_type=Path), help="Write the items' pages, and an index, here too.")
@click.option("--device", metavar="DEVICE", help="auto, cpu, mps, cuda or cuda:N.  [default: the item's]")
@click.option("--jobs", "-j", type=click.IntRange(min=1), help="Cells at once.  [default: cores / threads; 1 on a GPU]")
@click.option("--force", is_flag=True, help="Run every cell again, from its beginning.")
@plugin_flags
@json_flag
def command(
    names: tuple[str, ...],
    listed: bool,
    scale: str,
    out: Path | None,
    reports: Path | None,
    device: str | None,
    jobs: int | None,
    force: bool,
    as_json: bool,
) -> int:
    """Run tables, figures and claims of the papers again, and print a verdict on every claim.

    A claim holds when the whole 95% interval over paired seeds satisfies it, fails when the whole interval violates it,
    and is inconclusive otherwise. A scale speaks for itself only. What is finished already is not run again. The exit
    code is 0 whatever the verdicts, 1 where a cell failed.

    \b
    benchsuite reproduce --list
    benchsuite reproduce glo/table1 --scale small
    benchsuite reproduce all --scale smoke
    """
    from benchsuite.errors import UsageError
    from benchsuite.results.items import chosen_items

    if listed:
        _list(chosen_items(names or ["all"]), as_json)
        return 0
    if not names:
        raise UsageError("name an item, a paper or all; 'benchsuite reproduce --list' shows them")
    items = chosen_items(names)

    from benchsuite.harness import server

    server.start_early()  # before torch is imported here
    from benchsuite import papers
    from benchsuite.cli.progress import watch

    for item in items:
        papers.check_item(item, scale, reports)  # all of them before any is run
    outcomes: list[ItemOutcome] = []
    try:
        for item in items:
            server.start_early()  # the last item's has ended with it
            if not as_json:
                click.echo(f"\n{item.name} at scale {scale}: {clean(item.title, markdown=False)}")
            with watch() as observer:
                outcome = papers.reproduce(
                    item, scale, out=out, reports=reports, jobs=jobs, device=device, force=force, observer=observer
                )
            outcomes.append(outcome)
            if not as_json:
                _show(outcome)
            if outcome.run.interrupted:
                click.echo("interrupted; the same command goes on from here", err=True)
                break
    finally:
        if reports is not None and reports.is_dir():
            papers.write_index(reports)
    if as_json:
        click.echo(json.dumps([_as_json(outcome) for outcome in outcomes], indent=1, allow_nan=False))
    elif len(outcomes) > 1:
        click.echo(f"\n{len(outcomes)} items at scale {scale}: {_counted(outcomes)}")
    return max(outcome.run.exit_code for outcome in outcomes)


def _list(items: list[Item], as_json: bool) -> None:
    rows = [
        {
            "item": item.name,
            "title": item.title,
            "claims": len(item.claims),
            "published": len(item.published),
            "minutes": {name: scale.minutes for name, scale in item.scales.items()},
        }
        for item in items
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    import pandas as pd

    from benchsuite.cli.tables import print_frame

    columns = {
        "item": [item.name for item in items],
        "title": [item.title for item in items],
        "claims": [str(len(item.claims)) for item in items],
    }
    for name in SCALES:
        scales = [item.scales.get(name) for item in items]
        columns[name] = ["–" if scale is None else f"{scale.minutes:g}" for scale in scales]
    print_frame(pd.DataFrame(columns))
    total = sum(len(item.claims) for item in items)
    click.echo(
        f"\n{len(items)} items, {total} claims. Minutes each alone: smoke and small on two cores, paper on a GPU."
    )
    click.echo("Items of one paper share what they train, so that all together take less.")


def _show(outcome: ItemOutcome) -> None:
    import pandas as pd

    from benchsuite.cli.tables import print_frame
    from benchsuite.results.reproduce import effects_text

    rows = [
        [
            judged.entry.name,
            judged.on,
            judged.verdict.outcome,
            effects_text(judged.verdict.parts) or judged.verdict.reason or "–",
        ]
        for judged in outcome.found.judged
    ]
    click.echo()
    if rows:
        print_frame(pd.DataFrame(rows, columns=["claim", "on", "verdict", "effect [95% interval]"]))
    if not outcome.failures.empty:
        click.echo("\nWithout a number\n")
        print_frame(outcome.failures)
    click.echo(f"\nPage: {outcome.pages[-1]}")


def _counted(outcomes: list[ItemOutcome]) -> str:
    counts: dict[str, int] = {}
    for outcome in outcomes:
        for verdict, number in outcome.found.counts().items():
            counts[verdict] = counts.get(verdict, 0) + number
    return ", ".join(f"{number} {verdict}" for verdict, number in counts.items()) or "no claims"


def _as_json(outcome: ItemOutcome) -> dict[str, Any]:
    claims = outcome.found.claims.astype(object)
    return {
        "item": outcome.found.item.name,
        "scale": outcome.found.scale.name,
        "exit_code": outcome.run.exit_code,
        "folder": str(outcome.run.store.path),
        "pages": [str(page) for page in outcome.pages],
        "claims": claims.where(claims.notna(), None).to_dict(orient="records"),
    }
