"""Whatever cells say, a table keeps its rows and columns, and Markdown reads nothing into them."""

from __future__ import annotations

import unicodedata

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token
from rich.cells import cell_len

from benchsuite.kit.text import clean, frame_table, table

HOSTILE = [
    "a|b",
    "a\\|b",
    "ends in \\",
    "\\\\|",
    "two\nlines",
    "carriage\rreturn\r\n",
    "line\u2028separator\u2029paragraph\x85next\x0bvertical\x0cform",
    "tab\tand  spaces ",
    "\x1b[31mred\x1b[0m bell\x07 nul\x00 del\x7f",
    "right\u202eto\u2066left\u200fmark",
    "zero\u200bwidth\ufeff",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "&lt;b&gt;",
    "`code`",
    "``a`",
    "[click](http://evil.example)",
    "![pixel](http://evil.example/x.png)",
    "<http://evil.example>",
    "*bold* _it_ __it__ ~~gone~~",
    "| --- | --- |",
    "# heading",
    "- item",
    "日本語",
    "",
]
LABELS = ["glo[epochs=3]", "psnr_train", "fd[features=inception[protocol=clean]]@clean", "a|b", "a\\b", "<b>", "x < y"]
LABELS += ["`x`", "p*q*r", "*a*", "_a_", "&lt;", "&amp;b", "~~a~~", "[a](b)", "![a](b)", "-3.5 ± 0.2", "99%", "größe"]


def parsed(text: str) -> list[list[Token]]:
    """The inline tokens of each cell, row by row, as a reader of GitHub's Markdown finds them."""
    markdown = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    found: list[list[Token]] = []
    for token in markdown.parse(text):
        if token.type == "tr_open":
            found.append([])
        elif token.type == "inline":
            assert found, "text outside the table"
            found[-1].append(token)
    return found


def read_back(text: str) -> list[list[str]]:
    """What each cell shows."""
    return [["".join(child.content for child in cell.children or ()) for cell in row] for row in parsed(text)]


def test_columns_are_aligned_and_numbers_are_to_the_right() -> None:
    text = table(["method", "psnr"], [["glo", "26.34"], ["subproblem_gan", "9.1"]], [False, True])
    assert text.splitlines() == [
        "| method         |  psnr |",
        "| :------------- | ----: |",
        "| glo            | 26.34 |",
        "| subproblem_gan |   9.1 |",
    ]


def test_a_table_without_rows_is_its_header() -> None:
    assert table(["a"], [], [False]) == "| a   |\n| :-- |"


@pytest.mark.parametrize("cell", HOSTILE)
def test_hostile_content_stays_on_one_row_and_in_one_cell(cell: str) -> None:
    lines = table(["method", "note"], [["x", cell], [cell, "y"]], [False, False]).splitlines()
    assert len(lines) == 4
    assert [len(row) for row in parsed("\n".join(lines))] == [2, 2, 2]
    for line in lines:
        assert not any(unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp") for c in line)


@pytest.mark.parametrize("cell", HOSTILE)
def test_hostile_content_becomes_no_link_image_code_or_html(cell: str) -> None:
    tokens = [child for row in parsed(table([cell], [[cell]], [False])) for c in row for child in c.children or ()]
    kinds = {token.type for token in tokens}
    assert not kinds & {"link_open", "image", "code_inline", "html_inline"}


@pytest.mark.parametrize("label", LABELS)
def test_a_reader_of_markdown_sees_the_cell_as_it_was(label: str) -> None:
    assert read_back(table(["name"], [[label]], [False])) == [["name"], [label]]


@given(st.lists(st.tuples(st.text(max_size=12), st.text(max_size=12)), max_size=4))
@settings(max_examples=150, deadline=None)
def test_any_table_keeps_its_shape_and_can_be_written_as_utf_8(rows: list[tuple[str, str]]) -> None:
    text = table(["one", "two"], rows, [False, True])
    assert len(text.splitlines()) == len(rows) + 2
    assert [len(row) for row in parsed(text)] == [2] * (len(rows) + 1)
    text.encode()


def test_a_lone_surrogate_does_not_stop_the_table_from_being_written() -> None:
    broken = b"log \xff line".decode("utf-8", "surrogateescape")  # as a cell's log is read when it is no UTF-8
    assert b"log" in table(["log"], [[broken]], [False]).encode()


@pytest.mark.parametrize("cell", ["日本語", "한국어", "e\u0301tude", "größe", "ＡＢＣ", "🐈", "plain", "עברית"])
def test_wide_and_combining_characters_keep_columns_aligned(cell: str) -> None:
    lines = table(["name", "n"], [[cell, "1"], ["ascii", "2"]], [False, True]).splitlines()
    assert len({cell_len(line) for line in lines}) == 1  # rich counts terminal cells by the Unicode tables


def test_for_the_terminal_nothing_is_escaped() -> None:
    for text in LABELS:
        assert clean(text, markdown=False) == text
    assert clean("a|b\n\x1b[31m\u202e<c>", markdown=False) == "a|b [31m<c>"


def test_common_labels_need_no_escapes() -> None:
    for text in ("pca", "glo", "26.3 ± 0.1", "größe", "日本語", "50%", "(x)", "fd"):
        assert clean(text) == text


def test_cleaning_makes_one_line_of_many() -> None:
    assert clean("  Traceback:\n\n  File 'x'\t line 3 \r\n") == "Traceback: File 'x' line 3"
    assert clean("red \x1b[31malert\x1b[0m") == "red [31malert[0m"


@pytest.mark.parametrize("numbers", [["1.5", "20"], ["-3.2", "-10.0"], ["", "-1"], ["12.1 ± 0.3", ""], [".5", "-.5"]])
def test_a_column_of_numbers_is_set_to_the_right(numbers: list[str]) -> None:
    frame = pd.DataFrame({"method": ["pca", "glo"], "psnr": numbers})
    assert frame_table(frame).splitlines()[1] == "| :----- | " + "-" * (max(map(len, ["psnr", *numbers])) - 1) + ": |"


def test_columns_of_words_and_the_first_column_are_set_to_the_left() -> None:
    frame = pd.DataFrame({"seed": ["0", "1"], "status": ["ok", "error"]})
    assert frame_table(frame).splitlines()[1] == "| :--- | :----- |"


def test_a_frame_becomes_its_table() -> None:
    frame = pd.DataFrame({"method": ["pca"], "psnr": [20.3], 3: [1]})
    assert read_back(frame_table(frame)) == [["method", "psnr", "3"], ["pca", "20.3", "1"]]
