"""The papers' tables, figures and claims by command: run an item at a scale, judge its claims, write its page."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from benchsuite import suite
from benchsuite.errors import RecipeError
from benchsuite.harness.plan import cells_of
from benchsuite.harness.registry import load_registry
from benchsuite.kit.files import write_text
from benchsuite.results.claims import check
from benchsuite.results.expressions import Claim, Expression
from benchsuite.results.index import index_of
from benchsuite.results.items import Item, Scale, read_item
from benchsuite.results.pages import write_page
from benchsuite.results.reproduce import Reproduction
from benchsuite.results.reproduce import reproduce as judge_item
from benchsuite.results.tables import make_report

DEFAULT_FOLDER = Path("runs") / "reproduce"


@dataclass(frozen=True)
class ItemOutcome:
    """What came of an item: how its run ended, its claims judged, and the pages that were written."""

    run: suite.Outcome
    found: Reproduction
    pages: tuple[Path, ...]


def scale_of(item: Item, name: str) -> Scale:
    """One scale of ``item``. Raises RecipeError where it has none of that name."""
    for scale in item.scales.values():
        if scale.name == name:
            return scale
    raise RecipeError(f"{item.name} has no scale '{name}'; it has {', '.join(item.scales)}")


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
    ``items``. ``reports`` gets a copy of the page as PAPER/ITEM. An interrupted run is judged by what it has. Raises
    UsageError for what a person has to put right first.

    >>> outcome = reproduce("glo/table1", "smoke")  # doctest: +SKIP
    """
    read = item if isinstance(item, Item) else read_item(item)
    chosen = scale_of(read, scale)
    recipe = chosen.recipe
    recipe = replace(recipe, jobs=jobs or recipe.jobs, device=device or recipe.device)
    chosen = replace(chosen, recipe=recipe)
    _check_names(read)
    folder = (out or DEFAULT_FOLDER) / f"{read.paper}-{scale}"
    outcome = suite.run(recipe, out=folder, force=force, observer=observer)
    report = make_report(outcome.store, outcome.records)
    found = judge_item(read, chosen, report, [planned.cell for planned in outcome.plan.cells])
    short = read.name.partition("/")[2]
    folders = [outcome.store.path / "items" / short]
    if reports is not None and not outcome.interrupted:
        folders.append(reports / read.paper / short)
    pages = [write_page(found, outcome.store, outcome.records, report, where) for where in folders]
    return ItemOutcome(outcome, found, tuple(pages))


def _check_names(item: Item) -> None:
    """Find what claims misspell before hours are spent. A scale may leave out what another has. Raises RecipeError."""
    registry = load_registry()
    cells = [asked.cell for scale in item.scales.values() for asked in cells_of(scale.recipe, registry).asked]
    methods, datasets = {cell.method for cell in cells}, {cell.dataset for cell in cells}
    datasets |= {name for scale in item.scales.values() for name in scale.stand_ins}
    metrics = {selection for cell in cells for selection in cell.metrics}
    names = {name: row for scale in item.scales.values() for name, row in scale.names.items()}
    named: list[Claim | Expression] = [*(entry.claim for entry in item.claims), *(entry.of for entry in item.published)]
    for of in named:
        check(of, methods, datasets, metrics, names)


def write_index(reports: Path) -> Path:
    """Write README.md in ``reports``: what became of every claim on the pages that lie there; returns its path."""
    page = reports / "README.md"
    write_text(page, index_of(reports))
    return page
