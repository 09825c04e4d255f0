"""The figures of an item, drawn from what metrics have left beside the records: no model is needed, and no plugin."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchsuite.contracts import Record
from benchsuite.harness.store import RunStore
from benchsuite.results.figures.kinds import Figure, check_figure, parse_figure
from benchsuite.results.scores import Scores

__all__ = ["Figure", "check_figure", "draw", "parse_figure"]


def draw(figure: Figure, store: RunStore, records: Sequence[Record], scores: Scores, path: Path) -> str:
    """Draw ``figure`` into the PNG at ``path``. Returns what is missing from it and why, or nothing.

    What there is is drawn; where nothing is, no file is left at ``path``. The same records give the same bytes.
    """
    from benchsuite.results.figures.drawing import drawn  # with matplotlib, which only drawing pays for

    return drawn(figure, store, records, scores, path)
