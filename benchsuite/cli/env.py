"""``benchsuite env``."""

from __future__ import annotations

import json

import click

from benchsuite.cli.options import json_flag


@click.command("env")
@json_flag
def command(as_json: bool) -> None:
    """Show this machine, its devices and package versions, for bug reports and for comparing timings."""
    from benchsuite.harness.environment import describe

    found = describe()
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return
    for key, value in found.items():
        if isinstance(value, dict):
            value = ", ".join(f"{name} {version or 'absent'}" for name, version in value.items())
        elif isinstance(value, list):
            value = ", ".join(value)
        click.echo(f"{key:12}{value if value is not None else 'none'}")
