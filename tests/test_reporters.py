"""Every format says the same, cell by cell, and what plugins put into names and errors stays text in each of them."""

from __future__ import annotations

import csv
import doctest
import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from made_up_runs import cell, record_of, report_of
from markdown_it import MarkdownIt
from markdown_it.token import Token
from test_text import HOSTILE

from benchsuite.contracts import MetricRow, Record
from benchsuite.harness.store import RunStore
from benchsuite.kit.text import shortened, spreadsheet_safe
from benchsuite.reports import Report
from benchsuite_plugins.reporters import html, latex
from benchsuite_plugins.reporters.csv import CSV
from benchsuite_plugins.reporters.html import HTML
from benchsuite_plugins.reporters.latex import LaTeX, escaped
from benchsuite_plugins.reporters.markdown import MOST_BYTES, MOST_CHARACTERS, Markdown
from benchsuite_plugins.reporters.parquet import Parquet

SEEDS = (0, 1, 2)
NOISE = {0: -0.1, 1: 0.02, 2: 0.09}
TEX = pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")


# A run with everything that a cell of a table may show.


def score(name: str, value: float | None, unit: str = "", direction: str = "max", caution: str = "") -> MetricRow:
    protocol = {"version": 1, "samples": 64}
    return MetricRow(name, name, value, unit, direction, 64, f"{name}-0000", "ok", caution, protocol)


def scores(level: float, seed: int, method: str) -> list[MetricRow]:
    """The better the higher ``level`` is, and by far, but at ``fd``, where seeds decide nothing."""
    noise = NOISE[seed]
    bad = method == "glo_2"
    return [
        score("psnr", 20 + level + noise / 10, "dB"),
        score("fd[features=net,k=3]", float("inf") if bad else 5.0 + (-1) ** seed * level / 9, "", "min"),
        score("tiny", (3 + level + noise) * 1e-9, "", "min"),
        score("log_prob", -95.25 + level + noise, "nats"),
        score("authpct", 50 + level, "%", caution="few samples" if bad else ""),
        score("mean", level, "", "none"),
        score("slow", 1234.5 * level + noise, "1/s", caution="cold" if method == "pca" else ""),
        *(score(f"more{i}", level + noise * i / 30, "", "min") for i in range(8)),
    ]


def made_up_records() -> Iterator[Record]:
    levels = {"pca": 0.5, "vae[lr=1e-3]": 1.0, "glo_2": 3.5, "a & b%": 0.25}
    for dataset, count in (("digits", 7), ("grid of 3", 15)):
        for method, level in levels.items():
            for seed in SEEDS:
                rows = scores(level, seed, method)[:count]
                names = [row.selection for row in rows]
                if method == "a & b%" and seed == 2:
                    rows[5] = replace(rows[5], value=None, status="skipped", reason="no decoder")
                if method == "glo_2" and seed == 1:
                    rows[4] = replace(rows[4], value=None, status="error", reason="ValueError: no")
                yield record_of(cell(method, seed, dataset, names), rows)
        for seed in SEEDS:
            yield Record(cell("broken", seed, dataset, names), "error", "ValueError: no")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    run = {"command": ["benchsuite", "run", "--methods", "vae[lr=1e-3]"], "environment": {"benchsuite": "0"}}
    return report_of(tmp_path_factory.mktemp("made_up"), list(made_up_records()), run)


# What a format shows of it: dataset, column and method of each cell, and the cell. Each format has a parser of its own.


class Shown(NamedTuple):
    number: str
    plus_minus: str
    bold: bool
    mark: str


Tables = Mapping[tuple[str, str, str], Shown]
Parser = Callable[[Report, Path], Tables]


def shown(text: str, bold: bool) -> Shown:
    found = re.fullmatch(r"(?P<number>.*?)( ± (?P<width>\S+))?(?P<mark>( †)?( \(\d+ of \d+\))?)", text)
    assert found
    return Shown(found["number"], found["width"] or "", bold, found["mark"].strip())


def in_the_frames(report: Report) -> Tables:
    decided = {(row.dataset, row.column, row.best) for row in report.contest.itertuples() if row.p <= 0.05}
    return {
        (dataset, column, method): shown(text, (dataset, column, method) in decided)
        for dataset, table in report.comparison.items()
        for column, cells in table.items()
        for method, text in cells.items()
    }


