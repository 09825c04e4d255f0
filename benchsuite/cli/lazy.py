"""Groups of commands that are modules, each loaded only when it is called."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import ClassVar

import click
from click.shell_completion import CompletionItem


class LazyGroup(click.Group):
    """A group that knows its commands by name and sentence, so that --help and completion load none of them.

    ``module`` is where the command of a name is found, as ``command``; ``what`` is what errors call one.
    """

    sentences: ClassVar[Mapping[str, str]]
    module: ClassVar[str]
    what: ClassVar[str] = "command"

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self.sentences]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.sentences:
            return None
        command: click.Command = import_module(self.module.format(cmd_name)).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        unknown = args and args[0] not in self.sentences and not args[0].startswith("-")
        if unknown and not ctx.resilient_parsing:  # a shell that completes what follows is told nothing
            from difflib import get_close_matches

            close = get_close_matches(args[0], self.sentences, n=1)
            hint = f"did you mean '{close[0]}'? " if close else ""
            ctx.fail(f"no {self.what} named '{args[0]}'; {hint}known: {', '.join(self.sentences)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([*self.sentences.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        named = [CompletionItem(n, help=text) for n, text in self.sentences.items() if n.startswith(incomplete)]
        return named + click.Command.shell_complete(self, ctx, incomplete)
