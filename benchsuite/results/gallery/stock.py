"""What pictures of a report are drawn from: the cells of one dataset by method, and what is missing of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from benchsuite.contracts import Record
from benchsuite.harness.store import RunStore
from benchsuite.kit.text import named, plural, shortened
from benchsuite.results.figures.material import Missing
from benchsuite.results.figures.page import Page

MOST_PANELS = 12
MOST_LINES = 24  # or bars
_LONGEST = 61  # characters of a label inside a sentence
_NAMED = 8  # of many labels


class Kept(NamedTuple):
    """A record and where the files of its cell lie."""

    store: RunStore
    record: Record

    @property
    def folder(self) -> Path:
        """Where they lie."""
        return self.store.cell_folder(self.record.cell.key)


class Drawing(NamedTuple):
    """A page, whose footnote becomes the caption of a picture, and what it lacks."""

    page: Page
    missing: Missing


@dataclass(frozen=True)
class Stock:
    """The cells of one dataset by method, in order; ``places`` numbers the methods of all datasets, for their style."""

    dataset: str
    methods: Mapping[str, Sequence[Kept]]
    places: Mapping[str, int]

    def finished(self, most: int, missing: Missing) -> dict[str, list[Kept]]:
        """The cells that are ok of the first methods that have one, at most so many; why others are not is told."""
        found = {method: [k for k in cells if k.record.status == "ok"] for method, cells in self.methods.items()}
        left_out = [method for method, cells in found.items() if cells][most:]
        for record in (
            kept.record for method, cells in self.methods.items() if method not in left_out for kept in cells
        ):
            if record.status != "ok":
                missing.add(short(record.cell.method), record.status, record.cell.seed)
        tell_left_out(left_out, most, missing)
        return {method: cells for method, cells in found.items() if cells and method not in left_out}

    def panels(self, missing: Missing) -> dict[str, Kept]:
        """The first finished cell of each of the first methods, as many as a picture has panels."""
        return {method: cells[0] for method, cells in self.finished(MOST_PANELS, missing).items()}


def stocked(cells: Iterable[tuple[RunStore, Record]]) -> list[Stock]:
    """``cells`` by dataset, datasets and methods in the order in which they come."""
    places: dict[str, int] = {}
    found: dict[str, dict[str, list[Kept]]] = {}
    for store, record in cells:
        places.setdefault(record.cell.method, len(places))
        found.setdefault(record.cell.dataset, {}).setdefault(record.cell.method, []).append(Kept(store, record))
    return [Stock(dataset, methods, places) for dataset, methods in found.items()]


def tell_left_out(methods: Sequence[str], most: int, missing: Missing) -> None:
    """That there is no room for ``methods``, of which so many are shown."""
    if methods:
        missing.add(listed(methods), f"left out, a picture shows {most} methods")


def short(label: str) -> str:
    """``label`` as a sentence can bear it: inert, and without its middle where it is long."""
    return shortened(label, _LONGEST)


def listed(labels: Sequence[str]) -> str:
    """The first of ``labels``, and how many more there are."""
    return named(map(short, labels), _NAMED)


def over_seeds(cells: Iterable[Sequence[Kept]]) -> str:
    """How many seeds each of several methods has: ``3 seeds``, or ``1 to 3 seeds``."""
    counts = sorted({len(one) for one in cells})
    return plural(counts[0], "seed") if len(counts) == 1 else f"{counts[0]} to {counts[-1]} seeds"


def seeds_of(cells: Iterable[Kept]) -> str:
    """Whose seeds are shown where each method shows one: ``Seed 0``, or ``Seeds 0 and 2``."""
    seeds = [str(seed) for seed in sorted({kept.record.cell.seed for kept in cells})]
    if len(seeds) == 1:
        return f"Seed {seeds[0]}"
    return f"Seeds {', '.join(seeds[:-1])} and {seeds[-1]} (of each method the first that finished)"
