"""Items: the tables, figures and claims of a paper as TOML files, each with a recipe for every scale."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from benchsuite.errors import RecipeError, UsageError, unknown_name
from benchsuite.harness.recipe import Recipe, read_recipe, recipe_from
from benchsuite.results.expressions import Claim, Expression, parse_claim, parse_expression
from benchsuite.results.figures import Figure, parse_figure

ScaleName = Literal["smoke", "small", "paper"]
SCALES: tuple[ScaleName, ...] = get_args(ScaleName)
_KEYS = {"title", "source", "about", "recipe", "names", "published", "claims", "figures", *SCALES}
_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
_PUBLISHED_KEYS = {"place", "of", "value"}
_CLAIM_KEYS = {"name", "says", "place", "holds", "datasets", "note"}


@dataclass(frozen=True)
class Scale:
    """How an item is run at one scale.

    ``deviations`` says what differs from the paper, ``minutes`` how long it takes, on two cores or for ``paper`` on one
    GPU, and ``stand_ins`` which of its datasets stands in for which of the paper's, by label. ``names`` are the item's
    short names for rows of metrics, with those of this scale's own in their place.
    """

    name: ScaleName
    recipe: Recipe
    deviations: tuple[str, ...]
    minutes: float
    stand_ins: Mapping[str, str]
    names: Mapping[str, str]


@dataclass(frozen=True)
class Published:
    """A number in print: where it stands and what of the records is to be seen beside it."""

    place: str
    of: Expression
    value: float


@dataclass(frozen=True)
class ClaimEntry:
    """A sentence that numbers can refute: who says it where, and the statement that it is judged by.

    ``datasets`` are the paper's on which it is judged, each by itself; None stands for all of the scale's.
    """

    name: str
    says: str
    place: str
    claim: Claim
    datasets: tuple[str, ...] | None
    note: str


@dataclass(frozen=True)
class Item:
    """A table, figure or claim of a paper. ``name`` is PAPER/ITEM, ``asked_by`` what the command line calls it by."""

    name: str
    asked_by: str
    title: str
    source: str
    about: str
    scales: Mapping[ScaleName, Scale]
    published: tuple[Published, ...]
    claims: tuple[ClaimEntry, ...]
    figures: tuple[Figure, ...]

    @property
    def paper(self) -> str:
        """The first half of its name."""
        return self.name.partition("/")[0]


def items_folder() -> Path:
    """Where the items of the built-in papers lie: in the installed package, or in the checkout that it comes from.

    Raises UsageError where neither has them.
    """
    found = importlib.util.find_spec("benchsuite_plugins")  # finds it without importing it
    for package in (found.submodule_search_locations or ()) if found else ():
        for folder in (Path(package) / "recipes", Path(package).parents[1] / "benchmarks" / "recipes"):
            if folder.is_dir():
                return folder
    raise UsageError(
        "the recipes of the papers are not installed; give the path of a recipe, or install benchsuite again"
    )


def item_names() -> list[str]:
    """Every item as PAPER/ITEM, in order; plain recipes, which have no scales, are none."""
    folder = items_folder()
    return sorted((f"{p.parent.name}/{p.stem}" for p in folder.glob("*/*.toml") if _is_item(p)), key=item_order)


def item_order(name: str) -> list[str | int]:
    """By which items are sorted, so that figure10 comes after figure9."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def chosen_items(names: Sequence[str]) -> list[str]:
    """``names`` with ``all`` and papers replaced by their items, each once. Raises UsageError for what is not there.

    A name that ends in ``.toml`` is the path of an item's file and stays.
    """
    known = item_names()
    papers = {name.partition("/")[0] for name in known}
    chosen: list[str] = []
    for name in names:
        if name == "all":
            chosen += known
        elif name in papers:
            chosen += [item for item in known if item.startswith(f"{name}/")]
        elif name in known or name.endswith(".toml"):
            chosen.append(name)
        else:
            near = (
                [*known, *papers, "all"]
                if "/" not in name
                else [i for i in known if i.startswith(name.split("/")[0] + "/")]
            )
            raise unknown_name("item", name, near or known)
    return list(dict.fromkeys(chosen))


def read_item(name: str) -> Item:
    """The item of that name, or in the file of that path. Raises RecipeError, which names the file."""
    path = Path(name) if name.endswith(".toml") else items_folder() / f"{name}.toml"
    data = read_recipe(path)
    try:
        own_name = f"{path.resolve().parent.name}/{path.stem}"
        return _item(own_name, f"{own_name}.toml" if name.endswith(".toml") else own_name, data)
    except UsageError as error:
        raise RecipeError(f"{path}: {error}") from None


