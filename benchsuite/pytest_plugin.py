"""A pytest plugin: ``pytest --benchsuite recipe.toml`` runs a recipe and makes a test of each verdict of the gate.

The baseline lies beside the recipe, as ``recipe.json``, unless ``--benchsuite-baseline`` names another. Heavy imports
wait until the option is given, since pytest loads the plugin wherever benchsuite is installed.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from benchsuite.results.verdicts import Gate, Row


class VerdictError(Exception):
    """A verdict for which the gate does not open."""


class Undecided(UserWarning):
    """A score that is suspected of being worse, and no more than that."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """The plugin's options."""
    group = parser.getgroup("benchsuite", "benchsuite's gate")
    group.addoption("--benchsuite", metavar="RECIPE.toml", type=Path, help="run this recipe, and test its scores")
    group.addoption("--benchsuite-baseline", metavar="FILE", type=Path, help="what to compare with [RECIPE.json]")
    group.addoption("--benchsuite-rules", metavar="TOML", type=Path, help="tolerances, directions and error rates")
    group.addoption("--benchsuite-out", metavar="DIR", type=Path, help="the run directory [runs/gate-...]")
    group.addoption("--benchsuite-strict", action="store_true", help="fail for what is undecided as well")


def pytest_configure(config: pytest.Config) -> None:
    """Collect the recipe beside whatever else is tested. Raises UsageError where a file is missing."""
    recipe: Path | None = config.getoption("benchsuite")
    if recipe is None:
        return
    baseline = _baseline(config)
    for path, remedy in ((recipe, ""), (baseline, f"; set one: benchsuite baseline set RUN --baseline {baseline}")):
        if not path.is_file():
            raise pytest.UsageError(f"--benchsuite: there is no file {path}{remedy}")
    _check_rules(config)
    named = {Path(argument.partition("::")[0]).resolve() for argument in config.args}
    if recipe.resolve() not in named:
        config.args.append(str(recipe))


def _check_rules(config: pytest.Config) -> None:
    """Raises UsageError for rules that cannot be used, before anything runs."""
    rules_file: Path | None = config.getoption("benchsuite_rules")
    if rules_file is not None:
        from benchsuite.errors import UsageError
        from benchsuite.results.rules import read_rules

        try:
            read_rules(rules_file)
        except UsageError as error:
            raise pytest.UsageError(f"--benchsuite-rules: {error}") from None


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """The recipe as a collector of verdicts."""
    recipe: Path | None = parent.config.getoption("benchsuite")
    if recipe is None or file_path.resolve() != recipe.resolve():
        return None
    return RecipeFile.from_parent(parent, path=file_path)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Run the recipe before the first test, so that no test's time limit is on it."""
    recipes = dict.fromkeys(item.parent for item in getattr(session, "items", ()) if isinstance(item, VerdictItem))
    if session.config.option.collectonly:
        return
    for recipe in recipes:
        assert isinstance(recipe, RecipeFile)
        recipe.run()


def _baseline(config: pytest.Config) -> Path:
    named: Path | None = config.getoption("benchsuite_baseline")
    return named or config.getoption("benchsuite").with_suffix(".json")


class RecipeFile(pytest.File):
    """A recipe, whose tests are the scores of its baseline."""

    gate: Gate | None = None

    def collect(self) -> Iterator[pytest.Item]:
        """One item for each method, dataset and metric of the baseline, and one for what only the run has."""
        from benchsuite.errors import UsageError
        from benchsuite.results.baseline import read_baseline

        try:
            baseline = read_baseline(_baseline(self.config))
        except UsageError as error:
            raise self.CollectError(str(error)) from None
        places = dict.fromkeys((e.method, e.dataset, metric) for e in baseline.entries for metric in e.scores)
        for place in places:
            yield VerdictItem.from_parent(self, name="-".join(place), place=place)
        yield VerdictItem.from_parent(self, name="everything else", place=None)

    def run(self) -> None:
        """Run the recipe as ``benchsuite gate --run`` does; several processes take turns, and find it done."""
        from benchsuite.errors import UsageError
        from benchsuite.gating import run_and_gate
        from benchsuite.harness.recipe import read_recipe, recipe_from
        from benchsuite.kit.files import locked_in_turn
        from benchsuite.results.judging import Terms
        from benchsuite.results.rules import Rules, read_rules

        option = self.config.getoption
        rules_file, out = option("benchsuite_rules"), option("benchsuite_out")
        rules = read_rules(rules_file) if rules_file else Rules()
        lock = Path("runs", f".gate-{self.path.stem}.lock")
        lock.parent.mkdir(exist_ok=True)
        try:
            with locked_in_turn(lock, on_wait=lambda: None):
                outcome = run_and_gate(
                    _baseline(self.config),
                    out,
                    Terms(rules, strict=option("benchsuite_strict")),
                    recipe=recipe_from(read_recipe(self.path)),
                )
        except UsageError as error:
            pytest.exit(f"benchsuite: {error}", returncode=2)
        if outcome.gate is None:
            pytest.exit("benchsuite: interrupted; the same command goes on from here", returncode=130)
        self.gate = outcome.gate


class VerdictItem(pytest.Item):
    """The verdict on one score; without a place, on whatever the baseline does not have."""

    def __init__(self, *, place: tuple[str, str, str] | None, **given: Any) -> None:
        super().__init__(**given)
        self.place = place

    def runtest(self) -> None:
        """Raises VerdictError for a verdict that blocks; warns of what is undecided and skips what is not gated."""
        from benchsuite.results.gatetexts import described

        assert isinstance(self.parent, RecipeFile) and self.parent.gate is not None
        gate = self.parent.gate
        known = {item.place for item in self.session.items if isinstance(item, VerdictItem)}
        rows = [
            row for row in gate.rows if _place(row) == self.place or (self.place is None and _place(row) not in known)
        ]
        if blocking := [row for row in rows if row in gate.blocking]:
            raise VerdictError("\n\n".join(map(described, blocking)))
        for row in rows:
            if row.verdict == "inconclusive":
                warnings.warn(Undecided(described(row)), stacklevel=1)
        if (not rows and self.place) or (rows and all(row.verdict in ("ungated", "new") for row in rows)):
            pytest.skip(rows[0].reason if rows else "neither the baseline nor the run has a number of it")

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The verdict without a traceback, which would show the plugin."""
        if isinstance(excinfo.value, VerdictError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Where the test is from, for reports."""
        return self.path, None, self.name


def _place(row: Row) -> tuple[str, str, str]:
    return row.method, row.dataset, row.metric
