"""The papers' tables, figures and claims by command: run an item at a scale, judge its claims, write its page."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from benchsuite import suite
from benchsuite.errors import RecipeError, UsageError, unknown_name
from benchsuite.harness.plan import cells_of
from benchsuite.harness.registry import load_registry
from benchsuite.kit.files import write_text
from benchsuite.results.claims import check
from benchsuite.results.figures import check_figure
from benchsuite.results.index import claims_of, index_of
from benchsuite.results.itemfile import Item, Scale
from benchsuite.results.items import read_item
from benchsuite.results.pages import write_page
from benchsuite.results.reproduce import Reproduction
from benchsuite.results.reproduce import reproduce as judge_item
from benchsuite.results.scores import check_names
from benchsuite.results.tables import make_report

DEFAULT_FOLDER = Path("runs") / "reproduce"


@dataclass(frozen=True)
class ItemOutcome:
    """What came of an item: how its run ended, its claims judged, what came to no number and why, and its pages."""

    run: suite.Outcome
    found: Reproduction
    failures: pd.DataFrame
    pages: tuple[Path, ...]


def reproduce(
    item: Item | str,
    scale: str = "small",
    *,
    out: Path | None = None,
    reports: Path | None = None,
    jobs: int | None = None,
    device: str | None = None,
    force: bool = False,
    observer: suite.Observer | None = None,
) -> ItemOutcome:
    """Run ``item`` at ``scale``, as far as it is not done yet, judge its claims and write its page.

    ``item`` is PAPER/ITEM or the path of an item's file. ``out`` holds a run directory PAPER-SCALE, which all items of
    the paper at that scale share, so that what two of them need is trained once; the page goes into its folder
    ``items``. ``reports`` gets a copy of the page as PAPER/ITEM, unless the run was interrupted: it is judged by what
    it has then. Raises UsageError for what a person has to put right first.

    >>> outcome = reproduce("glo/table1", "smoke")  # doctest: +SKIP
    """
    read = item if isinstance(item, Item) else read_item(item)
    chosen = check_item(read, scale, reports)
    recipe = replace(chosen.recipe, jobs=jobs or chosen.recipe.jobs, device=device or chosen.recipe.device)
    outcome = suite.run(recipe, out=(out or DEFAULT_FOLDER) / f"{read.paper}-{scale}", force=force, observer=observer)
    report = make_report(outcome.store, outcome.records)
    planned = [planned.cell for planned in outcome.plan.cells]
    found = judge_item(read, replace(chosen, recipe=recipe), report, planned)
    folders = [outcome.store.path / "items" / read.name.partition("/")[2]]
    if reports is not None and not outcome.interrupted:
        folders.append(reports / read.name)
    pages = [write_page(found, outcome.store, outcome.records, report, where) for where in folders]
    return ItemOutcome(outcome, found, report.failures, tuple(pages))


def check_item(item: Item, scale: str, reports: Path | None = None) -> Scale:
    """The scale of that name, once all is found right that can be before hours are spent.

    What claims, published values and figures name has to be in one of the item's scales, since a scale may leave out
    what another has. Raises UsageError.
    """
    chosen = next((one for one in item.scales.values() if one.name == scale), None)
    if chosen is None:
        raise RecipeError(f"{item.name} has no scale '{scale}'; it has {', '.join(item.scales)}")
    registry = load_registry()
    methods, datasets, metrics = set[str](), set[str](), set[str]()
    names: dict[str, str] = {}
    for one in item.scales.values():
        anywhere = replace(one.recipe, device="cpu", executor="local")  # another scale may be for another machine
        cells = [asked.cell for asked in cells_of(anywhere, registry).asked]
        own = {cell.dataset for cell in cells}
        for stand_in in one.stand_ins.values():
            if stand_in not in own:
                raise RecipeError(f"{item.name}, [{one.name}.stand_ins]: {unknown_name('dataset', stand_in, own)}")
        methods |= {cell.method for cell in cells}
        check_names(one.names, {selection for cell in cells for selection in cell.metrics})
        datasets |= own | set(one.stand_ins)
        metrics |= {selection for cell in cells for selection in cell.metrics}
        names |= one.names
    for of in item.expressions:
        check(of, methods, datasets, metrics, names)
    for dataset in (name for entry in item.claims for name in entry.datasets or ()):
        if dataset not in datasets:
            raise RecipeError(f"{item.name}: {unknown_name('dataset', dataset, datasets)}")
    for figure in item.figures:
        check_figure(figure, methods=methods, metrics=metrics, names=names, datasets=datasets)
    if reports is not None and (there := {*claims_of(reports / item.name)["scale"]} - {scale}):
        raise UsageError(f"{reports / item.name} has the page of scale {', '.join(there)}; choose another --reports")
    return chosen


def write_index(reports: Path) -> Path:
    """Write README.md in ``reports``: what became of every claim on the pages that lie there; returns its path."""
    page = reports / "README.md"
    write_text(page, index_of(reports))
    return page
