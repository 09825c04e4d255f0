"""Drawing a figure by its kind, into a file or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from benchsuite.contracts import Record
from benchsuite.harness.store import RunStore
from benchsuite.results.figures import planes, sheets, traces, values
from benchsuite.results.figures.kinds import Figure
from benchsuite.results.figures.material import Material
from benchsuite.results.figures.page import Page, save, styled
from benchsuite.results.scores import Scores

_DRAWN: Mapping[str, Callable[[Material], Page | None]] = {
    "samples": sheets.samples,
    "pictures": sheets.pictures,
    "bars": values.bars,
    "lines": values.lines,
    "scatter": values.scatter,
    "curves": traces.curves,
    "distribution": traces.distribution,
    "points": planes.points,
    "contours": planes.contours,
}


def drawn(figure: Figure, store: RunStore, records: Sequence[Record], scores: Scores, path: Path) -> str:
    """Draw ``figure`` into the PNG at ``path``, or see to it that there is none. Returns what is missing and why."""
    with styled():
        material = Material.of(figure, store, records, scores)
        try:
            page = _DRAWN[figure.draw](material)
            if page is not None:
                save(replace(page, footnote=f"On {material.dataset}. {page.footnote}"), path)
        except (ValueError, ArithmeticError, MemoryError) as error:  # numbers of a metric that no axis has a place for
            material.missing.add("", f"it cannot be drawn: {error or type(error).__name__}")
            page = None
    if page is None:
        path.unlink(missing_ok=True)
    return str(material.missing) or ("" if page else "there is nothing to draw")
