"""Which pictures are drawn: fairly by section and dataset, until there are enough of them or they are large enough."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import zip_longest

import pandas as pd

from benchsuite.contracts import Record
from benchsuite.harness.store import RunStore
from benchsuite.kit.text import clipped, plural
from benchsuite.reports import Picture
from benchsuite.results.figures.page import inert, png_of, styled
from benchsuite.results.gallery.curves import curves
from benchsuite.results.gallery.fronts import pareto
from benchsuite.results.gallery.planes import codes, vectors
from benchsuite.results.gallery.ranks import diagram
from benchsuite.results.gallery.sheets import sheets
from benchsuite.results.gallery.stock import Drawing, Stock, listed, short, stocked
from benchsuite.results.gallery.times import phases, timed

_MOST, _LEAST = 40, 8  # pictures, of a small run and of the largest
_LONGEST = 2000  # characters of what is missing from one picture
_EFFORT = 80_000  # cells times pictures, above which there are fewer of them, so that a report takes seconds


@dataclass(frozen=True)
class Sketch:
    """A picture that may be drawn."""

    title: str
    draw: Callable[[], Drawing | None]


@dataclass
class _Wall:
    """The pictures that hang already, by section and in order, and those for which there is no room."""

    limit: int
    most: int  # pictures
    hung: dict[str, list[Picture]] = field(default_factory=dict)
    left_out: dict[str, list[str]] = field(default_factory=dict)  # titles
    broken: dict[str, list[str]] = field(default_factory=dict)  # what is to be said

    def hang(self, section: str, sketch: Sketch) -> None:
        """Draw ``sketch``, if there is something to see and room for it."""
        hung = self.hung.setdefault(section, [])
        tried = sum(map(len, self.hung.values())) + sum(map(len, self.broken.values()))
        if tried >= self.most or section in self.left_out:
            self.left_out.setdefault(section, []).append(sketch.title)
            return
        try:
            drawing = sketch.draw()
            png = png_of(replace(drawing.page, footnote="")) if drawing else b""
        except (ValueError, ArithmeticError, MemoryError) as error:  # numbers that no axis has a place for
            why = f"{short(sketch.title)} cannot be drawn: {inert(str(error)) or type(error).__name__}"
            self.broken.setdefault(section, []).append(why)
            return
        if drawing is None:
            return
        if sum(len(picture.png) for each in self.hung.values() for picture in each) + len(png) > self.limit:
            self.left_out.setdefault(section, []).append(sketch.title)
            return
        hung.append(Picture(section, sketch.title, drawing.page.footnote, png, clipped(str(drawing.missing), _LONGEST)))

    def seen(self, sections: Sequence[str]) -> list[Picture]:
        """All pictures; the last of each section says what else there would be, and the last of all for the others."""
        pictures = [picture for section in sections for picture in self.hung.get(section, [])]
        for section in sections:
            told = self._told(section)
            own = [number for number, picture in enumerate(pictures) if picture.section == section]
            if told and pictures:
                at = own[-1] if own else len(pictures) - 1
                told = told if own else f"{section}: {told}"
                parts = [part for part in (pictures[at].missing, told) if part]
                pictures[at] = replace(pictures[at], missing="; ".join(parts))
        return pictures

    def _told(self, section: str) -> str:
        parts = list(self.broken.get(section, []))
        titles = self.left_out.get(section, [])
        if titles:
            more = plural(len(titles), "more picture")
            parts.append(
                f"{more} left out for number or size ({listed(titles)}); what is of them lies in the run's cells/KEY/"
            )
        return "; ".join(parts)


def drawn(
    cells: Sequence[tuple[RunStore, Record]], summary: pd.DataFrame, ranks: pd.DataFrame, limit: int
) -> list[Picture]:
    """See benchsuite.results.gallery.draw."""
    sections = _sketches(stocked(cells), summary, ranks)
    wall = _Wall(limit, min(_MOST, max(_LEAST, _EFFORT // max(1, len(cells)))))
    with styled():
        for section, sketch in _in_turn(sections):
            wall.hang(section, sketch)
    return wall.seen(list(sections))


def _sketches(stocks: Sequence[Stock], summary: pd.DataFrame, ranks: pd.DataFrame) -> dict[str, list[Sketch]]:
    """What may be drawn, by section, in the order of sections and datasets."""
    by_metric = list(ranks.groupby("metric", sort=False)) if len(ranks) else []
    of_each: Mapping[str, Callable[[Stock], Drawing | None]] = {
        "pareto": partial(pareto, summary=summary),
        "curves": curves,
        "samples": _samples,
        "reconstructions": partial(sheets, name="reconstructions"),
        "interpolations": partial(sheets, name="interpolations"),
        "codes": codes,
    }
    sketches = {
        "ranks": [Sketch(str(metric), partial(diagram, rows)) for metric, rows in by_metric],
        "phases": [Sketch(one.title, partial(phases, one)) for stock in stocks for one in timed(stock)],
    }
    for section, draw in of_each.items():
        sketches[section] = [Sketch(stock.dataset, partial(draw, stock)) for stock in stocks]
    return sketches


def _in_turn(sections: Mapping[str, Sequence[Sketch]]) -> Iterator[tuple[str, Sketch]]:
    """The first of each section, the second of each, and so on."""
    for sketches in zip_longest(*sections.values()):
        for section, sketch in zip(sections, sketches, strict=True):
            if sketch is not None:
                yield section, sketch


def _samples(stock: Stock) -> Drawing | None:
    """Of images, or else of vectors."""
    return sheets(stock, "samples") or vectors(stock)
