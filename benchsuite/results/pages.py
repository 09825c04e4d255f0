"""An item's page: verdicts, published beside obtained, figures, and how to make all of it again."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from benchsuite.contracts import Record
from benchsuite.harness.store import RunStore
from benchsuite.kit.files import write_text
from benchsuite.kit.text import clean, frame_table, readable
from benchsuite.reports import Report
from benchsuite.results.figures import draw
from benchsuite.results.itemfile import ClaimEntry
from benchsuite.results.reproduce import Judged, Reproduction, effects_text, obtained_text

_SCALE_NOTES = {
    "smoke": "This scale checks that everything runs. It decides nothing.",
    "small": "This scale uses embedded data and small networks. Its verdicts do not speak for the paper's own scale.",
    "paper": "",
}
_INTERVALS = "Intervals are Student's, over seeds, and are not cut to the range of a score."
_TOLERANCE = (
    "The same command on the same machine, with the same versions, gives the same numbers to the last bit. Elsewhere, "
    "and with other versions, rounding differs and training magnifies it: means move by less than their intervals."
)


def write_page(found: Reproduction, store: RunStore, records: Sequence[Record], report: Report, folder: Path) -> Path:
    """Write README.md, claims.csv, published.csv, results.csv and the figures into ``folder``; returns the page.

    What an earlier page left there and this one has not is removed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    results = report.results.drop(columns=["params", "environment"])  # the page says both
    for frame, name in ((found.claims, "claims"), (found.published, "published"), (results, "results")):
        path = folder / f"{name}.csv"
        if frame.empty:
            path.unlink(missing_ok=True)
        else:
            public = frame.assign(reason=[public_text(str(text), report) for text in frame["reason"]])
            write_text(path, public.to_csv(index=False, lineterminator="\n"))
    for path in folder.glob("*.png"):
        path.unlink()
    pictures = []
    for figure in found.item.figures:
        path = folder / f"{figure.name}.png"
        missing = draw(figure, store, records, found.scores, path)
        pictures += _figure(figure.caption, path, missing)
    sections = [*_heading(found), *_claims(found), *_published(found), *pictures, *_scores(found, report)]
    page = folder / "README.md"
    write_text(page, public_text("\n\n".join([*sections, *_making(found, report)]), report) + "\n")
    return page


def public_text(text: str, report: Report) -> str:
    """``text`` without the places of this machine that reasons name: its cache, and its user's folder."""
    cache = str(report.provenance.get("environment", {}).get("cache", ""))
    for place, name in ((cache, "CACHE"), (os.environ.get("HOME", ""), "~")):
        if Path(place).is_absolute() and len(place) > 1:  # a user without a folder of their own has the root
            text = re.sub(rf"{re.escape(place)}(?![\w.-])", name, text)
    return text


def _heading(found: Reproduction) -> list[str]:
    item, scale = found.item, found.scale
    given = ["benchsuite", "reproduce", item.asked_by, "--scale", scale.name]
    if scale.recipe.device != item.scales[scale.name].recipe.device:
        given += ["--device", scale.recipe.device]
    stand_ins = ", ".join(f"{own} for {name}" for name, own in scale.stand_ins.items())
    said = [f"**Scale: {scale.name}.**", _scale_note(found), f"Stand-ins: {clean(stand_ins)}." if stand_ins else ""]
    command = f"```bash\n{shlex.join(given)}\n```"
    title, source = f"# {item.name}: {clean(item.title)}", f"*{clean(item.source)}*"
    return [title, source, item.about, command, " ".join(part for part in said if part)]


def _scale_note(found: Reproduction) -> str:
    item, scale = found.item, found.scale
    own, papers = scale.recipe, item.scales["paper"].recipe if "paper" in item.scales else None
    if scale.name != "small" or papers is None:
        return _SCALE_NOTES[scale.name]
    if (own.methods, own.datasets) == (papers.methods, papers.datasets):
        return "It has the methods and data of the paper's own scale."
    if {one.name for one in own.datasets} == {one.name for one in papers.datasets}:
        return (
            "It has the paper's own kind of data, not its sizes. Its verdicts do not speak for the paper's own scale."
        )
    return _SCALE_NOTES[scale.name]


