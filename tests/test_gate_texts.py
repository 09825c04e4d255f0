"""Verdicts in words, for people, GitHub and CI systems; what plugins say stays inert."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import pytest
from markdown_it import MarkdownIt

from benchsuite.results.gatetexts import comment, comment_mark, described, headline, reasons, summary, table_of
from benchsuite.results.junit import junit
from benchsuite.results.verdicts import Gate, Row

HOSTILE = "\ufffe\uffff <script>x</script> @someone #12 | `code` \x00\x1b[31m ]]> $a$ https://example.org"
WORSE = Row(
    "vae",
    "digits",
    "fd",
    "regression",
    "",
    "test",
    "last",
    "",
    "min",
    20,
    20,
    2.0,
    3.0,
    1.0,
    0.2,
    0.25,
    0.00002,
    0.002,
    0.45,
)


def gate(*rows: Row, **given: object) -> Gate:
    return Gate("runs/x", "b.json", rows, comparisons=len(rows), **given)  # type: ignore[arg-type]


def test_a_row_says_by_how_much_and_what_could_have_been_seen() -> None:
    (row,) = table_of([WORSE], with_dataset=False).to_dict("records")
    assert row == {
        "score": "fd ↓ of vae",
        "verdict": "regression",
        "baseline": "2.000",
        "this run": "3.000",
        "worse by": "1.000 ± 0.200 (+50.0%)",
        "p": "≤0.0001",
        "seen from": "0.4500",
        "seeds": "20 / 20",
    }
    text = described(WORSE)
    assert "worse by 1.000 ± 0.200 (+50.0%), tolerance 0.002000, 4.0 seed standard deviations" in text
    assert "a loss of 0.4500 would be seen with 95% probability" in text


def test_the_headline_says_whether_the_gate_is_open() -> None:
    assert headline(gate(WORSE, Row("vae", "digits", "psnr"))) == "Gate closed: 1 regression, 1 pass"
    assert headline(gate(Row("vae", "digits", "psnr", "inconclusive"))) == "Gate open: 1 inconclusive"
    assert headline(gate(Row("vae", "digits", "psnr", "inconclusive"), strict=True)).startswith("Gate closed")
    assert headline(gate()) == "Gate open: nothing to compare"


def test_one_reason_is_said_once_for_all_that_it_holds_for() -> None:
    rows = [Row("vae", "digits", name, "new failure", "diverged: nan") for name in ("fd", "psnr")]
    rows.append(Row("glo", "digits", "fd", "new failure", "diverged: nan"))
    assert reasons(rows) == ["new failure: fd, psnr of vae on digits; fd of glo on digits: diverged: nan"]


@pytest.mark.parametrize("write", [summary, comment])
def test_markdown_has_the_table_and_nothing_of_what_plugins_say_runs(write) -> None:  # type: ignore[no-untyped-def]
    hostile = Row(HOSTILE, HOSTILE, HOSTILE, "new failure", HOSTILE)
    text = write(gate(WORSE, hostile, notices=(HOSTILE,), changes=(HOSTILE,)))
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
    assert "<script" not in html and "@someone" not in text and "#12" not in text and "$a$" not in text
    assert "<table>" in html and "1.000 ± 0.200" in html and "\x1b" not in text and "\x00" not in text
    assert html.count("<tr>") == (3 if write is summary else 6)


def test_a_comment_shows_what_matters_and_folds_the_rest() -> None:
    passed = Row("vae", "digits", "psnr", by="test", seeds=5, seeds_baseline=20, loss=0.0)
    text = comment(gate(WORSE, passed))
    seen, _, folded = text.partition("<details>")
    assert (
        text.startswith(comment_mark(gate()))
        and "fd ↓ of vae" in seen
        and "psnr of vae" not in seen
        and "psnr of vae" in folded
    )


def test_a_comment_fits_into_what_github_takes() -> None:
    many = [Row(f"m{i}" * 10, "digits", "fd", "regression", f"reason {i} " * 20) for i in range(2000)]
    text = comment(gate(*many))
    assert len(text) < 65_536 and "Gate closed: 2000 regressions" in text and "the step's summary has it" in text
    marked = [Row("vae", "digits", f"m{i} @a #1 $x$ " * 4, "regression") for i in range(460)]
    assert len(comment(gate(*marked))) < 65_536
    assert len(summary(gate(*(many * 8))).encode()) < 2**20


def test_junit_can_be_parsed_whatever_plugins_say_and_counts_what_it_holds() -> None:
    rows = (
        WORSE,
        Row(HOSTILE, HOSTILE, HOSTILE, "missing", HOSTILE),
        Row("vae", "digits", "authpct", "ungated", "it has no direction"),
        Row("vae", "digits", "psnr", "pass", by="bits"),
        Row("vae", "digits", "ssim", "inconclusive", "more seeds", loss=math.inf),
    )
    root = ElementTree.fromstring(junit(gate(*rows)).partition("\n")[2])
    suite = root.find("testsuite")
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("5", "2", "1")
    assert len(suite.findall("testcase/failure")) == 2 and len(suite.findall("testcase/skipped")) == 1
    assert "<script>x</script> @someone #12" in (suite.findall("testcase")[1].get("name") or "")
    strict = ElementTree.fromstring(junit(gate(*rows, strict=True)).partition("\n")[2]).find("testsuite")
    assert strict is not None and strict.get("failures") == "3"
