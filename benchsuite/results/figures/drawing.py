"""Drawing a figure by its kind, into a file or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
        page = _DRAWN[figure.draw](material)
        if page is None:
            path.unlink(missing_ok=True)
        else:
            save(page, path)
    return str(material.missing) or ("" if page else "there is nothing to draw")
