"""The CSV reporter: the frames that all reports are made of, for spreadsheets.

Source: own work.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchsuite import Report, Reporter, hookimpl
from benchsuite.kit.text import spreadsheet_safe

if TYPE_CHECKING:
    import pandas as pd


class CSV(Reporter):
    """Results and timings as in the run directory, and what tables are made of: summary, contest and ranks.

    A text that a spreadsheet would run as a formula has a ``'`` before it; numbers are as exact as they are.
    """

    name = "csv"

    def write(self, report: Report, folder: Path) -> Sequence[Path]:
        """Writes ``results.csv``, ``timings.csv``, ``summary.csv``, ``contest.csv``, and ``ranks.csv`` where there are
        ranks."""
        paths = {name: folder / f"{name}.csv" for name in report.data}
        for name, path in paths.items():
            _safe(report.data[name]).to_csv(path, index=False, lineterminator="\n")
        return list(paths.values())


def _safe(frame: pd.DataFrame) -> pd.DataFrame:
    safe = frame.copy()
    for name in frame.select_dtypes(exclude=["number", "bool"]).columns:
        safe[name] = frame[name].map(_safe_cell)
    return safe


def _safe_cell(value: Any) -> Any:
    return spreadsheet_safe(value) if isinstance(value, str) else value


@hookimpl
def benchsuite_reporters() -> Sequence[type[Reporter]]:
    """Provides ``csv``."""
    return [CSV]
