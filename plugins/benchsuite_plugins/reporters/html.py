"""The HTML reporter: one file that opens anywhere, without a network.

Its tables are plain HTML, which DataTables (MIT licence, beside this module in ``page/``) makes sortable and pages; a
table of very many rows comes as data, of which the page makes what is looked at. A content security policy names the
hashes of the page's own scripts, so that nothing else is run or fetched, whatever plugins put into names and errors.

Source: own work.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

import benchsuite
from benchsuite import Picture, Report, Reporter, hookimpl
from benchsuite.kit.files import write_text
from benchsuite.kit.text import clean, clipped, numeric_columns
from benchsuite.kit.winners import winners_table

_MOST_BYTES = 9_500_000  # of a page; pictures get what tables leave
_PICTURES = 6_000_000  # bytes of PNG, at the most
_AS_HTML = 400  # rows, beyond which a table comes as data
_STATISTICS = 4_000  # rows, beyond which they are left to summary.csv
_LONGEST = 2_000  # characters of a reason
_STATISTIC_TITLES = {
    "dataset": "dataset",
    "column": "metric",
    "method": "method",
    "n": "n",
    "seeds": "of",
    "mean": "mean",
    "sd": "s.d.",
    "se": "s.e.",
    "low": "t low",
    "high": "t high",
    "resampled_low": "bootstrap low",
    "resampled_high": "bootstrap high",
}
_FAILURES = ["method", "dataset", "status", "reason", "seeds", "metrics"]  # what a phone shows first
_NAMES = 3  # of these columns are text


@dataclass(frozen=True)
class Entry:
    """One cell of a table: its text, what kind it is of (a CSS class), why there is no number, and a remark."""

    text: str
    kind: str = ""
    reason: str = ""
    note: str = ""

    def as_data(self) -> str | list[str]:
        """The cell as the page's script reads it: its text, or text, class, reason and remark as far as there are any.

        That a cell is a number is known from its column.
        """
        parts = [self.text, self.kind.removeprefix("number").strip(), self.reason, self.note]
        while len(parts) > 1 and not parts[-1]:
            parts.pop()
        return parts if len(parts) > 1 else self.text


@dataclass(frozen=True)
class Column:
    """The head of a column."""

    title: str
    numeric: bool = False


@dataclass(frozen=True)
class Table:
    """A table of the page. Where it has very many rows, ``later`` is them as JSON."""

    id: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Entry]]
    later: Markup = field(default_factory=Markup)


class HTML(Reporter):
    """Everything about a run, or several, in one file."""

    name = "html"

    def write(self, report: Report, folder: Path) -> Sequence[Path]:
        """Writes ``report.html``, of less than 10 MB: pictures that do not fit are left out, and the page says so."""
        path = folder / "report.html"
        parts = _parts(report)
        bare = len(_rendered(parts, []).encode())
        room = max(0, min(_PICTURES, (_MOST_BYTES - bare) * 3 // 4))  # base64 writes three bytes as four characters
        write_text(path, _rendered(parts, report.pictures(room)))
        return [path]


def _rendered(parts: Mapping[str, Any], pictures: Sequence[Picture]) -> str:
    shown = [
        {
            "section": picture.section,
            "title": picture.title,
            "caption": picture.caption,
            "missing": picture.missing,
            "data": base64.b64encode(picture.png).decode(),
        }
        for picture in pictures
    ]
    kinds = {picture.section for picture in pictures}
    sections = [
        ("overview", "Best"),
        ("comparison", "Comparison"),
        ("failures", "Failures"),
        ("timing", "Cost"),
        *([("curves", "Curves")] if "curves" in kinds else []),
        ("pictures", "Pictures"),
        ("provenance", "Run again"),
    ]
    looks = bool(kinds & {"samples", "reconstructions", "interpolations", "codes"})
    return _template().render(parts, report_pictures=shown, shown_sections=kinds, has_pictures=looks, sections=sections)


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["inert"] = lambda text: clean(str(text), markdown=False)
    library = _asset("datatables.min.js") + "\n" + _asset("rowgroup.min.js")
    script = _asset("script.js")
    environment.globals |= {
        "library": Markup(library),
        "script": Markup(script),
        "style": Markup(_asset("style.css")),
        "script_hashes": Markup(" ".join(_hash(source) for source in (library, script))),
        "version": benchsuite.__version__,
    }
    return environment.from_string(_asset("page.html.j2"))


@cache
def _asset(name: str) -> str:
    return (files(__package__) / "page" / name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    digest = hashlib.sha256(script.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _parts(report: Report) -> dict[str, Any]:
    """What the page is made of, without its pictures."""
    provenance = report.provenance
    costs = [
        ("Seconds per cell, mean over seeds", report.timing),
        ("Items per second, memory and sizes", report.rates),
        ("Seconds of each metric", report.metric_timing),
        ("Contended cells: what they took beside others, not to be compared", report.contended),
    ]
    return {
        "name": report.name,
        "watched": bool(provenance.get("watched")),
        "facts": report.facts,
        "warnings": report.warnings,
        "contest": _contest(report.contest),
        "leaders": report.leaders,
        "datasets": list(dict.fromkeys(report.summary["dataset"])),
        "comparison": _comparison(report),
        "statistics": _statistics(report.summary),
        "cautions": _plain("cautions", "What has to be known of numbers marked †", report.cautions),
        "failures": _plain("reasons", "Cells and metrics without a number", report.failures[_FAILURES]),
        "costs": [
            (
                title,
                [_plain(f"cost-{i}-{j}", name, frame.reset_index()) for j, (name, frame) in enumerate(tables.items())],
            )
            for i, (title, tables) in enumerate(costs)
        ],
        "untimed": report.untimed,
        "protocols": _plain("protocols", "Metrics and how they were computed", report.protocols),
        "notes": provenance.get("notes", []),
        "labels": list(provenance.get("labels", {}).items()),
        "data": {name: ", ".join(found) for name, found in provenance.get("datasets", {}).items()},
        "methods": _plain("methods", "Defaults included", _methods(report.results)),
        "runs": [_run(run) for run in provenance.get("runs", [])],
    }


def _contest(contest: pd.DataFrame) -> Table | None:
    frame = winners_table(contest)
    if frame.empty:
        return None
    first = ["dataset", "metric", "best", "verdict"]
    frame = frame[first + [name for name in frame.columns if name not in first]]
    numeric = [name in ("mean", "by [95% interval]", "p") for name in frame.columns]
    rows = [
        [
            Entry(_cut(text), "significant" if name == "best" and verdict == "significant" else "number" * is_number)
            for name, text, is_number in zip(frame.columns, row, numeric, strict=True)
        ]
        for row, verdict in zip(frame.itertuples(index=False, name=None), frame["verdict"], strict=True)
    ]
    columns = [Column(name, is_number) for name, is_number in zip(frame.columns, numeric, strict=True)]
    return _table("contest", "The best of each metric, and whether the seeds decide it", columns, rows)


def _comparison(report: Report) -> Table | None:
    """Datasets and methods by metrics, all in one table."""
    titles = list(dict.fromkeys(report.summary["column"]))
    place = {title: number for number, title in enumerate(titles)}
    rows: dict[tuple[str, str], list[Entry]] = {}
    for row in report.summary.to_dict("records"):
        entries = rows.setdefault((row["dataset"], row["method"]), [Entry("–", "number")] * len(titles))
        entries[place[row["column"]]] = _score(row)
    body = [[Entry(dataset), Entry(method), *entries] for (dataset, method), entries in rows.items()]
    columns = [Column("dataset"), Column("method"), *(Column(title, numeric=True) for title in titles)]
    return _table("scores", "Methods by metrics", columns, body)


def _score(row: Mapping[Any, Any]) -> Entry:
    """A score as the comparison shows it; of what came to no number, the reason."""
    if not row["n"]:
        failed = row["status"] not in ("", "skipped")
        return Entry(row["shown"], "number failed" if failed else "number", reason=_cut(row["reason"]))
    note = "; ".join(text for text in (row["caution"], row["reason"]) if text)
    return Entry(row["shown"], f"number {row['lead']}".strip(), note=_cut(note))


def _methods(results: pd.DataFrame) -> pd.DataFrame:
    distinct = results[["method", "params"]].drop_duplicates()
    told = [", ".join(f"{name} = {value}" for name, value in json.loads(text).items()) for text in distinct["params"]]
    return pd.DataFrame({"method": distinct["method"], "parameters": told})


def _cut(text: str) -> str:
    return clipped(text, _LONGEST)


def _statistics(summary: pd.DataFrame) -> Table | None:
    """Every statistic that any score has; None for more scores than anybody would page through."""
    if len(summary) > _STATISTICS:
        return None
    shown = {name: title for name, title in _STATISTIC_TITLES.items() if summary[name].notna().any()}
    rows = [[_statistic(value) for value in row] for row in summary[list(shown)].itertuples(index=False, name=None)]
    columns = [Column(title, numeric=i >= _NAMES) for i, title in enumerate(shown.values())]
    return _table("statistics", "Every score by its statistics", columns, rows)


def _statistic(value: Any) -> Entry:
    if isinstance(value, str):
        return Entry(value)
    return Entry("–" if value != value else f"{value:.6g}", "number")


def _plain(id: str, caption: str, frame: pd.DataFrame) -> Table | None:
    """A frame of text as it is, None where it is empty."""
    if frame.empty:
        return None
    numeric = numeric_columns(frame)
    columns = [Column(str(title), is_number) for title, is_number in zip(frame.columns, numeric, strict=True)]
    rows = [
        [Entry(_cut(str(value)), "number" if n else "") for value, n in zip(row, numeric, strict=True)]
        for row in frame.itertuples(index=False, name=None)
    ]
    return _table(id, caption, columns, rows)


def _table(id: str, caption: str, columns: Sequence[Column], rows: Sequence[Sequence[Entry]]) -> Table | None:
    if not rows:
        return None
    if len(rows) <= _AS_HTML:
        return Table(id, caption, columns, rows)
    data = json.dumps([[_inert(entry) for entry in row] for row in rows], separators=(",", ":"), ensure_ascii=False)
    return Table(
        id, caption, columns, rows, Markup(data.replace("<", "\\u003c").replace("\u2028", "").replace("\u2029", ""))
    )


def _inert(entry: Entry) -> str | list[str]:
    data = entry.as_data()
    if isinstance(data, str):
        return clean(data, markdown=False)
    return [clean(text, markdown=False) for text in data]


def _run(run: Mapping[str, Any]) -> dict[str, Any]:
    environment: Mapping[str, Any] = run.get("environment", {})
    packages = ", ".join(f"{name} {version}" for name, version in environment.get("packages", {}).items())
    facts: Iterable[tuple[str, Any]] = [
        ("benchsuite", environment.get("benchsuite")),
        ("commit", environment.get("commit")),
        ("processor", environment.get("processor")),
        ("cores", environment.get("cores")),
        ("devices", ", ".join(environment.get("devices", []))),
        ("system", environment.get("system")),
        ("Python", environment.get("python")),
        ("packages", packages),
    ]
    commands = [run.get("command", []), *run.get("scored", [])]
    return {
        "run": run.get("run", ""),
        "machine": _machine(environment),
        "again": clean(run.get("again", ""), markdown=False),
        "commands": [clean(shlex.join(words), markdown=False) for words in commands if words],
        "facts": [(key, str(value)) for key, value in facts if value],
        "recipe": json.dumps(run.get("recipe", {}), indent=1),
    }


def _machine(environment: Mapping[str, Any]) -> str:
    cores, packages = environment.get("cores"), environment.get("packages", {})
    parts = [environment.get("processor"), cores and f"{cores} cores", environment.get("system")]
    parts += [f"torch {packages['torch']}"] if "torch" in packages else []
    return ", ".join(str(part) for part in parts if part)


@hookimpl
def benchsuite_reporters() -> Sequence[type[Reporter]]:
    """Provides ``html``."""
    return [HTML]
