"""The index of a folder of items' pages: every verdict in one table, from the pages' own claims.csv."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from benchsuite.kit.text import frame_table
from benchsuite.results.itemfile import OWN
from benchsuite.results.items import item_order
from benchsuite.results.reproduce import CLAIM_COLUMNS, OUTCOMES

_HEADING = """# Reports

What became of the papers' tables, figures and claims. Each page says what the paper printed, what came out, what
differs in the set-up, and how to make it again. A verdict is of the scale at which it was reached, and speaks for no
other. A statement has a verdict on each dataset."""


def index_of(reports: Path) -> str:
    """README.md for ``reports``, a folder of pages PAPER/ITEM."""
    pages = {f"{path.parent.parent.name}/{path.parent.name}": path.parent for path in reports.glob("*/*/README.md")}
    if not pages:
        return f"{_HEADING}\n\nThere are no pages yet.\n"
    claims = {name: claims_of(pages[name]) for name in sorted(pages, key=item_order)}
    return "\n\n".join([_HEADING, _counts(claims), *_items(claims)]) + "\n"


def claims_of(page: Path) -> pd.DataFrame:
    """A row for each claim and dataset of a page; none where it has no table of claims that can be read."""
    try:
        frame = pd.read_csv(page / "claims.csv", keep_default_na=False)
    except (FileNotFoundError, pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError):
        return pd.DataFrame(columns=CLAIM_COLUMNS)
    if list(frame.columns) != CLAIM_COLUMNS:
        return pd.DataFrame(columns=CLAIM_COLUMNS)
    return frame.drop_duplicates(["scale", "claim", "dataset"])


def _counts(claims: dict[str, pd.DataFrame]) -> str:
    """How many sentences of each paper came to which verdict, and how many statements that no paper makes."""
    frame = pd.concat([of.assign(paper=name.partition("/")[0]) for name, of in claims.items()])
    ours = frame["place"] == OWN
    papers = {paper: frame[~ours & (frame["paper"] == paper)] for paper in dict.fromkeys(frame["paper"])}
    groups = {**papers, "all papers": frame[~ours], f"ours, {OWN}": frame[ours]}
    rows = [[group, *[str((of["verdict"] == outcome).sum()) for outcome in OUTCOMES]] for group, of in groups.items()]
    return frame_table(pd.DataFrame(rows, columns=["statements of", *OUTCOMES]))


def _items(claims: dict[str, pd.DataFrame]) -> Iterator[str]:
    for name, frame in claims.items():
        link = f"## [{name}]({name}/README.md)"
        if frame.empty:
            yield from (link, "It makes no claim.")
        else:
            rows = frame[["claim", "dataset", "verdict", "says", "place"]]
            yield f"{link}, scale {frame['scale'].iloc[0]}"
            yield frame_table(rows.rename(columns={"dataset": "on", "says": "the paper says"}))
