"""The command line: one file per command, loaded only when called; each parses, calls and prints."""

from __future__ import annotations

import io
import os
import sys

import click

import benchsuite
from benchsuite.cli.lazy import LazyGroup
from benchsuite.errors import BenchsuiteError, UsageError
from benchsuite.harness import server

# Each command's module is named after it; the sentence is its line in ``benchsuite --help``.
COMMANDS = {
    "run": "Run methods on datasets and print the comparison.",
    "plan": "Show what a run would do, and why, without doing it.",
    "score": "Score a run's finished models by more metrics, without training.",
    "prepare": "Fetch and prepare datasets and networks; nothing else uses the network.",
    "list": "List methods, datasets, metrics and other plugins by name.",
    "report": "Write a report on one run or several, and keep it up to date while they work.",
    "compare": "Say what changed from one run to another.",
    "baseline": "Set, show and list what a gate compares with.",
    "gate": "Say which scores of a run are worse than a baseline's, for CI.",
    "reproduce": "Run tables, figures and claims of the papers again, with a verdict on each.",
    "plugins": "List plugins, check that they keep their contracts, and begin new ones.",
    "env": "Show this machine, its devices and package versions.",
}
COMPLETION = "_BENCHSUITE_COMPLETE"  # the variable by which a shell asks click what may stand next


class _Commands(LazyGroup):
    sentences = COMMANDS
    module = "benchsuite.cli.{}"


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Exit codes: 0 ok, 1 a cell or a check failed, 2 usage, 3 a regression, 4 no baseline, 130 interrupted.",
)
@click.version_option(benchsuite.__version__, prog_name="benchsuite")
def group() -> None:
    """Benchmark latent-variable generative models: every method on every dataset, in isolation, over seeds."""


def main() -> None:
    """The console script."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a character gets a question mark, not a crash
    if COMPLETION in os.environ:
        from benchsuite.cli.completion import teach_shells

        teach_shells()
    try:
        code = group.main(standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        code = 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or the interpreter would complain again when it ends
        code = 0
    except BenchsuiteError as error:
        click.echo(f"Error: {error}", err=True)
        code = 2 if isinstance(error, UsageError) else 1
    except OSError as error:  # a full disk, a folder that vanished: what stands is kept
        click.echo(f"Error: {error}", err=True)
        code = 1
    finally:
        server.stop_early()
    sys.exit(code if isinstance(code, int) else 0)
