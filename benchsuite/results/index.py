"""The index of a folder of items' pages: every verdict in one table, from the pages' own claims.csv."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from benchsuite.kit.text import frame_table
from benchsuite.results.items import item_order
from benchsuite.results.reproduce import OUTCOMES

_HEADING = """# Reports

What became of the papers' tables, figures and claims. Each page says what the paper printed, what came out, what
differs in the set-up, and how to make it again. A verdict is of the scale at which it was reached, and speaks for no
other."""


def index_of(reports: Path) -> str:
    """README.md for ``reports``, a folder of pages PAPER/ITEM."""
    frames = [pd.read_csv(path, keep_default_na=False) for path in _claim_files(reports)]
    if not frames:
        return f"{_HEADING}\n\nThere are no pages yet.\n"
    claims = pd.concat(frames).drop_duplicates(["item", "scale", "claim", "dataset"])
    return "\n\n".join([_HEADING, _counts(claims), *_papers(claims)]) + "\n"


def _claim_files(reports: Path) -> list[Path]:
    found = reports.glob("*/*/claims.csv")
    return sorted(found, key=lambda path: item_order(f"{path.parent.parent.name}/{path.parent.name}"))


def _counts(claims: pd.DataFrame) -> str:
    """How many claims of each paper came to which verdict."""
    papers = claims["item"].str.partition("/")[0]
    rows = [
        [paper, *(str(int((group["verdict"] == outcome).sum())) for outcome in OUTCOMES)]
        for paper, group in claims.groupby(papers, sort=False)
    ]
    total = ["all", *(str(int((claims["verdict"] == outcome).sum())) for outcome in OUTCOMES)]
    return frame_table(pd.DataFrame([*rows, total], columns=["paper", *OUTCOMES]))


def _papers(claims: pd.DataFrame) -> Iterator[str]:
    for item, group in claims.groupby("item", sort=False):
        rows = group[["claim", "dataset", "verdict", "says", "place"]]
        yield f"## [{item}]({item}/README.md), scale {group['scale'].iloc[0]}"
        yield frame_table(rows.rename(columns={"dataset": "on", "says": "the paper says"}))
