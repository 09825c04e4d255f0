"""The papers' items: every file is read, every scale plans, and what claims and figures name is there."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchsuite.errors import RecipeError, UnknownNameError, UsageError
from benchsuite.harness.plan import cells_of
from benchsuite.harness.registry import Registry, load_registry
from benchsuite.papers import check_item
from benchsuite.results.claims import check
from benchsuite.results.figures import check_figure
from benchsuite.results.items import chosen_items, item_names, item_order, items_folder, read_item

WANTED = {
    "glo": [*(f"figure{n}" for n in range(1, 7)), "table1", "generated", "distributions", "data-size", "codes"],
    "stochastic-clipping": ["table1", "table2", "figure1", "figure2"],
    "hidden-tasks": ["figure1", "figure2a", "figure2b", "figure3", "equation13", "appendix-a"],
    "flexible-priors": [*(f"figure{n}" for n in range(2, 8)), "proposition1", "inception", "diversity"],
    "gan-thesis": [*(f"figure{n}" for n in range(1, 9)), "table1", "losses", "modes"],
}
ITEM = """
title = "A title"
source = "Somebody, Something (2020), Table 1"
about = "What it is about."
[small]
methods = ["pca"]
minutes = 1
[[claims]]
name = "one"
says = "PCA works"
place = "section 1"
holds = "psnr[pca] > 10"
"""
PUBLISHED = "[[published]]\nplace='p'\nof='psnr[pca]'"


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry()


def test_every_table_figure_and_claim_of_the_papers_is_an_item() -> None:
    wanted = {f"{paper}/{item}" for paper, items in WANTED.items() for item in items}
    assert wanted <= set(item_names()), sorted(wanted - set(item_names()))


def test_claims_are_many_and_the_stated_times_keep_to_the_limits() -> None:
    items = [read_item(name) for name in item_names()]
    assert sum(len(item.claims) for item in items) >= 25
    for item in items:
        assert set(item.scales) == {"smoke", "small", "paper"}, item.name
        assert item.scales["small"].minutes < 15, item.name
        assert item.scales["small"].deviations, f"{item.name} does not say what differs from the paper"
    assert sum(item.scales["small"].minutes for item in items) <= 100
    assert sum(item.scales["smoke"].minutes for item in items) < 10


@pytest.mark.parametrize("name", item_names())
def test_what_an_item_names_is_there(name: str, registry: Registry) -> None:
    item = read_item(name)
    check_item(item, "paper")
    papers_own = {asked.cell.dataset for asked in cells_of(item.scales["paper"].recipe, registry).asked}
    assert all(set(entry.datasets or ()) <= papers_own for entry in item.claims)
    for scale in item.scales.values():
        cells = cells_of(scale.recipe, registry).asked
        problems = {asked.problem for asked in cells} - {""}
        assert all("benchsuite prepare" in problem for problem in problems), problems
        if scale.name == "smoke":
            continue  # it may be a part
        methods = {asked.cell.method for asked in cells}
        datasets = {asked.cell.dataset for asked in cells} | set(scale.stand_ins)
        metrics = {selection for asked in cells for selection in asked.cell.metrics}
        for of in item.expressions:
            check(of, methods, datasets | papers_own, metrics, scale.names)
        for figure in item.figures:
            check_figure(figure, methods=methods, metrics=metrics, names=scale.names, datasets=datasets)


def test_names_papers_and_all_are_chosen_in_natural_order() -> None:
    assert [item.name for item in chosen_items(["all"])] == item_names()
    assert chosen_items(["glo/table1", "glo"])[0].name == "glo/table1"
    assert len(chosen_items(["glo/table1", "glo", "all"])) == len(item_names())
    assert items_folder().is_dir()
    assert sorted(["a/figure10", "a/figure9", "a/1²"], key=item_order) == ["a/1²", "a/figure9", "a/figure10"]


def test_an_installed_package_brings_its_own_items_and_a_missing_one_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = SimpleNamespace(submodule_search_locations=[str(tmp_path / "benchsuite_plugins")])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: installed)
    with pytest.raises(UsageError, match="items are not installed"):
        items_folder()
    written(tmp_path / "benchsuite_plugins" / "recipes", ITEM)
    assert item_names() == ["mine/item"]


@pytest.mark.parametrize(
    ("name", "near"), [("glo/tabel1", "did you mean 'glo/table1'"), ("glos", "did you mean 'glo'"), ("alle", "'all'")]
)
def test_an_item_that_is_not_there_is_answered_with_the_nearest(name: str, near: str) -> None:
    with pytest.raises(UnknownNameError, match=near):
        chosen_items([name])


def written(folder: Path, text: str) -> str:
    path = folder / "mine" / "item.toml"
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(text)
    return str(path)


def test_an_item_of_ones_own_is_read_from_its_path(tmp_path: Path) -> None:
    item = read_item(written(tmp_path, ITEM))
    assert item.name == "mine/item"
    assert item.paper == "mine"
    assert [claim.name for claim in item.claims] == ["one"]
    assert item.scales["small"].recipe.methods[0].name == "pca"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('title = "A title"', "", "title = None is not allowed"),
        ("[small]", "[medium]", "no key named 'medium'"),
        ("[small]\n", "", "no key named 'methods'"),
        ("minutes = 1", "minutes = 0", "minutes = 0.* is not allowed"),
        ("minutes = 1", "", "minutes = None is not allowed"),
        ("minutes = 1", "minutes = 1\ndeviations = 'none'", "deviations is a list"),
        (
            "minutes = 1",
            "minutes = 1\nmethod = 'pca'",
            r"\[small\]: no recipe key named 'method'; did you mean 'methods'",
        ),
        ("minutes = 1", "minutes = 1\nstand_ins = {mnist = 3}", "stand_ins and names hold text"),
        ("[small]\n", "small = 3\n[smoke]\n", "small = 3 is not allowed"),
        ("[[claims]]", "[claims]", "each of them begins with"),
        ("minutes = 1", "minutes = 1\nnames = 3", "names = 3 is not allowed"),
        ("> 10", "= 10", "number 1, 'one': .*does not parse"),
        ('holds = "psnr[pca] > 10"', "", "number 1, 'one': holds = None"),
        ('name = "one"', 'name = "One!"', "'One!' is no name of a claim"),
        ("says", "say", "number 1, 'one': no key named 'say'"),
        ("[[claims]]", "[[claims]]\ndatasets = []", "datasets = .* is not allowed"),
        ("[[claims]]", "[[claims]]\ndatasets = ['a', 'a']", "'a' stands twice among its datasets"),
        ('holds = "psnr[pca]', 'datasets = ["a"]\nholds = "psnr[pca, b]', "says already"),
        ("minutes = 1", "minutes = inf", "a finite number"),
        ("minutes = 1", f"minutes = 1{'0' * 400}", "a finite number"),
        ("minutes = 1", f"minutes = 1{'0' * 5000}", "is no TOML"),
        ("minutes = 1", "minutes = 1\nnames = {seconds = 'psnr'}", "seconds"),
        ("[[claims]]", f"{PUBLISHED}\nvalue='x'\n[[claims]]", "number 1, 'p': value = 'x' is not allowed"),
        ("[[claims]]", f"{PUBLISHED}\nvalue=nan\n[[claims]]", "number 1, 'p': value = nan is not allowed"),
        ("[[claims]]", "[[figures]]\nname='f'\ndraw='pie'\ncaption='c'\n[[claims]]", "pie"),
    ],
)
def test_a_mistake_in_an_item_is_named(old: str, new: str, message: str, tmp_path: Path) -> None:
    assert old in ITEM
    with pytest.raises(RecipeError, match=message):
        read_item(written(tmp_path, ITEM.replace(old, new)))


def test_two_claims_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="'one' stands twice among its claims"):
        read_item(written(tmp_path, ITEM + ITEM[ITEM.index("[[claims]]") :]))


def test_keys_that_scales_share_are_replaced_by_a_scales_own(tmp_path: Path) -> None:
    shared = "[recipe]\nseeds = 5\nmetrics = ['psnr']\n[small]\nseeds = 2"
    item = read_item(written(tmp_path, ITEM.replace("[small]", shared)))
    recipe: Any = item.scales["small"].recipe
    assert recipe.seeds == (0, 1)
    assert [str(metric) for metric in recipe.metrics] == ["psnr"]
