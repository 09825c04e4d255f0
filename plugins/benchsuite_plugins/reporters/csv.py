"""The CSV reporter: results.csv and timings.csv, as in the run directory, beside the other reports."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchsuite import Report, Reporter, hookimpl


class CSV(Reporter):
    """Both frames as CSV, one row per cell and metric and one per cell and phase."""

    name = "csv"

    def write(self, report: Report, folder: Path) -> Sequence[Path]:
        """Writes ``results.csv`` and ``timings.csv``."""
        paths = [folder / "results.csv", folder / "timings.csv"]
        for frame, path in zip((report.results, report.timings), paths, strict=True):
            frame.to_csv(path, index=False)
        return paths


@hookimpl
def benchsuite_reporters() -> Sequence[type[Reporter]]:
    """Provides ``csv``."""
    return [CSV]
