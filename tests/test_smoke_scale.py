"""Every item of the papers runs at scale ``smoke``, with its claims judged and its figures drawn."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import CommandLine

from benchsuite.results.items import item_names, read_item


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_item_runs_at_the_smallest_scale(command_line: CommandLine, tmp_path: Path) -> None:
    reports = tmp_path / "reports"
    arguments = ["--scale", "smoke", "--out", str(tmp_path / "runs"), "--reports", str(reports), "--json"]
    outcomes = json.loads(command_line("reproduce", "all", *arguments, check=0).stdout)
    assert [outcome["item"] for outcome in outcomes] == item_names()
    for outcome in outcomes:
        item, page = read_item(outcome["item"]), reports / outcome["item"]
        assert {row["claim"] for row in outcome["claims"]} == {claim.name for claim in item.claims}
        decided = {row["claim"] for row in outcome["claims"] if row["verdict"] in ("holds", "fails")}
        assert not decided or len(item.scales["smoke"].recipe.seeds) >= 3, f"{item.name}: {decided} by too few seeds"
        drawn = {path.stem for path in page.glob("*.png")}
        undrawn = [line for line in (page / "README.md").read_text().splitlines() if line.startswith("No picture")]
        assert all("is not part of this scale" in line for line in undrawn), f"{item.name}: {undrawn}"
        assert len(drawn) + len(undrawn) == len(item.figures), item.name
    index = (reports / "README.md").read_text()
    assert all(f"[{outcome['item']}]" in index for outcome in outcomes if outcome["claims"])