def in_csv(report: Report, folder: Path) -> Tables:
    CSV().write(report, folder)
    summary, contest = (read_csv(folder / name) for name in ("summary.csv", "contest.csv"))
    decided = {(row["dataset"], row["column"], row["best"]) for row in contest if row["verdict"] == "significant"}
    keyed = {(row["dataset"], row["column"], row["method"]): row["shown"].removeprefix("'") for row in summary}
    return {key: shown(text, key in decided) for key, text in keyed.items()}


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def in_markdown(report: Report, folder: Path) -> Tables:
    found: dict[tuple[str, str, str], Shown] = {}
    for section, dataset, header, rows in markdown_tables(markdown_page(report, folder)):
        for name, *cells in rows if section == "Comparison" else ():
            for title, (text, bold) in zip(header[1:], cells, strict=True):
                column, method = (name, title) if header[0][0] == "metric" else (title, name)
                found[dataset, column[0], method[0]] = shown(text, bold)
    return found


Cell = tuple[str, bool]


def markdown_tables(page: str) -> Iterator[tuple[str, str, list[Cell], list[list[Cell]]]]:
    """The tables of ``page``, each with the headings above it: texts, and whether they are bold."""
    headings, rows, into = {"h2": "", "h3": ""}, [], ""
    for token in MarkdownIt("commonmark").enable("table").parse(page):
        if token.type == "heading_open":
            into = token.tag
        elif token.type == "tr_open":
            rows.append([])
        elif token.type == "inline" and into:
            headings, into = {**headings, into: inline_text(token)[0]}, ""
        elif token.type == "inline" and token.level > 3:
            rows[-1].append(inline_text(token))
        elif token.type == "table_close":
            yield headings["h2"], headings["h3"], rows[0], rows[1:]
            rows = []


def inline_text(token: Token) -> Cell:
    children = token.children or []
    return "".join(child.content for child in children if child.type == "text"), any(
        c.tag == "strong" for c in children
    )


def markdown_page(report: Report, folder: Path) -> str:
    (path,) = Markdown().write(report, folder)
    return path.read_text(encoding="utf-8")


def in_latex(report: Report, folder: Path) -> Tables:
    found: dict[tuple[str, str, str], Shown] = {}
    for table in re.findall(r"\\begin{table}(.*?)\\end{table}", latex_document(report, folder), re.DOTALL):
        (caption,) = re.findall(r"\\caption{(.*?): mean over", table)
        header, *rows = [
            re.split(r"(?<!\\) & ", line.removesuffix(r" \\")) for line in table.splitlines() if line.endswith(r" \\")
        ]
        for method, *cells in rows:
            for column, text in zip(header[1:], cells, strict=True):
                key = (from_latex(caption), from_latex(column), from_latex(method))
                plain = re.sub(r"\\num{(.*?)}", r"\1", text).replace(r"\best ", "").replace(" +- ", " ± ")
                found[key] = shown(from_latex(plain), r"\best " in text)
    return found


def from_latex(text: str) -> str:
    signs = {r"\textsuperscript{\dag}": "†", r"$\uparrow$": "↑", r"$\downarrow$": "↓", r"$\pm$": "±"}
    signs |= {r"\textendash{}": "–", "{": "", "}": ""}
    for sign, character in signs.items():
        text = text.replace(sign, character)
    return re.sub(r"\\(.)", r"\1", text).replace("  ", " ").strip()


def latex_document(report: Report, folder: Path) -> str:
    (path,) = LaTeX().write(report, folder)
    return path.read_text(encoding="utf-8")


