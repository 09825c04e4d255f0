"""An item's page: verdicts, published beside obtained, figures, and how to make all of it again."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from benchsuite.contracts import Record, Report
from benchsuite.harness.store import RunStore
from benchsuite.kit.files import write_text
from benchsuite.kit.text import clean, frame_table, readable
from benchsuite.results.figures import draw
from benchsuite.results.items import ClaimEntry
from benchsuite.results.reproduce import Judged, Reproduction, effects_text, obtained_text

_SCALE_NOTES = {
    "smoke": "This scale checks that everything runs. It decides nothing.",
    "small": "This scale uses embedded data and small networks. Its verdicts do not speak for the paper's own scale.",
    "paper": "",
}
_TOLERANCE = (
    "The same command on the same machine, with the same versions, gives the same numbers to the last bit. Elsewhere, "
    "and with other versions, rounding differs and training magnifies it: means move by less than their intervals."
)


def write_page(found: Reproduction, store: RunStore, records: Sequence[Record], report: Report, folder: Path) -> Path:
    """Write README.md, claims.csv, published.csv, results.csv and the figures into ``folder``; returns the page."""
    folder.mkdir(parents=True, exist_ok=True)
    results = report.results.drop(
        columns=["params", "environment"]
    )  # the page has the selections, and where it was made
    for frame, name in ((found.claims, "claims"), (found.published, "published"), (results, "results")):
        if len(frame):
            write_text(folder / f"{name}.csv", _public(frame.to_csv(index=False, lineterminator="\n"), report))
    pictures = []
    for figure in found.item.figures:
        path = folder / f"{figure.name}.png"
        missing = draw(figure, store, records, found.scores, path)
        pictures += _figure(figure.caption, path, missing)
    page = folder / "README.md"
    sections = [
        *_heading(found),
        *_claims(found),
        *_published(found),
        *pictures,
        *_scores(report),
        *_making(found, report),
    ]
    write_text(page, _public("\n\n".join(sections), report) + "\n")
    return page


def _public(text: str, report: Report) -> str:
    """``text`` without the places of this machine that reasons name: its cache, and its user's folder."""
    cache = report.provenance.get("environment", {}).get("cache", "")
    for place, name in ((cache, "CACHE"), (os.environ.get("HOME", ""), "~")):
        if len(place) > 1:  # a user without a folder of their own has the root
            text = text.replace(place, name)
    return text


def _heading(found: Reproduction) -> list[str]:
    item, scale = found.item, found.scale
    command = f"```bash\nbenchsuite reproduce {item.asked_by} --scale {scale.name}\n```"
    note = _SCALE_NOTES[scale.name]
    lines = [f"# {item.name}: {item.title}", f"*{item.source}*", item.about, command]
    return [*lines, f"**Scale: {scale.name}.** {note}".strip()]


def _claims(found: Reproduction) -> list[str]:
    if not found.judged:
        return ["## Claims", "It makes no claim that a number could refute."]
    rows = [_claim_row(judged) for judged in found.judged]
    frame = pd.DataFrame(rows, columns=["claim", "on", "verdict", "effect, 95% interval", "seeds"])
    told = [_told(entry) for entry in found.item.claims]
    remarks = [
        f"- {judged.entry.name}{f' on {judged.on}' if judged.on else ''}: {clean(judged.verdict.reason)}"
        for judged in found.judged
        if judged.verdict.reason
    ]
    sections = ["## Claims", frame_table(frame), "\n".join(told)]
    return [*sections, "Remarks on verdicts:", "\n".join(remarks)] if remarks else sections


def _claim_row(judged: Judged) -> list[str]:
    verdict = judged.verdict
    effects = effects_text(verdict.parts) or "–"
    return [judged.entry.name, judged.on, verdict.outcome, effects, str(len(verdict.seeds))]


def _told(entry: ClaimEntry) -> str:
    """A claim in words and as the statement it is judged by, which has no character that could end the code."""
    note = f" *{clean(entry.note)}*" if entry.note else ""
    return f"- **{entry.name}** ({clean(entry.place)}): {clean(entry.says)} `{entry.claim}`{note}"


def _published(found: Reproduction) -> list[str]:
    frame = found.published
    if frame.empty:
        return []
    text = pd.DataFrame(
        {
            "in the paper": frame["place"],
            "of": frame["of"],
            "published": [f"{value:g}" for value in frame["published"]],
            "obtained": [obtained_text(row) for _, row in frame.iterrows()],
            "on": frame["on"],
        }
    )
    return ["## Published beside obtained", frame_table(text)]


def _figure(caption: str, path: Path, missing: str) -> list[str]:
    if not path.exists():
        return [f"No picture `{path.stem}`: {clean(missing)}."]
    note = f" Missing: {clean(missing)}." if missing else ""
    return [f"![{clean(caption)}]({path.name})", f"*{clean(caption)}*{note}"]


def _scores(report: Report) -> list[str]:
    sections = ["## All scores", "Mean over seeds ± half width of the 95% t interval, from three seeds up."]
    for name, frame in report.comparison.items():
        sections += [f"### {clean(name)}", frame_table(readable(frame))]
    if not report.cautions.empty:
        sections += ["### † Cautions", frame_table(report.cautions)]
    if not report.failures.empty:
        sections += ["### Without a number", frame_table(report.failures)]
    return sections


def _making(found: Reproduction, report: Report) -> list[str]:
    recipe = found.scale.recipe
    deviations = "\n".join(f"- {clean(line)}" for line in found.scale.deviations) or "- nothing that the text states"
    environment: Mapping[str, Any] = report.provenance.get("environment", {})
    devices = ", ".join(dict.fromkeys(str(device) for device in report.timings["device"].dropna() if device)) or "none"
    packages = ", ".join(f"{name} {version}" for name, version in environment.get("packages", {}).items())
    lines = [
        f"- methods: {', '.join(f'`{selection}`' for selection in recipe.methods)}",
        f"- datasets: {', '.join(f'`{selection}`' for selection in recipe.datasets)}; seeds {list(recipe.seeds)}"
        + (f"; {recipe.subset} training images" if recipe.subset else ""),
        f"- benchsuite {environment.get('benchsuite')}, commit {environment.get('commit')}",
        f"- {environment.get('processor')}, {environment.get('cores')} cores, device {devices}, "
        f"Python {environment.get('python')}",
        f"- {packages}",
    ]
    return ["## What differs from the paper", deviations, "## How it was made", "\n".join(lines), _TOLERANCE]
