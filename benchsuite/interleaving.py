"""The gate against another commit: a checkout of it beside this one, both run in turn on one machine.

Seconds travel neither between machines nor between hours. So each seed is run by both checkouts, one after the other,
in an order that turns round each time, one cell at a time; what is compared is their ratio.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import click

from benchsuite.contracts import Record
from benchsuite.errors import UsageError
from benchsuite.gating import GateOutcome, verdicts_on
from benchsuite.harness.recipe import Recipe, recipe_from
from benchsuite.harness.store import RunStore, find_run
from benchsuite.results.baseline import read_baseline
from benchsuite.results.ratios import ratio_rows
from benchsuite.results.rules import Rules
from benchsuite.results.verdicts import in_order

_CHILD = (
    "import json, sys\n"
    "import benchsuite\n"
    "task = json.load(sys.stdin)\n"
    "sys.exit(benchsuite.run(task['recipe'], out=task['out']).exit_code)\n"
)
_INTERRUPTED = 130


def gate_against(
    ref: str,
    run: Path | None,
    baseline: Path | None,
    *,
    rules: Rules,
    strict: bool = False,
    device: str | None = None,
) -> GateOutcome:
    """The verdicts on this checkout against that of the commit ``ref``: on scores, and on the ratio of training
    seconds.

    What runs is the recipe of ``run``, else that of ``baseline``, with the first ``rules.seeds`` of its seeds, three
    at least.
    Raises UsageError where there is no such commit, or where what Python imports is not from this checkout.
    """
    recipe = _recipe(run, baseline, rules, device)
    top = Path(_git(Path.cwd(), "rev-parse", "--show-toplevel"))
    commit = _git(top, "rev-parse", "--verify", f"{ref}^{{commit}}", wrong=f"there is no commit '{ref}' here")
    folder = Path("runs") / f"against-{commit[:8]}-{recipe.identity()}"
    theirs, ours = (folder / name for name in ("theirs", "ours"))
    with _checkout(top, commit) as other:
        paths = {theirs: _moved(sys.path, top, other), ours: [path for path in sys.path if path]}
        for number, seed in enumerate(recipe.seeds):
            order = (theirs, ours) if number % 2 == 0 else (ours, theirs)
            for side in order:
                click.echo(f"seed {seed}, {'this checkout' if side == ours else ref}", err=True)
                if _run_one(replace(recipe, seeds=recipe.seeds[: number + 1]), side, paths[side]) == _INTERRUPTED:
                    return GateOutcome(None, RunStore(ours), interrupted=True)
    return _judged(ref, theirs, ours, rules, strict)


def _judged(ref: str, theirs: Path, ours: Path, rules: Rules, strict: bool) -> GateOutcome:
    stores = RunStore(theirs), RunStore(ours)
    before, after = (store.records() for store in stores)
    found = verdicts_on(
        before,
        after,
        [],
        rules,
        names=(ref, str(ours)),
        runs=(stores[0].read_run(), stores[1].read_run()),
        strict=strict,
        timing=False,
        escalates=False,
    )
    rows = in_order((*found.rows, *ratio_rows(_alone(before), _alone(after), rules)))
    return GateOutcome(replace(found, rows=rows), stores[1])


def _alone(records: Sequence[Record]) -> list[Record]:
    return [record for record in records if record.status == "ok"]


def _recipe(run: Path | None, baseline: Path | None, rules: Rules, device: str | None) -> Recipe:
    if run is not None:
        asked = recipe_from(find_run(run).read_run()["recipe"])
    elif baseline is not None:
        asked = recipe_from(read_baseline(baseline).recipe)
    else:
        raise UsageError("name what is to be run: a RUN, or --baseline FILE, whose recipe it is")
    count = max(3, rules.seeds)
    more = [seed for seed in range(count) if seed not in asked.seeds]
    seeds = (*asked.seeds, *more)[:count]
    return replace(asked, seeds=seeds, jobs=1, device=device or asked.device)


def _git(folder: Path, *arguments: str, wrong: str = "--against needs a checkout of git here") -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        detail = (getattr(error, "stderr", "") or str(error)).strip().splitlines()[-1:]
        raise UsageError(f"{wrong} (git: {' '.join(detail)})") from None
    return done.stdout.strip()


@contextmanager
def _checkout(top: Path, commit: str) -> Iterator[Path]:
    """A checkout of ``commit`` for the block."""
    with tempfile.TemporaryDirectory(prefix="benchsuite-against-") as folder:
        other = Path(folder) / "checkout"
        _git(top, "worktree", "add", "--detach", str(other), commit, wrong="the commit cannot be checked out")
        try:
            yield other
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", str(other)], cwd=top, capture_output=True)


def _moved(paths: Sequence[str], top: Path, other: Path) -> list[str]:
    """Python's path with the folders of the checkout ``top`` taken from ``other``, before all else.

    Raises UsageError where there are none: then both sides would import the same code.
    """
    found = []
    for path in (Path(entry).resolve() for entry in paths if entry):
        moved = other / path.relative_to(top.resolve()) if path.is_relative_to(top.resolve()) else None
        if moved is not None and moved.exists():
            found.append(str(moved))
    if not found:
        raise UsageError(
            f"nothing that Python imports here comes from {top}, so that both commits would run the same code; install "
            "it from the checkout: pip install -e ."
        )
    return [*found, *(path for path in paths if path)]


def _run_one(recipe: Recipe, out: Path, path: Sequence[str]) -> int:
    """Run what is not there yet in a process that imports by ``path``; returns its exit code."""
    task = json.dumps({"recipe": recipe.to_json(), "out": str(out)})
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
    try:
        done = subprocess.run([sys.executable, "-P", "-c", _CHILD], input=task, text=True, env=environment)
    except KeyboardInterrupt:
        return _INTERRUPTED
    if done.returncode not in (0, 1, _INTERRUPTED):  # 1: a cell failed, which is a verdict
        raise UsageError(f"the run in {out} ended with exit code {done.returncode}; what went wrong stands above")
    return done.returncode
