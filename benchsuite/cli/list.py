"""``benchsuite list``."""

from __future__ import annotations

import dataclasses
import inspect
import json
from typing import Any

import click

from benchsuite.cli.options import json_flag

_KINDS = ("methods", "datasets", "metrics", "features", "executors", "reporters")


@click.command("list")
@click.argument("kind", required=False, type=click.Choice(_KINDS), metavar="[KIND]")
@json_flag
def command(kind: str | None, as_json: bool) -> None:
    """List methods, datasets, metrics, features, executors and reporters by name.

    With a KIND, their parameters too.
    """
    from benchsuite.harness.registry import load_registry

    registry = load_registry()
    kinds = (kind,) if kind else _KINDS
    found = {k: [_describe(registry.get(k, name)) for name in registry.names(k)] for k in kinds}
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
                written = ", ".join(f"{key}={_written(value)}" for key, value in values.items())
                click.echo(f"  {'':{width}}    preset={name}: {written}")
    broken = [p for p in registry.plugins if p.problem]
    if broken:
        click.echo(f"{len(broken)} broken; see 'benchsuite plugins list'", err=True)


def _describe(item: Any) -> dict[str, Any]:
    from benchsuite.contracts import Metric
    from benchsuite.parameters import describe, parameters_of

    owner = item.compute if isinstance(item, Metric) else item
    text = inspect.getdoc(owner) or ""
    if text.startswith(f"{owner.__name__}("):
        text = ""  # the signature that a dataclass without a docstring is given
    parameters = [
        {
            "name": p.name,
            "default": _written(p.default),
            "allowed": describe(p.annotation),
        }
        for p in parameters_of(owner).values()
    ]
    described = {
        "name": item.name,
        "summary": " ".join(text.partition("\n\n")[0].split()),
        "parameters": parameters,
        "presets": {name: dict(values) for name, values in getattr(item, "presets", {}).items()},
    }
    if isinstance(item, Metric):
        described |= {"unit": item.unit, "direction": item.direction, "version": item.version, "default": item.default}
    return described


def _written(default: Any) -> str:
    """A default as one would write it in a selection."""
    if default is dataclasses.MISSING:
        return "required"
    if isinstance(default, tuple | list):
        return f"[{','.join(_written(item) for item in default)}]"
    return str(default).lower()
