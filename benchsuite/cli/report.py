"""``benchsuite report``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from benchsuite.cli.options import json_flag


@click.command("report")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
@click.option("--format", "formats", default="markdown,csv", show_default=True, help="Reporters, separated by commas.")
@click.option("--out", "-o", type=click.Path(path_type=Path), help="The folder to write to.  [default: RUN/report]")
@json_flag
def command(runs: tuple[Path, ...], formats: str, out: Path | None, as_json: bool) -> None:
    """Write a run's tables in other formats, from the records that it left."""
    from benchsuite.errors import PluginError, StoreError, UsageError
    from benchsuite.harness.registry import load_registry
    from benchsuite.harness.store import find_run
    from benchsuite.results.tables import make_report

    registry = load_registry()
    try:
        reporters = [registry.get("reporters", name.strip())() for name in formats.split(",")]
    except PluginError as error:
        raise UsageError(str(error)) from None
    stores = [find_run(run) for run in runs]
    written: list[str] = []
    for store in stores:
        report = make_report(store, store.records())
        folder = store.path / "report" if out is None else out if len(stores) == 1 else out / store.name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            written += [str(path) for reporter in reporters for path in reporter.write(report, folder)]
        except OSError as error:
            raise StoreError(f"cannot write to {folder}: {error.strerror}; choose another folder with --out") from None
    click.echo(json.dumps({"written": written}, indent=1) if as_json else "\n".join(written))
