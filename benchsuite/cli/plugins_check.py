"""``benchsuite plugins check``."""

from __future__ import annotations

import dataclasses
import json
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchsuite.cli.options import json_flag, plugin_flags

if TYPE_CHECKING:
    from benchsuite.testing.finding import Finding

_COLOURS = {"ok": "green", "failed": "red", "skipped": "yellow"}
_WIDTH = 100
_PARTS = ("expected", "got", "read")


@click.command("check")
@click.argument("target", metavar="DIST|PLUGIN|FILE.py")
@click.argument("selections", nargs=-1, metavar="[NAME[parameter=value,...]]...")
@click.option("--limit", type=click.FloatRange(min=1), default=60.0, show_default=True, help="Seconds for a check.")
@plugin_flags
@json_flag
def command(target: str, selections: tuple[str, ...], limit: float, as_json: bool) -> int:
    """Check that plugins keep their contracts, on tiny data, in a process of their own.

    Of a distribution, a plugin, or a file that is not installed; with NAMEs, of these alone, and with values for their
    parameters. The exit code is 1 where a check fails.

    \b
    benchsuite plugins check acme
    benchsuite plugins check waves.py
    benchsuite plugins check waves.py "waves[size=3]"
    """
    from benchsuite.harness.pluginfiles import name_more
    from benchsuite.testing.checking import check_plugin

    is_file = target.endswith(".py")
    take_back = name_more(files=[Path(target)] if is_file else [])
    found: list[Finding] = []
    try:
        for finding in check_plugin(target, selections, limit):
            found.append(finding)
            if not as_json:
                _show(finding, is_new=len(found) == 1 or found[-2].subject != finding.subject)
    finally:
        take_back()
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(finding) for finding in found], indent=1))
    else:
        _sum_up(found)
    return int(any(finding.verdict == "failed" for finding in found))


def _show(finding: Finding, is_new: bool) -> None:
    if is_new:
        click.echo(f"{finding.subject}:")
    verdict = click.style(f"{finding.verdict:8}", fg=_COLOURS[finding.verdict])
    if finding.verdict == "failed":
        click.echo(f"  {verdict}{finding.claim}")
        click.echo("\n".join(_wrapped(finding.text)))
    else:
        click.echo(f"  {verdict}{finding.claim}{f' ({finding.text})' if finding.text else ''}")


def _wrapped(text: str) -> Iterator[str]:
    """The lines of a message, broken where they are long, but for those of a traceback."""
    for line in text.splitlines():
        name, colon, _ = line.partition(": ")
        hanging = len(name) + 2 if colon and name.strip() in _PARTS else 0
        yield from (
            textwrap.wrap(
                line, _WIDTH, initial_indent=" " * 10, subsequent_indent=" " * (10 + hanging), drop_whitespace=True
            )
            if hanging
            else [" " * 10 + line]
        )


def _sum_up(found: Sequence[Finding]) -> None:
    counts = Counter(finding.verdict for finding in found)
    seconds = sum(finding.seconds for finding in found)
    click.echo(
        f"\n{len(found)} checks in {seconds:.1f} s: {counts['ok']} ok, {counts['failed']} failed, "
        f"{counts['skipped']} skipped"
    )
