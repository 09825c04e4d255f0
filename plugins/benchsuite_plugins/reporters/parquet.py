"""The Parquet reporter: the frames as data, with their types.

Source: own work.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchsuite import Report, Reporter, hookimpl


class Parquet(Reporter):
    """Results, timings, summary, contest and ranks as they are: ``pandas.read_parquet`` gives the same frames."""

    name = "parquet"

    def write(self, report: Report, folder: Path) -> Sequence[Path]:
        """Writes ``results.parquet``, ``timings.parquet``, ``summary.parquet``, ``contest.parquet``, and
        ``ranks.parquet`` where there are ranks."""
        paths = {name: folder / f"{name}.parquet" for name in report.data}
        for name, path in paths.items():
            report.data[name].to_parquet(path, engine="pyarrow", index=False)
        return list(paths.values())


@hookimpl
def benchsuite_reporters() -> Sequence[type[Reporter]]:
    """Provides ``parquet``."""
    return [Parquet]
