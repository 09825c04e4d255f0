"""The HTML report in a real browser: it opens from a file, and sorts, filters, changes its theme and prints."""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from made_up_runs import failed, report_of
from test_contest import records_of

from benchsuite.contracts import Record
from benchsuite.reports import Picture
from benchsuite_plugins.reporters.html import HTML

playwright = pytest.importorskip("playwright.sync_api", reason="drives the browser: pip install playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed")
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


@dataclass
class Opened:
    """A page in the browser, and what it complained of or asked for."""

    page: Any
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def column(self, name: str, table: str = "scores") -> list[str]:
        """What the visible rows of a table show in the column whose title begins with ``name``."""
        return self.page.evaluate(
            """([table, name]) => {
              const element = document.getElementById(table);
              const heads = [...element.tHead.rows[0].cells];
              const place = heads.findIndex((head) => head.innerText.trim().startsWith(name));
              const rows = [...element.tBodies[0].rows].filter((row) => !row.classList.contains("dtrg-group"));
              return rows.map((row) => row.cells[place].innerText.trim().split("\\n")[0]);
            }""",
            [table, name],
        )

    def sort_by(self, name: str, table: str = "scores") -> None:
        self.page.locator(f"#{table} thead th", has_text=name).first.click()

    def shows(self, column: str, expected: list[str]) -> bool:
        """Whether a column comes to show what is expected; tables are drawn a moment after they are asked."""
        for _ in range(100):
            if self.column(column) == expected:
                return True
            self.page.wait_for_timeout(50)
        raise AssertionError(f"{column}: {self.column(column)}, expected {expected}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as running:
        # Without the flags about the background a browser asks its maker's servers for updates.
        quiet = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--no-first-run"]
        opened = running.chromium.launch(executable_path=CHROMIUM, args=quiet)
        yield opened
        opened.close()


@pytest.fixture
def opened(browser: Any) -> Iterator[Callable[..., Opened]]:
    contexts = []

    def at(path: Path, **options: Any) -> Opened:
        context = browser.new_context(**{"viewport": WIDE, **options})
        contexts.append(context)
        page = context.new_page()
        found = Opened(page)
        page.on("console", lambda said: found.complaints.append(said.text))
        page.on("pageerror", lambda error: found.complaints.append(str(error)))
        page.on("dialog", lambda dialog: (found.complaints.append(f"dialog {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: found.requests.append(request.url))
        page.goto(path.as_uri())
        if options.get("java_script_enabled", True):
            page.wait_for_selector("body[data-ready]", state="attached")
        return found

    yield at
    for context in contexts:
        context.close()


def some_records() -> list[Record]:
    scores = {
        "psnr": {"pca": [20.0, 20.1, 20.2], "vae": [9.0, 9.2, 9.1], "glo": [25.0, 25.3, 25.1]},
        "fd": {"pca": [100.0, 101.0, 102.0], "vae": [math.inf] * 3, "glo": [-2.0, -2.5, -2.2]},
    }
    digits = [*records_of(scores), *(failed("dcgan", seed) for seed in range(3))]
    return [*digits, *records_of(scores, dataset="patches")]


RUN = {
    "recipe": {"methods": ["pca", "glo[epochs=3]@short"], "seeds": [0, 1, 2], "samples": 4000, "datasets": ["digits"]},
    "command": ["/somewhere/bin/benchsuite", "run", "my recipe.toml"],
    "environment": {"benchsuite": "0.1.0", "commit": "abc", "packages": {"torch": "2.11"}},
}


def written(folder: Path, records: list[Record] | None = None) -> Path:
    (path,) = HTML().write(report_of(folder, records or some_records(), RUN), folder)
    return path


@needs_chromium
def test_the_page_opens_from_a_file_without_a_complaint_or_a_request(
    tmp_path: Path, opened: Callable[..., Opened]
) -> None:
    path = written(tmp_path)
    for viewport in (WIDE, PHONE):
        shown = opened(path, viewport=viewport)
        assert shown.page.title() == "some_run · benchsuite"
        assert shown.complaints == [] and [u for u in shown.requests if not u.startswith("data:")] == [path.as_uri()]
        assert shown.page.evaluate("document.documentElement.scrollWidth") == viewport["width"]
        assert shown.page.evaluate("[...document.images].every((image) => image.naturalWidth > 0)")


@needs_chromium
def test_tables_sort_by_number_and_what_is_none_comes_last(tmp_path: Path, opened: Callable[..., Opened]) -> None:
    shown = opened(written(tmp_path))
    shown.sort_by("fd")
    lowest = ["-2.233 ± 0.625"] * 2 + ["101.0 ± 2.5"] * 2 + ["inf"] * 2 + ["error"]
    assert shown.shows("fd", lowest)
    shown.sort_by("fd")
    assert shown.shows("fd", [*reversed(lowest[:-1]), "error"])
    assert shown.page.locator("#scores th[aria-sort=descending]").count() == 1


@needs_chromium
def test_a_table_sorts_by_keyboard(tmp_path: Path, opened: Callable[..., Opened]) -> None:
    shown = opened(written(tmp_path))
    shown.page.locator("#scores thead th", has_text="psnr").locator("[tabindex='0'], button").first.focus()
    shown.page.keyboard.press("Enter")
    ordered = ["9.100 ± 0.248"] * 2 + ["20.10 ± 0.25"] * 2 + ["25.13 ± 0.38"] * 2 + ["error"]
    assert shown.shows("psnr", ordered)


@needs_chromium
def test_tables_filter_group_and_hide_columns(tmp_path: Path, opened: Callable[..., Opened]) -> None:
    shown = opened(written(tmp_path))
    controls = shown.page.locator(".controls")
    controls.locator("[data-filter]").select_option("patches")
    assert shown.shows("dataset", ["patches"] * 3)
    controls.locator("[data-filter]").select_option("all")
    assert shown.shows("dataset", ["digits"] * 4 + ["patches"] * 3)
    shown.page.locator("#scores_wrapper input[type=search]").fill("dcgan")
    assert shown.shows("method", ["dcgan"])
    shown.page.locator("#scores_wrapper input[type=search]").fill("")
    controls.locator("[data-group]").select_option("method")
    assert shown.page.locator("#scores tbody tr:has(th[colspan])").all_inner_texts() == [
        *("dcgan", "glo", "pca", "vae")
    ]
    controls.locator("[data-group]").select_option("nothing")
    assert shown.page.locator("#scores tr:has(td)").count() == 7 == shown.page.locator("#scores tbody tr").count()
    controls.locator(".columns summary").click()
    controls.get_by_label("fd").uncheck()
    assert not shown.page.locator("#scores thead th", has_text="fd").count()
    assert shown.complaints == []


@needs_chromium
def test_a_failure_is_a_cell_that_opens_to_its_reason(tmp_path: Path, opened: Callable[..., Opened]) -> None:
    shown = opened(written(tmp_path))
    failure = shown.page.locator("#scores td.failed").first
    assert "ValueError" not in failure.inner_text()
    failure.locator("summary").click()
    assert "ValueError: no" in failure.inner_text()
    assert "ValueError: no" in shown.page.locator("#failures").inner_text()


@needs_chromium
def test_the_theme_follows_the_system_until_it_is_chosen(tmp_path: Path, opened: Callable[..., Opened]) -> None:
    path = written(tmp_path)

    def ground(page: Any) -> int:
        return sum(map(int, re.findall(r"\d+", page.evaluate("getComputedStyle(document.body).backgroundColor"))[:3]))

    light, dark = (opened(path, color_scheme=scheme).page for scheme in ("light", "dark"))
    assert ground(light) > 700 and ground(dark) < 100
    light.locator("#theme").click()
    light.locator("#theme").click()
    assert light.locator("#theme").inner_text() == "theme: dark" and ground(light) < 100
    light.reload()
    assert ground(light) < 100
    dark.locator("#theme").click()
    assert ground(dark) > 700


@needs_chromium
def test_what_is_printed_has_all_rows_and_no_controls(tmp_path: Path, opened: Callable[..., Opened]) -> None:
    many = records_of({"psnr": {f"m{i}": [1.0 * i, 1.1 * i, 1.2 * i] for i in range(40)}})
    shown = opened(written(tmp_path, many), color_scheme="dark")
    assert len(shown.column("method")) == 25
    shown.page.evaluate("""addEventListener("beforeprint", () => {
      window.printed = document.querySelectorAll("#scores tbody tr").length })""")
    assert shown.page.pdf()[:5] == b"%PDF-"
    assert shown.page.evaluate("window.printed") == 40 and len(shown.column("method")) == 25
    shown.page.emulate_media(media="print")
    assert not shown.page.locator("nav").first.is_visible() and not shown.page.locator("#theme").is_visible()
    assert shown.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


@needs_chromium
def test_without_scripts_the_tables_are_there(tmp_path: Path, opened: Callable[..., Opened]) -> None:
    shown = opened(written(tmp_path), java_script_enabled=False)
    assert shown.page.locator("#scores tbody tr").count() == 7
    assert shown.page.locator("#scores tbody").inner_text().count("20.10 ± 0.25") == 2
    assert not shown.page.locator(".controls").is_visible() and not shown.page.locator("#theme").is_visible()


HOSTILE = {
    "script": "<script>window.hacked = 1; alert(1)</script>",
    "image": "<img src=x onerror='window.hacked = 2'>",
    "closing": "</script></td></table><h1>gone</h1><!--",
    "attribute": '" onmouseover="window.hacked=3" x="\' onfocus=\'window.hacked=4',
    "template": "{{ 7 * 7 }}{% raw %}",
    "rtl": "abc\u202egnp.exe\u2066",
    "long": "x" * 10_000,
    "emoji": "🦊 naïve",
}


def hostile_records(methods: int = 0) -> list[Record]:
    """Everything that a plugin may name is hostile; with ``methods``, so many that the page makes rows of data."""
    records = []
    for number, (name, text) in enumerate(HOSTILE.items()):
        scores = {f"metric {text}": {f"{number} {text}": [1.0 + number, 2.0, 2.5]}}
        found = records_of(scores, dataset=f"data {HOSTILE['script']}")
        found = [replace(one, cell=replace(one.cell, key=f"{name}{one.cell.seed}")) for one in found]
        records += [
            Record(one.cell, "error", f"{name}: {text}") if one.cell.seed == 2 and number % 2 else one for one in found
        ]
    more = {f"m{i}": [1.0, 2.0, 3.0] for i in range(methods)}
    return records + (records_of({"psnr": more}, dataset="digits") if methods else [])


@needs_chromium
@pytest.mark.parametrize("methods", [0, 500])
def test_hostile_names_and_errors_are_shown_and_do_nothing(
    tmp_path: Path, opened: Callable[..., Opened], methods: int
) -> None:
    records = [replace_units(one) for one in hostile_records(methods)]
    shown = opened(written(tmp_path, records))
    page = shown.page
    if methods:
        page.locator("#scores_wrapper select").last.select_option("500")
        page.locator(".controls [data-filter]").select_option(f"data {HOSTILE['script']}")
        assert len(shown.column("method")) == len(HOSTILE)
        page.locator(".controls [data-group]").select_option("method")
    page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")
    for place in range(0, 900, 30):
        page.mouse.move(place, place)
    assert page.evaluate("window.hacked") is None and shown.complaints == []
    assert [url for url in shown.requests if not url.startswith(("data:", "file:"))] == []
    assert page.locator("h1").count() == 1 and page.locator("img[src=x]").count() == 0
    texts = page.locator("#comparison").inner_text()
    assert HOSTILE["script"] in texts and HOSTILE["closing"] in texts and HOSTILE["template"] in texts
    assert not set("\u202e\u2066") & set(page.content()) and "🦊 naïve" in texts
    assert page.evaluate("document.documentElement.scrollWidth") == WIDE["width"]


def replace_units(record: Record) -> Record:
    data = record.to_json()
    for row in data["metrics"]:
        row["unit"] = HOSTILE["script"]
    return Record.from_json(data)


def test_no_script_but_the_pages_own_may_run(tmp_path: Path) -> None:
    text = written(tmp_path).read_text(encoding="utf-8")
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', text)
    assert "default-src 'none'" in policy and "unsafe-eval" not in policy
    (scripts,) = re.findall(r"script-src ([^;]+);", policy)
    assert "unsafe-inline" not in scripts and len(scripts.split()) == 2


def test_the_page_says_how_to_run_it_again(tmp_path: Path) -> None:
    text = written(tmp_path).read_text(encoding="utf-8")
    assert "benchsuite run --methods &#39;pca,glo[epochs=3]@short&#39; --seeds 3<" in text
    assert "benchsuite run &#39;my recipe.toml&#39;" in text and "/somewhere/bin" not in text


def test_pictures_that_do_not_fit_are_left_out_and_the_page_stays_small(tmp_path: Path) -> None:
    report = report_of(tmp_path, some_records(), RUN)
    asked: list[int] = []

    def pictures(limit: int) -> list[Picture]:
        asked.append(limit)
        return [Picture("samples", "digits", "Samples.", b"\x89PNG" + bytes(limit - 4), "2 more")]

    (path,) = HTML().write(replace(report, pictures=pictures), tmp_path)
    assert asked == [6_000_000] and path.stat().st_size < 10_000_000
    assert "Not shown: 2 more" in path.read_text(encoding="utf-8")


def test_a_run_without_any_record_has_a_page(tmp_path: Path) -> None:
    (path,) = HTML().write(report_of(tmp_path, [], RUN), tmp_path)
    assert "There is no score yet" in path.read_text(encoding="utf-8")


def test_a_watched_page_reloads(tmp_path: Path) -> None:
    report = report_of(tmp_path, some_records(), RUN)
    (path,) = HTML().write(report, tmp_path)
    assert "data-watched" not in path.read_text(encoding="utf-8").split("<main")[0]
    (path,) = HTML().write(replace(report, provenance={**report.provenance, "watched": True}), tmp_path)
    assert 'data-watched="1"' in path.read_text(encoding="utf-8")


@needs_chromium
@pytest.mark.slow
def test_ten_thousand_cells_are_read_and_scrolled_smoothly(tmp_path: Path, opened: Callable[..., Opened]) -> None:
    scores = {f"metric{k}": {f"m{i}": [i + 0.1 * k, i + 0.2, i - 0.3] for i in range(334)} for k in range(20)}
    records = [one for number in range(10) for one in records_of(scores, dataset=f"data{number}")]
    assert len(records) == 10_020
    path = written(tmp_path, records)
    assert path.stat().st_size < 10_000_000
    shown = opened(path)
    page = shown.page
    assert len(shown.column("method")) == 25
    page.wait_for_timeout(500)
    page.evaluate("""window.slow = []; new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) window.slow.push(entry.duration) }).observe({ type: "longtask" })""")
    for _ in range(60):
        page.mouse.wheel(0, 400)
        page.wait_for_timeout(30)
    assert page.evaluate("window.scrollY") > 1000
    assert all(duration < 100 for duration in page.evaluate("window.slow")), page.evaluate("window.slow")
    assert shown.complaints == []
