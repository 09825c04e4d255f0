"""``benchsuite plugins list``."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from benchsuite.cli.options import json_flag, plugin_flags

_HEADER = ("plugin", "kind", "provides", "distribution", "version", "status")
_SINGULAR = {kind: kind.removesuffix("s") for kind in ("methods", "datasets", "metrics", "executors", "reporters")}
_NOTHING = "–"


@click.command("list")
@plugin_flags
@json_flag
def command(as_json: bool) -> None:
    """List every plugin: what it provides, where it comes from, and why it does not work where it does not."""
    from benchsuite.harness.catalogue import catalogue

    known = catalogue(broken_anew=True)
    if as_json:
        click.echo(json.dumps(known.plugins, indent=1))
        return
    rows = [row for plugin in known.plugins for row in _rows(plugin)]
    reasons = [_reason(plugin) for plugin in known.broken]
    if sys.stdout.isatty():
        _print_fitted(rows, reasons)
        return
    from benchsuite.kit.text import table

    click.echo(table(_HEADER, rows, [False] * len(_HEADER)))
    for reason in reasons:
        click.echo(f"\n{reason}")


def _rows(plugin: dict[str, Any]) -> list[list[str]]:
    """One for each kind that it provides; one alone where it provides nothing that can be used."""
    provided = {_NOTHING: [_NOTHING]}
    if plugin["status"] == "ok" and plugin["provides"]:
        provided = {_SINGULAR.get(kind, kind): names for kind, names in plugin["provides"].items()}
    whence = (plugin["file"] or plugin["distribution"], plugin["version"] or _NOTHING)
    return [[plugin["name"], kind, ", ".join(names), *whence, plugin["status"]] for kind, names in provided.items()]


def _reason(plugin: dict[str, Any]) -> str:
    from benchsuite.kit.text import clean

    whence = plugin["file"] or f"{plugin['distribution']} {plugin['version']}"
    text = f"{plugin['name']} ({whence}, module {plugin['module']}) is broken: {plugin['problem']}"
    return clean(text, markdown=False)


def _print_fitted(rows: list[list[str]], reasons: list[str]) -> None:
    """On a terminal, as wide as that."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from benchsuite.kit.text import clean

    console = Console()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="")
    for title in _HEADER:
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*(Text(clean(cell, markdown=False)) for cell in row))
    console.print(table)
    for reason in reasons:
        console.print(Text(reason + "\n"))
