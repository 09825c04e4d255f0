"""The committed reports are of the items as they are: every claim, the index, the pictures that are shown, and
findings that count them rightly."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pandas as pd
import pytest

from benchsuite.results.index import claims_of, index_of
from benchsuite.results.itemfile import OWN
from benchsuite.results.items import item_names, read_item
from benchsuite.results.reproduce import OUTCOMES

ROOT = Path(__file__).parents[1]
REPORTS = ROOT / "reports"


def test_there_is_a_page_for_every_item_and_no_other() -> None:
    pages = {f"{page.parent.parent.name}/{page.parent.name}" for page in REPORTS.glob("*/*/README.md")}
    assert pages == set(item_names())


def letters(text: str) -> str:
    """``text`` without what a page escapes or breaks."""
    return re.sub(r"\W|_", "", html.unescape(text))


@pytest.mark.parametrize("name", item_names())
def test_a_page_is_of_the_item_as_it_is(name: str) -> None:
    item, folder = read_item(name), REPORTS / name
    page, claims = (folder / "README.md").read_text(), claims_of(folder)
    assert set(claims["scale"]) == {"small"}
    stated = {(entry.name, str(entry.claim), entry.place, " ".join(entry.says.split())) for entry in item.claims}
    assert {*claims[["claim", "statement", "place", "says"]].itertuples(index=False, name=None)} == stated
    assert f"benchsuite reproduce {name} --scale small" in page
    said = [*item.scales["small"].deviations, *(entry.note for entry in item.claims), *item.about.splitlines()]
    assert not [line for line in said if letters(line) not in letters(page)]
    shown = set(re.findall(r"\]\(([\w-]+\.png)\)", page))
    assert shown == {path.name for path in folder.glob("*.png")} <= {f"{figure.name}.png" for figure in item.figures}


def test_the_index_is_that_of_the_pages() -> None:
    assert (REPORTS / "README.md").read_text() == index_of(REPORTS)


def test_the_findings_count_what_is_in_the_reports() -> None:
    found = pd.concat([claims_of(REPORTS / name).assign(item=name) for name in item_names()])
    theirs = found[found["place"] != OWN]["verdict"]
    text = " ".join((ROOT / "docs" / "findings.md").read_text().split())
    items, statements = item_names(), len(found.drop_duplicates(["item", "claim"]))
    assert f"{len(items)} items have {statements} statements" in text
    counts = [int((theirs == outcome).sum()) for outcome in OUTCOMES]
    assert "{} hold at scale `small`, {} fail, {} are inconclusive, and {} are not run".format(*counts) in text
    assert f"{len(found) - len(theirs)} verdicts are of statements of ours" in text
