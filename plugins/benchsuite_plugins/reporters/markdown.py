"""The Markdown reporter: a page that fits into a pull request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchsuite import Report, Reporter, hookimpl
from benchsuite.kit.files import write_text
from benchsuite.kit.text import clean, frame_table, readable

if TYPE_CHECKING:
    import pandas as pd


class Markdown(Reporter):
    """Comparison, costs and failures as tables, then where they come from."""

    name = "markdown"

    def write(self, report: Report, folder: Path) -> Sequence[Path]:
        """Writes ``report.md``."""
        path = folder / "report.md"
        write_text(path, "\n\n".join([f"# {clean(report.name)}", *_sections(report)]) + "\n")
        return [path]


def _sections(report: Report) -> list[str]:
    sections = _tables("Comparison", report.comparison)
    sections += ["Mean over seeds ± half width of the 95% t interval, from three seeds up."]
    if not report.cautions.empty:
        sections += ["## † Cautions", frame_table(report.cautions)]
    sections += _costs(report)
    if not report.failures.empty:
        sections += ["## Without a number", frame_table(report.failures)]
    provenance = report.provenance
    environment = provenance.get("environment", {})
    packages = ", ".join(f"{name} {version}" for name, version in environment.get("packages", {}).items())
    lines = [
        f"- command: `{clean(' '.join(provenance.get('command', [])))}`",
        *(f"- scored by: `{clean(' '.join(command))}`" for command in provenance.get("scored", [])),
        f"- benchsuite {environment.get('benchsuite')}, commit {environment.get('commit')}",
        f"- {environment.get('processor')}, {environment.get('cores')} cores, Python {environment.get('python')}",
        f"- {packages}",
    ]
    lines += [f"- codes of {clean(name)}: {text}" for name, text in provenance.get("reconstruction", {}).items()]
    lines += [f"- {clean(note)}" for note in provenance.get("notes", [])]
    return [*sections, "## Protocols", frame_table(report.protocols), "## Provenance", "\n".join(lines)]


def _costs(report: Report) -> list[str]:
    sections = []
    if report.timing:
        sections += [*_tables("Timing", report.timing), "Seconds per cell, mean over seeds."]
    if report.rates:
        rates = "Items per second; peak memory above the cell's start; learnt numbers, codes apart."
        sections += [*_tables("Rates", report.rates), rates]
    return [*sections, clean(report.untimed)] if report.untimed else sections


def _tables(title: str, tables: Mapping[str, pd.DataFrame]) -> list[str]:
    sections = [f"## {title}"]
    for name, frame in tables.items():
        sections += [f"### {clean(name)}", frame_table(readable(frame))]
    return sections


@hookimpl
def benchsuite_reporters() -> Sequence[type[Reporter]]:
    """Provides ``markdown``."""
    return [Markdown]
