"""``samples``, ``reconstructions`` and ``interpolations``: the sheets that cells keep, a panel for each method."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from benchsuite.results.figures.material import Missing
from benchsuite.results.figures.sheets import Sheet, page_of, read_or_tell
from benchsuite.results.gallery.stock import Drawing, Stock, seeds_of, short

Name = Literal["samples", "reconstructions", "interpolations"]

_SEEN: dict[Name, str] = {
    "samples": "Samples of each method",
    "reconstructions": "Rows of test images, each above the row of their reconstructions",
    "interpolations": "In each row two images of the data, and what codes on the line between theirs decode to",
}
_TOGETHER: dict[Name, int] = {"samples": 1, "reconstructions": 2, "interpolations": 1}


def sheets(stock: Stock, name: Name) -> Drawing | None:
    """The sheet ``name`` of each method's first seed that finished; None where none has kept one."""
    missing = Missing()
    found: dict[str, Sheet] = {}
    cells = []
    for method, kept in stock.panels(missing).items():
        path = kept.folder / f"{name}.png"
        if not path.exists():
            missing.add(short(method), f"it kept no {name}.png")
            continue
        sheet = read_or_tell(path, short(method), missing)
        if sheet is not None:
            found[method] = sheet
            cells.append(kept)
    if not found:
        return None
    page = page_of(found, seeds_of(cells), together=_TOGETHER[name])
    return Drawing(replace(page, footnote=f"{_SEEN[name]}. {page.footnote}"), missing)