class HTMLScores(HTMLParser):
    """The table of scores of a page, as its source has it: no script has run."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = False
        self.row: list[tuple[str, str]] = []  # the class of each cell and its text
        self.rows: list[list[tuple[str, str]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        self.inside |= tag == "table" and given.get("id") == "scores"
        self.open += [tag] if self.inside else []
        if self.inside and tag in ("td", "th"):
            self.row.append((given.get("class") or "", ""))

    def handle_endtag(self, tag: str) -> None:
        if self.inside and tag == "tr":
            self.rows.append(self.row)
            self.row = []
        if self.open:
            self.open.pop()
        self.inside &= tag != "table"

    def handle_data(self, data: str) -> None:
        explained = "details" in self.open and "summary" not in self.open  # why there is no number
        if self.inside and {"td", "th"} & set(self.open) and not explained:
            kind, text = self.row[-1]
            self.row[-1] = (kind, text + data)


def in_html(report: Report, folder: Path) -> Tables:
    HTML().write(report, folder)
    page = HTMLScores()
    page.feed((folder / "report.html").read_text(encoding="utf-8"))
    head, *rows = page.rows
    found = {}
    for (_, dataset), (_, method), *cells in rows:
        for (_, column), (kind, text) in zip(head[2:], cells, strict=True):
            found[dataset, column, method] = shown(text, "significant" in kind.split())
    # One table has all datasets; where one of them lacks a metric, it has a dash.
    return {key: cell for key, cell in found.items() if key in in_the_frames(report) or cell.number != "–"}


def in_data_of_html(report: Report, folder: Path) -> Tables:
    """The same of a page whose table comes as data, which is how it comes when it is large."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(html, "_AS_HTML", 0)
        HTML().write(report, folder)
    page = HTMLScores()
    text = (folder / "report.html").read_text(encoding="utf-8")
    page.feed(text)
    (data,) = re.findall(r'<script type="application/json" data-rows="scores">(.*?)</script>', text)
    (head,) = page.rows
    found = {}
    for dataset, method, *cells in json.loads(data):
        for (_, column), entry in zip(head[2:], cells, strict=True):
            said, kind = entry[:2] if isinstance(entry, list) else (entry, "")
            found[dataset, column, method] = shown(said, "significant" in kind.split())
    return {key: cell for key, cell in found.items() if key in in_the_frames(report) or cell.number != "–"}