def _claims(found: Reproduction) -> list[str]:
    if not found.judged:
        return ["## Claims", "It makes no claim that a number could refute."]
    rows = [_claim_row(judged) for judged in found.judged]
    frame = pd.DataFrame(rows, columns=["claim", "statement", "on", "verdict", "effect, 95% interval", "seeds"])
    told = [_told(entry) for entry in found.item.claims]
    remarks = [
        f"- {judged.entry.name}{f' on {judged.on}' if judged.on else ''}: {clean(judged.verdict.reason)}"
        for judged in found.judged
        if judged.verdict.reason
    ]
    sections = ["## Claims", frame_table(frame), _INTERVALS, "\n".join(told)]
    return [*sections, "Remarks on verdicts:", "\n".join(remarks)] if remarks else sections


def _claim_row(judged: Judged) -> list[str]:
    verdict = judged.verdict
    effects = effects_text(verdict.parts) or "–"
    entry = judged.entry
    return [entry.name, str(entry.claim), judged.on, verdict.outcome, effects, str(len(verdict.seeds))]


def _told(entry: ClaimEntry) -> str:
    """A claim in words."""
    note = f" *{clean(entry.note)}*" if entry.note else ""
    return f"- **{entry.name}** ({clean(entry.place)}): {clean(entry.says)}{note}"


def _published(found: Reproduction) -> list[str]:
    frame = found.published
    if frame.empty:
        return []
    text = pd.DataFrame(
        {
            "in the paper": frame["place"],
            "of": frame["of"],
            "published": [repr(value).removesuffix(".0") for value in frame["published"]],
            "obtained": [obtained_text(row) for _, row in frame.iterrows()],
            "on": frame["on"],
        }
    )
    sections = ["## Published beside obtained", frame_table(text)]
    reasons = frame[frame["reason"] != ""].groupby("reason", sort=False)["of"].agg(", ".join)
    remarks = [f"- {clean(str(reason))}: `{of}`" for reason, of in reasons.items()]
    return [*sections, "Remarks on what was obtained:", "\n".join(remarks)] if remarks else sections


def _figure(caption: str, path: Path, missing: str) -> list[str]:
    if not path.exists():
        return [f"No picture `{path.stem}`: {clean(missing)}."]
    note = f" Missing: {clean(missing)}." if missing else ""
    shown = clean(caption)
    return [f"![{shown.replace('[', '(').replace(']', ')')}]({path.name})", f"*{shown}*{note}"]


def _scores(found: Reproduction, report: Report) -> list[str]:
    """Every score by method and metric, with the item's short names for metrics that have one."""
    names = found.scale.names
    sections = ["## All scores", "Mean over seeds ± half width of the 95% t interval, from three seeds up."]
    if names:
        sections.append("\n".join(f"- `{short}` is `{row}`" for short, row in names.items()))
    for name, frame in report.comparison.items():
        short = frame.rename(columns=lambda title: _shortened(str(title), names))
        sections += [f"### {clean(name)}", frame_table(readable(short))]
    if not report.cautions.empty:
        sections += ["### † Cautions", frame_table(report.cautions)]
    if not report.failures.empty:
        sections += ["### Without a number", frame_table(report.failures)]
    return sections


def _shortened(title: str, names: Mapping[str, str]) -> str:
    """A column's title with the short name of its metric, the one for the longest part of it, where it has one."""
    fitting = [(row, short) for short, row in names.items() if re.match(rf"{re.escape(row)}($|[ .])", title)]
    if not fitting:
        return title
    row, short = max(fitting, key=lambda pair: len(pair[0]))
    return short + title[len(row) :]


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
