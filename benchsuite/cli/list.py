"""``benchsuite list``."""

from __future__ import annotations

import json

import click

from benchsuite.cli.options import json_flag, plugin_flags

_KINDS = ("methods", "datasets", "metrics", "features", "executors", "reporters")


@click.command("list")
@click.argument("kind", required=False, type=click.Choice(_KINDS), metavar="[KIND]")
@plugin_flags
@json_flag
def command(kind: str | None, as_json: bool) -> None:
    """List methods, datasets, metrics, features, executors and reporters by name.

    With a KIND, their parameters too.
    """
    from benchsuite.harness.catalogue import catalogue, written

    known = catalogue()
    kinds = (kind,) if kind else _KINDS
    found = {k: known.kinds[k] for k in kinds}
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return
    for each in kinds:
        click.echo(f"{each}:")
        width = max((len(item["name"]) for item in found[each]), default=0)
        for item in found[each]:
            named = "" if item.get("default", True) else " (only where it is named)"
            click.echo(f"  {item['name']:{width}}  {item['summary']}{named}")
            for parameter in item["parameters"] if kind else ():
                click.echo(f"  {'':{width}}    {parameter['name']}={parameter['default']}: {parameter['allowed']}")
            for name, values in item["presets"].items() if kind else ():
                preset = ", ".join(f"{key}={written(value)}" for key, value in values.items())
                click.echo(f"  {'':{width}}    preset={name}: {preset}")
    if known.broken:
        click.echo(f"{len(known.broken)} broken; see 'benchsuite plugins list'", err=True)
