"""The papers' tables, figures and claims by name: where their files lie, and which a person means."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Sequence
from pathlib import Path

from benchsuite.errors import RecipeError, UsageError, unknown_name
from benchsuite.harness.recipe import read_recipe
from benchsuite.results.itemfile import SCALES, Item, item_from


def items_folder() -> Path:
    """Where the items of the built-in papers lie: in the installed package, or in the checkout that it comes from.

    Raises UsageError where neither has them.
    """
    found = importlib.util.find_spec("benchsuite_plugins")  # finds it without importing it
    for package in (found.submodule_search_locations or ()) if found else ():
        for folder in (Path(package) / "recipes", Path(package).parents[1] / "benchmarks" / "recipes"):
            if folder.is_dir():
                return folder
    raise UsageError("the papers' items are not installed; give an item's file FILE.toml, or install benchsuite again")


def item_names() -> list[str]:
    """Every item as PAPER/ITEM, in order; plain recipes, which have no scales, are none."""
    folder = items_folder()
    return sorted((f"{p.parent.name}/{p.stem}" for p in folder.glob("*/*.toml") if _is_item(p)), key=item_order)


def item_order(name: str) -> list[str | int]:
    """By which items are sorted, so that figure10 comes after figure9."""
    return [int(part) if number % 2 else part for number, part in enumerate(re.split(r"([0-9]+)", name))]


def chosen_items(names: Sequence[str]) -> list[Item]:
    """The items of ``names``, with ``all`` and papers replaced by theirs, each once.

    A name that ends in ``.toml`` is the path of an item's file. Raises UsageError for what is not there, and for two
    items of one name, whose pages would be one.
    """
    chosen = [read_item(name) for name in dict.fromkeys(one for name in names for one in _meant(name))]
    known: dict[str, Item] = {}
    for item in chosen:
        other = known.setdefault(item.name, item)
        if other is not item:
            raise UsageError(
                f"{other.asked_by} and {item.asked_by} are both '{item.name}'; rename a file or its folder"
            )
    return chosen


def _meant(name: str) -> list[str]:
    if name.endswith(".toml"):
        return [name]
    known = item_names()
    papers = list(dict.fromkeys(item.partition("/")[0] for item in known))
    if name == "all":
        return known
    if name in papers:
        return [item for item in known if item.startswith(f"{name}/")]
    if name not in known:
        of_paper = [item for item in known if item.partition("/")[0] == name.partition("/")[0]]
        raise unknown_name("item", name, of_paper or ["all", *papers, *known])
    return [name]


def read_item(name: str) -> Item:
    """The item of that name, or in the file of that path. Raises RecipeError, which names the file."""
    own = name.endswith(".toml")
    path = Path(name) if own else items_folder() / f"{name}.toml"
    data = read_recipe(path)
    try:
        return item_from(data, name=f"{path.resolve().parent.name}/{path.stem}", asked_by=name)
    except UsageError as error:
        raise RecipeError(f"{path}: {error}") from None


def _is_item(path: Path) -> bool:
    """Whether a file says that it has a scale; what else is wrong with it is said when it is read."""
    return re.search(rf"^\[({'|'.join(SCALES)})\]", path.read_text(encoding="utf-8"), re.MULTILINE) is not None
