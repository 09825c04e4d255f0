"""``benchsuite plugins new``."""

from __future__ import annotations

from pathlib import Path

import click

from benchsuite.scaffold import KINDS, scaffold


@click.command("new")
@click.argument("name", metavar="NAME")
@click.option("--kind", type=click.Choice([*KINDS]), default="method", show_default=True, help="What it provides.")
@click.option("--out", "-o", type=click.Path(path_type=Path), help="The folder.  [default: NAME]")
def command(name: str, kind: str, out: Path | None) -> None:
    """Write a package with a plugin that installs, runs and keeps its contract, to be changed into your own.

    \b
    benchsuite plugins new waves --kind method
    """
    from benchsuite.harness.catalogue import catalogue

    known = catalogue()
    provided = known.kinds[kind if kind == "features" else f"{kind}s"]
    folder = out or Path(name)
    written = scaffold(name, kind, folder, [each["name"] for each in (*provided, *known.plugins)])
    for path in written:
        click.echo(f"wrote {path}")
    click.echo(f"Next: cd {folder} && pip install -e '.[test]' && benchsuite plugins check {written[1].stem}")
    click.echo(f"Then: {KINDS[kind][0].format(name=written[1].stem)}")