def _item(name: str, asked_by: str, data: Mapping[str, Any]) -> Item:
    _refuse_unknown("key", data, _KEYS)
    scales = {scale: _scale(scale, data) for scale in SCALES if scale in data}
    if not scales:
        raise RecipeError(f"it has no scale, and so is no item to reproduce; it needs [{'], ['.join(SCALES)}]")
    claims = tuple(_claim(entry) for entry in _tables(data, "claims"))
    known = [claim.name for claim in claims]
    for one in known:
        if known.count(one) > 1:
            raise RecipeError(f"two claims are named '{one}'; give each a name of its own")
    return Item(
        name=name,
        asked_by=asked_by,
        title=_text(data, "title"),
        source=_text(data, "source"),
        about=_text(data, "about").strip(),
        scales=scales,
        published=tuple(_published(entry) for entry in _tables(data, "published")),
        claims=claims,
        figures=tuple(parse_figure(entry) for entry in _tables(data, "figures")),
    )


def _scale(name: ScaleName, data: Mapping[str, Any]) -> Scale:
    own = _table(data, "recipe") | _table(data, name)
    try:
        stand_ins, names = _table(own, "stand_ins"), _table(data, "names") | _table(own, "names")
        deviations = own.pop("deviations", [])
        own = {key: value for key, value in own.items() if key not in ("stand_ins", "names")}
        minutes = own.pop("minutes", None)
        if not isinstance(minutes, int | float) or isinstance(minutes, bool) or not minutes > 0:
            raise RecipeError(f"minutes = {minutes!r} is not allowed; say how long it takes, a number above 0")
        if not isinstance(deviations, list) or not all(isinstance(line, str) for line in deviations):
            raise RecipeError("deviations is a list of sentences: what differs from the paper at this scale")
        if not all(isinstance(value, str) for value in (*stand_ins.values(), *names.values())):
            raise RecipeError(
                "stand_ins and names hold text: mnist = 'digits' stands in, psnr_lap1 = 'psnr[codes_by=lap1]' is a name"
            )
        return Scale(name, recipe_from(own), tuple(deviations), float(minutes), stand_ins, names)
    except UsageError as error:
        raise RecipeError(f"[{name}]: {error}") from None


def _published(entry: Mapping[str, Any]) -> Published:
    _refuse_unknown("key of [[published]]", entry, _PUBLISHED_KEYS)
    value = entry.get("value")
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise RecipeError(f"[[published]] value = {value!r} is not allowed; it is the number in print")
    return Published(_text(entry, "place"), parse_expression(_text(entry, "of")), float(value))


def _claim(entry: Mapping[str, Any]) -> ClaimEntry:
    _refuse_unknown("key of [[claims]]", entry, _CLAIM_KEYS)
    name = _text(entry, "name")
    if not _NAME.fullmatch(name):
        raise RecipeError(f"'{name}' is no name of a claim; use small letters, digits and hyphens")
    datasets = entry.get("datasets")
    if datasets is not None and (not isinstance(datasets, list) or not all(isinstance(d, str) for d in datasets)):
        raise RecipeError(f"claim '{name}': datasets is a list of labels of datasets")
    try:
        claim = parse_claim(_text(entry, "holds"))
    except UsageError as error:
        raise RecipeError(f"claim '{name}': {error}") from None
    kept = None if datasets is None else tuple(datasets)
    return ClaimEntry(
        name, _text(entry, "says"), _text(entry, "place"), claim, kept, str(entry.get("note", "")).strip()
    )


def _table(data: Mapping[str, Any], key: str) -> dict[str, Any]:
    """A part of the file, empty where it is left out."""
    value = data.get(key, {})
    if not isinstance(value, dict):
        raise RecipeError(f"{key} = {value!r} is not allowed; [{key}] is a table")
    return dict(value)


def _tables(data: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    value = data.get(key, [])
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise RecipeError(f"{key} = {value!r} is not allowed; each of them begins with [[{key}]]")
    return value


def _text(data: Mapping[str, Any], key: str) -> str:
    value = data.get(key)
    if not isinstance(value, str) or not value.strip():
        raise RecipeError(f"{key} = {value!r} is not allowed; {key} is text, and has to be there")
    return value


def _refuse_unknown(what: str, data: Mapping[str, Any], known: set[str]) -> None:
    for key in data:
        if key not in known:
            raise RecipeError(str(unknown_name(what, key, known)))


def _is_item(path: Path) -> bool:
    """Whether a file says that it has a scale; what else is wrong with it is said when it is read."""
    return re.search(rf"^\[({'|'.join(SCALES)})\]", path.read_text(encoding="utf-8"), re.MULTILINE) is not None
