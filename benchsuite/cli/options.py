"""The flags that ``run`` and ``plan`` share, and the recipe that they and a TOML file make together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from benchsuite.cli.completion import plugin_names, selections
from benchsuite.harness.pluginfiles import name_more
from benchsuite.harness.recipe import Recipe, read_recipe, recipe_from

_SELECTIONS = "as NAME or NAME[parameter=value,...]@label, separated by commas"
_FLAGS = (
    click.option(
        "--methods", "-m", metavar="LIST", shell_complete=selections("methods"), help=f"Methods, {_SELECTIONS}."
    ),
    click.option(
        "--datasets",
        "-d",
        metavar="LIST",
        shell_complete=selections("datasets"),
        help="Datasets, likewise.  [default: digits]",
    ),
    click.option("--seeds", "-s", metavar="SEEDS", help="3 is seeds 0, 1, 2; 4,7 those two; 7, seed 7.  [default: 1]"),
    click.option(
        "--metrics",
        metavar="LIST",
        shell_complete=selections("metrics"),
        help="Metrics, likewise.  [default: all that apply]",
    ),
    click.option("--latent-dim", type=int, help="Size of codes, where a method names none.  [default: the dataset's]"),
    click.option("--subset", type=int, help="Train on so many images, and test on as large a part.  [default: all]"),
    click.option("--samples", type=int, help="Samples drawn for distances.  [default: 4000]"),
    click.option("--device", metavar="DEVICE", help="auto, cpu, mps, cuda or cuda:N.  [default: auto]"),
    click.option("--precision", metavar="P", help="fp32, tf32 or bf16 in training.  [default: fp32]"),
    click.option("--threads", type=int, help="Processor threads of each cell; numbers depend on it.  [default: 1]"),
    click.option("--budget", metavar="TIME", help="Stop each training after this time (90s, 30m, 1h30m)."),
    click.option("--timeout", metavar="TIME", help="Kill a cell that runs longer."),
    click.option("--memory-limit", metavar="SIZE", help="Fail a cell whose memory grows by more (512M, 8G)."),
    click.option("--jobs", "-j", type=int, help="Cells at once.  [default: cores / threads; 1 on a GPU]"),
    click.option(
        "--executor", metavar="NAME", shell_complete=selections("executors"), help="Where cells run.  [default: local]"
    ),
    click.option("--keep", metavar="models|none", help="Whether fitted models are kept.  [default: models]"),
)


def _name_files(context: click.Context, _: click.Parameter, files: tuple[Path, ...]) -> None:
    _until_closed(context, name_more(files=files))


def _block(context: click.Context, _: click.Parameter, names: tuple[str, ...]) -> None:
    _until_closed(context, name_more(blocked=names))


def _until_closed(context: click.Context, take_back: Callable[[], None]) -> None:
    if not context.resilient_parsing:  # what a shell asks is answered after that, and then the process ends
        context.call_on_close(take_back)


_PLUGIN_FLAGS = (
    click.option(
        "--plugin",
        metavar="FILE.py",
        type=click.Path(path_type=Path),
        multiple=True,
        expose_value=False,
        callback=_name_files,
        help="Use a plugin that is a file and not installed.",
    ),
    click.option(
        "--no-plugin",
        metavar="NAME",
        multiple=True,
        expose_value=False,
        callback=_block,
        shell_complete=plugin_names,
        help="Do not load a plugin, or those of a distribution.",
    ),
)


def plugin_flags(command: Callable[..., Any]) -> Callable[..., Any]:
    """Let ``command`` name more plugins, and fewer; those of the environment variables count as well."""
    for flag in reversed(_PLUGIN_FLAGS):
        command = flag(command)
    return command


def recipe_flags(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give ``command`` the argument RECIPE and every flag of a recipe."""
    for flag in reversed(_FLAGS):
        command = flag(command)
    return click.argument("recipe_file", metavar="[RECIPE.toml]", required=False, type=click.Path(path_type=Path))(
        command
    )


def recipe_of(recipe_file: Path | None, flags: dict[str, Any]) -> Recipe:
    """The recipe of a file, if any, with the flags that were given in place of its keys."""
    values = read_recipe(recipe_file) if recipe_file else {}
    return recipe_from(values | {key: value for key, value in flags.items() if value is not None})


out_flag = click.option("--out", "-o", type=click.Path(path_type=Path), help="The run directory.  [default: runs/NAME]")
force_flag = click.option("--force", is_flag=True, help="Run every cell again, from its beginning.")
fresh_flag = click.option("--fresh", is_flag=True, help="Take a new run directory.")
json_flag = click.option("--json", "as_json", is_flag=True, help="Print JSON on standard output.")
