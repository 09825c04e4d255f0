"""``benchsuite plugins``."""

from __future__ import annotations

import dataclasses
import json

import click

from benchsuite.cli.options import json_flag


@click.group("plugins")
def command() -> None:
    """Show installed plugins and what is wrong with broken ones."""


@command.command("list")
@json_flag
def list_plugins(as_json: bool) -> None:
    """List every plugin: what it provides, where it comes from, and why it does not work where it does not."""
    from benchsuite.harness.registry import load_registry
    from benchsuite.kit.text import table

    plugins = load_registry().plugins
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(p) for p in plugins], indent=1))
        return
    rows = []
    for plugin in plugins:
        provides = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in plugin.provides.items())
        rows.append([plugin.name, f"{plugin.distribution} {plugin.version}", provides, plugin.problem or "ok"])
    click.echo(table(["plugin", "distribution", "provides", "status"], rows, [False] * 4))
