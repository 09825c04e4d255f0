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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from benchsuite import suite
from benchsuite.contracts import Record
from benchsuite.errors import UsageError
from benchsuite.gating import GateOutcome
from benchsuite.harness.recipe import Recipe, recipe_from
from benchsuite.harness.registry import load_registry
from benchsuite.harness.store import RunStore, find_run
from benchsuite.results.baseline import read_baseline
from benchsuite.results.judging import Evidence, Terms, verdicts_on
from benchsuite.results.ratios import ratio_rows
from benchsuite.results.rules import Rules
from benchsuite.results.statistics import MIN_SEEDS
from benchsuite.results.verdicts import in_order

# What the other process runs. It fails where nothing of the checkout is imported, since both sides would be one code.
_CHILD = """
import json, pathlib, sys
task = json.load(sys.stdin)
import benchsuite
from benchsuite.harness.registry import load_registry
load_registry()
files = [pathlib.Path(getattr(module, "__file__", None) or "") for module in list(sys.modules.values())]
if not any(file.is_absolute() and file.resolve().is_relative_to(task["checkout"]) for file in files):
    sys.exit(5)
sys.exit(benchsuite.run(task["recipe"], out=task["out"]).exit_code)
"""
_NOT_OF_THE_CHECKOUT = 5
_INTERRUPTED = 130


def gate_against(
    ref: str,
    run: Path | None,
    baseline: Path | None,
    terms: Terms,
    *,
    device: str | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> GateOutcome:
    """The verdicts on this checkout against that of the commit ``ref``: on scores, and on the ratio of training times.

    What runs is the recipe of ``run``, else that of ``baseline``, with the first ``seeds`` of its seeds, three at
    least, and all of it every time: times of different hours do not compare. ``say`` is told of progress. Raises
    UsageError where there is no such commit, or where what Python imports is not from this checkout.
    """
    recipe = _recipe(run, baseline, terms.rules, device)
    top = Path(_git(Path.cwd(), "rev-parse", "--show-toplevel"))
    commit = _git(top, "rev-parse", "--verify", f"{ref}^{{commit}}", wrong=f"there is no commit '{ref}' here")
    folder = suite.run_folder(recipe, Path("runs") / f"against-{commit[:8]}-{recipe.identity()}", fresh=True)
    theirs, ours = (folder / name for name in ("theirs", "ours"))
    with _checkout(top, commit) as other:
        roots = [*_import_roots(), *sys.path]
        code = {theirs: (other, _moved(roots, top, other)), ours: (top, [path for path in sys.path if path])}
        for number, seed in enumerate(recipe.seeds):
            order = (theirs, ours) if number % 2 == 0 else (ours, theirs)
            for side in order:
                say(f"seed {seed}, {'this checkout' if side == ours else ref}")
                if _run_one(replace(recipe, seeds=recipe.seeds[: number + 1]), side, *code[side]) == _INTERRUPTED:
                    return GateOutcome(None, RunStore(ours))
    return _judged(ref, theirs, ours, terms)


def _judged(ref: str, theirs: Path, ours: Path, terms: Terms) -> GateOutcome:
    before, after = (_evidence(name, RunStore(folder)) for name, folder in ((ref, theirs), (str(ours), ours)))
    rules = replace(terms.rules, alarm=terms.rules.alarm / 2)  # scores and times share the chance of a false alarm
    found = verdicts_on(before, after, replace(terms, rules=rules, timing=False))
    times = ratio_rows(_finished(before.records), _finished(after.records), rules)
    rows = in_order((*found.rows, *times))
    return GateOutcome(replace(found, rows=rows, comparisons=found.comparisons + len(times)), RunStore(ours))


def _evidence(name: str, store: RunStore) -> Evidence:
    return Evidence(name, store.records(), run=store.read_run())


def _finished(records: Sequence[Record]) -> list[Record]:
    return [record for record in records if record.status == "ok"]


def _recipe(run: Path | None, baseline: Path | None, rules: Rules, device: str | None) -> Recipe:
    if run is not None:
        asked = recipe_from(find_run(run).read_run()["recipe"])
    elif baseline is not None:
        asked = recipe_from(read_baseline(baseline).recipe)
    else:
        raise UsageError("name what is to be run: a RUN, or --baseline FILE, whose recipe it is")
    count = max(MIN_SEEDS, rules.seeds)
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


def _import_roots() -> list[str]:
    """The folders that modules are imported from, also those that an editable install does not put on the path."""
    load_registry()
    found: dict[str, None] = {}
    for name, module in list(sys.modules.items()):
        file = Path(getattr(module, "__file__", None) or "")
        if file.is_absolute() and file.exists():
            depth = name.count(".") + (file.name == "__init__.py")
            found[str(file.parents[depth])] = None
    return [*found]


def _moved(paths: Sequence[str], top: Path, other: Path) -> list[str]:
    """Python's path with the folders of the checkout ``top`` that ``other`` has too taken from there.

    Raises UsageError where there are none: then both sides would import the same code.
    """
    found, moved = [], 0
    for path in filter(None, paths):
        inside = Path(path).resolve()
        there = other / inside.relative_to(top.resolve()) if inside.is_relative_to(top.resolve()) else None
        moved += there is not None and there.exists()
        found.append(str(there) if there is not None and there.exists() else path)
    if not moved:
        raise UsageError(_one_code(top))
    return list(dict.fromkeys(found))


def _one_code(top: Path) -> str:
    return (
        f"nothing that Python imports here comes from {top}, so that both commits would run the same code; install it "
        "from the checkout: pip install -e ."
    )


def _run_one(recipe: Recipe, out: Path, checkout: Path, path: Sequence[str]) -> int:
    """Run what is not there yet in a process that imports by ``path``; returns its exit code."""
    task = json.dumps({"recipe": recipe.to_json(), "out": str(out), "checkout": str(checkout.resolve())})
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
    try:
        done = subprocess.run([sys.executable, "-P", "-c", _CHILD], input=task, text=True, env=environment)
    except KeyboardInterrupt:
        return _INTERRUPTED
    if done.returncode == _NOT_OF_THE_CHECKOUT:
        raise UsageError(_one_code(checkout))
    if done.returncode not in (0, 1, _INTERRUPTED):  # 1: a cell failed, which is a verdict
        raise UsageError(f"the run in {out} ended with exit code {done.returncode}; what went wrong stands above")
    return done.returncode