FORMATS: dict[str, Parser] = {
    "csv": in_csv,
    "markdown": in_markdown,
    "latex": in_latex,
    "html": in_html,
    "data of html": in_data_of_html,
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_shows_the_same_in_every_cell(report: Report, tmp_path: Path, name: str) -> None:
    expected = in_the_frames(report)
    found = FORMATS[name](report, tmp_path)
    assert found == expected


def test_the_made_up_run_has_cells_of_every_kind(report: Report) -> None:
    cells = in_the_frames(report)
    assert {entry.mark for entry in cells.values()} == {"", "†", "(2 of 3)", "† (2 of 3)"}
    assert {"inf", "error"} <= {entry.number for entry in cells.values()}
    assert cells["digits", "psnr [dB] ↑", "glo_2"] == Shown("23.50", "0.02", True, "")
    assert cells["digits", "tiny ↓", "a & b%"].bold and cells["digits", "tiny ↓", "a & b%"].number == "3.253e-09"
    assert not any(entry.bold for (_, column, _), entry in cells.items() if column.startswith(("fd", "mean")))
    assert {len(table.columns) for table in report.comparison.values()} == {7, 15}  # in Markdown one is turned round


def test_bold_is_what_the_contest_calls_significant(report: Report) -> None:
    bold = {key for key, entry in in_the_frames(report).items() if entry.bold}
    assert bold == {
        (row.dataset, row.column, row.best) for row in report.contest.itertuples() if row.verdict == "significant"
    }


# Hostile names and errors.

LONG = "x" * 10_000
NAMES = [name for name in HOSTILE if name.strip()] + [
    "[click](evil.html)",
    "![pixel](/evil.png)",
    "@octocat",
    "x @octocat/team #1 gh-2 GH-3",
    "octo/repo#12 https://evil.example www.evil.example mail@evil.example",
    "$x^2$ [a]: http://evil.example",
    "[^1]: note",
    "=cmd|' /C calc'!A0",
    "\t=1+1",
    "\x00 @SUM(A1)",
    "＝1+1",
    "+1-1",
    "-2+3",
    r"\input{secret}",
    r"\end{table}\end{document}",
    "^^5cinput{secret} %",
    "\\",
    "{",
    "}}",
    "*star",
    "a & b # c",
    "\"quotes\" 'single' ``back``",
    "--",
    "🐈 עברית größe",
    LONG,
]


def hostile_records(names: Sequence[str] = NAMES) -> Iterator[Record]:
    for number, name in enumerate(names):
        other = names[-number - 1]
        rows = [
            MetricRow("m", "m", float(number), "", "max", 1, "f", "ok", other),
            MetricRow(f"{name}.x", "n", -1.0, other[:30], "min", 1, "g"),
            MetricRow("o", "o", None, "", "min", None, "g", "error", name),
        ]
        dataset = ["digits", "<b>|\\input{secret}@octocat"][number % 2]
        yield replace(record_of(cell(name, 0, dataset, ("m", "n", "o")), rows), notes=(name,), reconstruction=other)
    yield Record(cell("failed", 0, "digits", ("m",)), "error", LONG)


HOSTILE_RUN = {"command": ["benchsuite", *NAMES[:-1]], "scored": [["benchsuite", "score", "@octocat `code` ``"]]}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return report_of(tmp_path_factory.mktemp("hostile"), list(hostile_records()), HOSTILE_RUN)


@pytest.fixture(scope="module")
def hostile_pages(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Pages of a few names each, so that nothing is left out of them."""
    pages = []
    for first in range(0, len(NAMES), 8):
        folder = tmp_path_factory.mktemp("pages")
        few = report_of(folder, list(hostile_records(NAMES[first : first + 8])), HOSTILE_RUN)
        pages.append(markdown_page(few, folder))
    return pages


def test_hostile_names_are_text_in_markdown(hostile_pages: list[str]) -> None:
    blocks = {"html_block", "fence", "code_block", "blockquote_open", "hr", "ordered_list_open"}
    for page in hostile_pages:
        tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(page)
        assert not {token.type for token in tokens} & blocks and "Left out" not in page
        assert not [token for token in tokens if token.type == "bullet_list_open" and token.level]
        assert [token.level for token in tokens if token.type == "heading_open" and token.tag == "h1"] == [0]
        inlines = [child for token in tokens for child in token.children or ()]
        assert not {token.type for token in inlines} & {"link_open", "image", "em_open", "s_open"}
        assert {token.content for token in inlines if token.type == "html_inline"} <= {"<!-- -->", "<span>", "</span>"}
        for token in inlines:  # GitHub looks for references in each text by itself
            if token.type == "text":
                assert not re.search(r"@\w|#\d|gh-\d|://|www\.|\$.*\$", token.content, re.IGNORECASE), token.content
        assert "x" * 600 not in page


def test_a_reader_of_the_page_sees_every_name(hostile_pages: list[str]) -> None:
    seen = {name for page in hostile_pages for name in readable_names(page)}
    assert {" ".join(shortened(name).split()) for name in NAMES} <= seen


def readable_names(page: str) -> set[str]:
    tables = [(header, rows) for section, _, header, rows in markdown_tables(page) if section == "Comparison"]
    return {" ".join(text.split()) for header, rows in tables for row in [header, *rows] for text, _ in row}


def cells_of(folder: Path) -> list[str]:
    found: list[str] = []
    for path in folder.glob("*.csv"):
        with path.open(encoding="utf-8", newline="") as file:
            found += [text for row in csv.reader(file) for text in row]
    return found


def is_number(text: str) -> bool:
    return re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", text) is not None


def no_formulas(cells: Sequence[str]) -> bool:
    return not any(cell.lstrip().startswith(tuple("=+-@\t\r＝＋－＠")) and not is_number(cell) for cell in cells)


def test_no_cell_of_a_csv_file_is_a_formula(hostile: Report, tmp_path: Path) -> None:
    paths = CSV().write(hostile, tmp_path)
    assert [path.name for path in paths] == ["results.csv", "timings.csv", "summary.csv", "contest.csv"]
    cells = cells_of(tmp_path)
    assert no_formulas(cells) and not no_formulas(NAMES)
    assert "'=cmd|' /C calc'!A0" in cells and "-1.0" in cells and LONG in cells
    assert not any(re.search(r"[\x00-\x1f\u202e\u2066]", cell) for cell in cells)
    assert len(read_csv(tmp_path / "results.csv")) == len(hostile.results)


def test_the_csv_files_of_a_run_are_as_safe(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "run")
    store.create()
    store.write_tables(list(hostile_records()))
    cells = cells_of(store.path)
    assert no_formulas(cells) and "'=cmd|' /C calc'!A0" in cells and "-1.0" in cells


@pytest.mark.parametrize("text", ["1", "-1.5", "+3", "-1e-09", ".5", "-.5", "pca", "a=b", "–", "5 - 3", ""])
def test_what_is_no_formula_stays_as_it_is(text: str) -> None:
    assert spreadsheet_safe(text) == text


def test_parquet_keeps_every_value_and_type(report: Report, hostile: Report, tmp_path: Path) -> None:
    frames = {name: getattr(report, name).iloc[:0] for name in ("results", "timings", "summary")}
    empty = replace(report, contest=pd.DataFrame(columns=["dataset", "p"]), **frames)
    for number, one in enumerate((report, hostile, empty)):
        folder = tmp_path / str(number)
        folder.mkdir()
        for path in Parquet().write(one, folder):
            pd.testing.assert_frame_equal(pd.read_parquet(path), getattr(one, path.stem))
    assert str(pd.read_parquet(tmp_path / "0" / "results.parquet")["n"].dtype) == "Int64"


# LaTeX.


def test_braces_and_environments_of_the_document_are_balanced(report: Report, hostile: Report, tmp_path: Path) -> None:
    for one in (report, hostile):
        text = re.sub(r"\\[\\{}%]", "", latex_document(one, tmp_path))
        assert "%" not in text.replace("% Needs", "").replace("{%\n", "").replace("}%\n", "")
        assert text.count("{") == text.count("}")
        environments: list[str] = []
        for what, name in re.findall(r"\\(begin|end){(\w+)}", text):
            if what == "begin":
                environments.append(name)
            else:
                assert environments.pop() == name
        assert not environments


def compiled(folder: Path) -> str:
    """What pdflatex prints of ``report.tex`` in ``folder``, without blanks."""
    plain = r"\pdfcompresslevel=0\pdfobjcompresslevel=0\input{report.tex}"
    options = ["-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "-jobname=report"]
    done = subprocess.run(["pdflatex", *options, plain], cwd=folder, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout.decode("utf-8", "replace")[-2000:]
    return printed_in((folder / "report.pdf").read_bytes().decode("latin-1"))


def printed_in(pdf: str) -> str:
    """The characters of an uncompressed PDF in Computer Modern, whose fonts of symbols have an order of their own."""
    objects = dict(re.findall(r"^(\d+) 0 obj\n(.*?)^endobj", pdf, re.MULTILINE | re.DOTALL))
    symbols = {number for number, content in objects.items() if re.search(r"/BaseFont */\w+\+CMSY", content)}
    fonts = dict(re.findall(r"/(F\d+) (\d+) 0 R", pdf))
    text, order = "", ROMAN
    for content in objects.values():
        for font, array in re.findall(
            r"/(F\d+) [\d.]+ Tf|\[(\(.*?\))\]TJ", content if "\nBT\n" in content else "", re.DOTALL
        ):
            if font:
                order = SYMBOLS if fonts[font] in symbols else ROMAN
            for part in re.findall(r"\(((?:\\.|[^\\)])*)\)", array, re.DOTALL):
                text += re.sub(r"\\(\d{3}|.)", character, part, flags=re.DOTALL).translate(order)
    return text


def character(escape: re.Match[str]) -> str:
    return chr(int(escape[1], 8)) if escape[1].isdigit() else escape[1]


SYMBOLS = str.maketrans({"n": "\\", "f": "{", "g": "}", "j": "|", "\x06": "±", '"': "↑", "#": "↓", "y": "†"})
ROMAN = str.maketrans({"\x0b": "ff", "\x0c": "fi", "\r": "fl", "\x0e": "ffi", "{": "–"})


@TEX
def test_the_document_compiles_and_prints_the_table(report: Report, tmp_path: Path) -> None:
    latex_document(report, tmp_path)
    text = compiled(tmp_path)
    assert "vae[lr=1e-3]" in text and "a&b%" in text and "fd[features=net,k=3]↓" in text
    assert "23.50±0.02" in text and "psnr[dB]↑" in text and "†(2of3)" in text
    assert "50.50±0.00" in text
    assert text.count("inf") >= 2 and "significant" in text


@TEX
def test_bold_print_is_bold_in_the_document_and_nothing_else_is(report: Report, tmp_path: Path) -> None:
    latex_document(report, tmp_path)
    source = (tmp_path / "report.tex").read_text()
    compiled(tmp_path)
    assert "CMB10" in (tmp_path / "report.pdf").read_bytes().decode("latin-1")
    (tmp_path / "report.tex").write_text(source.replace(r"\best ", ""))
    compiled(tmp_path)
    assert "CMB10" not in (tmp_path / "report.pdf").read_bytes().decode("latin-1")


@TEX
def test_a_document_of_hostile_names_compiles_and_prints_them(hostile: Report, tmp_path: Path) -> None:
    (tmp_path / "secret.tex").write_text("SECRET")
    latex_document(hostile, tmp_path)
    text = compiled(tmp_path)
    assert "SECRET" not in text
    for name in (r"\input{secret}", "a&b#c", "=cmd|", "@octocat", r"\end{table}\end{document}", "*star", "[U+1F408]"):
        assert name in text, name


def test_what_tex_has_no_glyph_for_is_named_by_its_number() -> None:
    assert escaped("größe 🐈\u202e 日") == "größe [U+1F408] [U+65E5]"
    assert escaped(LONG).count("x") == 199 and r"\dots{}" in escaped(LONG)
    assert not doctest.testmod(latex).failed


# Pages that have to be cut.


def long_report(report: Report, rows: int) -> Report:
    methods = [f"method_{i:05}" for i in range(rows)]
    table = pd.DataFrame({f"metric_{j} ↑": ["24.95 ± 0.11"] * rows for j in range(5)}, index=pd.Index(methods))
    failures = pd.DataFrame({"method": methods, "status": "error", "reason": "ValueError: 🐈" * 5})
    tables = {"digits": table.rename_axis("method")}
    seconds = {"digits": tables["digits"][:2_000]}
    costs = {"timing": seconds, "rates": seconds, "metric_timing": seconds, "contended": seconds}
    contest = pd.concat([report.contest] * (rows // len(report.contest)))
    scores = {"comparison": tables, "leads": {"digits": tables["digits"].map(lambda _: "")}}
    return replace(report, failures=failures, contest=contest, **scores, **costs)  # type: ignore[arg-type]


def test_a_page_of_ten_thousand_rows_fits_into_a_comment_and_says_what_it_left_out(
    report: Report, tmp_path: Path
) -> None:
    started = time.perf_counter()
    page = markdown_page(long_report(report, 10_000), tmp_path)
    assert time.perf_counter() - started < 60
    assert MOST_CHARACTERS <= 65_000 and MOST_BYTES <= 262_144
    assert 30_000 < len(page) <= 65_000 and len(page.encode()) <= 262_144
    top = page.split("\n\n")[1]
    for title in ("Protocols", "Seconds of metrics", "Rates", "Contended cells", "Timing"):
        assert f"{title} (all " in top and f"## {title}" not in page
    rows = {section: len(rows) for section, _, _, rows in markdown_tables(page)}
    assert f"Comparison ({10_000 - rows['Comparison']} rows)" in top and "--format html" in top
    assert f"{10_000 - rows['Comparison']} of 10000 rows are left out." in page
    assert rows["Comparison"] >= 30 and rows["Without a number"] >= 10


def test_what_matters_least_is_left_out_first_and_no_more_than_has_to_be(report: Report, tmp_path: Path) -> None:
    page = markdown_page(long_report(report, 200), tmp_path)
    assert "Protocols (all " in page and "## Timing" not in page
    rows = {section: len(rows) for section, _, _, rows in markdown_tables(page)}
    assert rows["Comparison"] == 200
    assert "Left out" not in markdown_page(report, tmp_path)


def test_a_page_of_wide_tables_fits_too(report: Report, tmp_path: Path) -> None:
    names = [f"name {i}" for i in range(300)]
    wide = pd.DataFrame(np.full((300, 300), "24.95 ± 0.11"), index=pd.Index(names, name="method"), columns=names)
    page = markdown_page(
        replace(report, comparison={"digits": wide}, leads={"digits": wide.map(lambda _: "")}), tmp_path
    )
    assert 50_000 < len(page) <= 65_000 and "| name 1 " in page


def test_the_reporter_that_the_guide_prints_writes_its_file(report: Report, tmp_path: Path) -> None:
    page = (Path(__file__).parents[1] / "docs" / "plugins" / "reporters.md").read_text(encoding="utf-8")
    (code,) = (block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "benchsuite.Reporter" in block)
    exec(compile(code, "docs/plugins/reporters.md", "exec", dont_inherit=True), names := {})
    (path,) = names["Winners"]().write(report, tmp_path)
    assert "significant" in path.read_text(encoding="utf-8")
