"""The pictures of a report, drawn from records and what cells keep beside them: no model is needed, and no plugin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from benchsuite.contracts import Record
from benchsuite.harness.store import RunStore
from benchsuite.reports import Picture

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["draw"]


def draw(
    cells: Sequence[tuple[RunStore, Record]], summary: pd.DataFrame, ranks: pd.DataFrame, limit: int
) -> list[Picture]:
    """The pictures of ``cells``, by section, at most 40 of them and at most ``limit`` bytes altogether.

    Of more than 2000 cells there are fewer, down to eight, so that drawing takes seconds. Each cell comes with the
    store where its files lie; ``summary`` and ``ranks`` are those of Report. The same cells give the same bytes. Only
    files of what is drawn are read; what is not drawn is told by the pictures that are.
    """
    from benchsuite.results.gallery.drawing import drawn  # with matplotlib, which only drawing pays for

    return drawn(cells, summary, ranks, limit)
