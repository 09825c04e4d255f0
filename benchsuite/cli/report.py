"""``benchsuite report``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from benchsuite.cli.completion import selections
from benchsuite.cli.options import json_flag, plugin_flags


@click.command("report")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
@click.option(
    "--format",
    "formats",
    default="html,markdown,csv",
    show_default=True,
    shell_complete=selections("reporters"),
    help="Reporters, separated by commas.",
)
@click.option(
    "--out",
    "-o",
    type=click.Path(path_type=Path),
    help="The folder to write to.  [default: RUN/report; of several runs, report in the current folder]",
)
@click.option("--open", "opens", is_flag=True, help="Open the HTML page in a browser.")
@click.option("--watch", is_flag=True, help="Write it again whenever a run has changed, until all have ended.")
@plugin_flags
@json_flag
def command(runs: tuple[Path, ...], formats: str, out: Path | None, opens: bool, watch: bool, as_json: bool) -> int:
    """Write a report on one run, or one on several, from the records that they left.

    A label that several runs have goes with the run's name behind it. A reporter that fails does not stop the others,
    and makes the exit code 1.

    \b
    benchsuite report my-run --format html,latex --open
    benchsuite report my-run --watch --open
    """
    from benchsuite.errors import PluginError, UsageError

    names = list(dict.fromkeys(name.strip() for name in formats.split(",")))
    if opens and "html" not in names:
        raise UsageError(f"--open opens an HTML page, and --format {formats} writes none; add html to it")
    from benchsuite.cli.reporting import Reporting, Written, open_page
    from benchsuite.harness.registry import load_registry
    from benchsuite.harness.store import find_run

    registry = load_registry()
    try:
        reporters = {name: registry.get("reporters", name) for name in names}
    except PluginError as error:
        raise UsageError(str(error)) from None
    stores = [find_run(run) for run in runs]
    folder = out or (stores[0].path / "report" if len(stores) == 1 else Path("report"))
    reporting, interrupted = Reporting(stores, reporters, folder), False

    def show(written: Written) -> None:
        if opens:
            open_page(written.paths)

    if watch:
        from benchsuite.cli.watching import watch as keep_up

        written, interrupted = keep_up(reporting, show)
    else:
        written = reporting.write()
        show(written)
    if as_json:
        paths = [str(path) for path in written.paths]
        click.echo(json.dumps({"written": paths, "failed": written.failed}, indent=1))
    else:
        for path in written.paths:
            click.echo(str(path))
    return 130 if interrupted else 1 if written.failed else 0
