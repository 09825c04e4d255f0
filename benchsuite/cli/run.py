"""``benchsuite run``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from benchsuite.cli.options import force_flag, fresh_flag, json_flag, out_flag, plugin_flags, recipe_flags, recipe_of
from benchsuite.harness import server


@click.command("run")
@recipe_flags
@out_flag
@force_flag
@fresh_flag
@plugin_flags
@json_flag
def command(recipe_file: Path | None, out: Path | None, force: bool, fresh: bool, as_json: bool, **flags: Any) -> int:
    """Run methods on datasets and print the comparison.

    What is finished already is not run again; what was cut off goes on from its checkpoint. Flags stand in for the
    keys of RECIPE.toml.

    \b
    benchsuite run --methods glo,dcgan
    benchsuite run -m pca,vae,dcgan,glo --seeds 3
    benchsuite run -m "glo[epochs=40],glo[optimiser=sgd]@paper" --metrics psnr,fd
    """
    recipe = recipe_of(recipe_file, flags)  # before anything heavy is imported, so that a typo answers at once
    server.start_early()
    from benchsuite import suite
    from benchsuite.cli.progress import watch

    with watch() as observer:
        outcome = suite.run(recipe, out=out, force=force, fresh=fresh, observer=observer)

    from benchsuite.cli.outcome import show

    return show(outcome, as_json)
