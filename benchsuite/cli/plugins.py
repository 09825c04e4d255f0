"""``benchsuite plugins``: each of its commands is a module plugins_NAME, loaded only when called."""

from __future__ import annotations

import click

from benchsuite.cli.lazy import LazyGroup

# The sentence is the command's line in ``benchsuite plugins --help``.
COMMANDS = {
    "list": "List plugins: what they provide, where they come from, and what is wrong with broken ones.",
    "check": "Check that plugins keep their contracts, on tiny data.",
    "new": "Write a package with a plugin that installs, runs and keeps its contract.",
}


class _Commands(LazyGroup):
    sentences = COMMANDS
    module = "benchsuite.cli.plugins_{}"
    what = "plugins command"


@click.group("plugins", cls=_Commands)
def command() -> None:
    """List, check and begin plugins."""
