"""TemplateName: the comparison as plain text.

Source: own work.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import benchsuite


class TemplateName(benchsuite.Reporter):
    """A text file with one table for each dataset."""

    name = "template_name"

    def write(self, report: benchsuite.Report, folder: Path) -> Sequence[Path]:
        """Write what the report has; names in it come from plugins, so escape them where your format asks for it."""
        path = folder / "template_name.txt"
        tables = [f"{dataset}\n{table.to_string()}" for dataset, table in report.comparison.items()]
        path.write_text("\n\n".join([report.name, *tables, *report.warnings]) + "\n", encoding="utf-8")
        return [path]


@benchsuite.hookimpl
def benchsuite_reporters() -> Sequence[type[benchsuite.Reporter]]:
    """Provides ``template_name``."""
    return [TemplateName]
