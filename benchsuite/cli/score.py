"""``benchsuite score``."""

from __future__ import annotations

from pathlib import Path

import click

from benchsuite.cli.completion import selections
from benchsuite.cli.options import json_flag, plugin_flags
from benchsuite.harness import server
from benchsuite.harness.recipe import parse_selections


@click.command("score")
@click.argument("run", type=click.Path(path_type=Path), metavar="RUN")
@click.option(
    "--metrics",
    metavar="LIST",
    required=True,
    shell_complete=selections("metrics"),
    help="Metrics, as NAME or NAME[parameter=value,...].",
)
@click.option("--samples", type=click.IntRange(min=2), help="Another number scores all that is of samples anew.")
@click.option("--force", is_flag=True, help="Score again what is scored already.")
@plugin_flags
@json_flag
def command(run: Path, metrics: str, samples: int | None, force: bool, as_json: bool) -> int:
    """Score the finished models of RUN by more metrics, without training any.

    What was cut off or failed stays as it is; the run's own command goes on with it, and shows the metrics and the
    number of samples that it names itself. --samples counts from then on for this command.

    \b
    benchsuite score runs/NAME --metrics precision,recall
    benchsuite score NAME --metrics "fid,kid[features=inception]" --samples 50000
    """
    parse_selections(metrics)  # before anything heavy is imported, so that a typo answers at once
    server.start_early()
    from benchsuite import suite
    from benchsuite.cli.outcome import show
    from benchsuite.cli.progress import watch

    with watch() as observer:
        outcome = suite.score(run, metrics, samples=samples, force=force, observer=observer)
    return show(outcome, as_json)
