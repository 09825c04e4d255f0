"""An item of a paper as its TOML file says it: a recipe for each scale, published values, claims and figures."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args

from benchsuite.errors import RecipeError, UsageError, unknown_name
from benchsuite.harness.recipe import Recipe, recipe_from
from benchsuite.results.expressions import (
    Claim,
    Expression,
    datasets_named_in,
    parse_claim,
    parse_expression,
    selectors,
)
from benchsuite.results.figures import Figure, parse_figure
from benchsuite.results.scores import check_names

ScaleName = Literal["smoke", "small", "paper"]
SCALES: tuple[ScaleName, ...] = get_args(ScaleName)
OWN = "not in the paper"  # the place of a statement that is ours, such as a control that the paper lacks
T = TypeVar("T")
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

    @property
    def expressions(self) -> list[Claim | Expression]:
        """What its claims and published values are computed by."""
        return [*(entry.claim for entry in self.claims), *(entry.of for entry in self.published)]


def item_from(data: Mapping[str, Any], *, name: str, asked_by: str) -> Item:
    """The item of a TOML file's keys and values. Raises RecipeError, which names the part and what it may be."""
    for part in name.split("/"):
        if not _NAME.fullmatch(part):
            raise RecipeError(
                f"'{part}' in '{name}' names no item; folder and file have small letters, digits, hyphens"
            )
    _refuse_unknown("key", data, _KEYS)
    scales = {scale: _scale(scale, data) for scale in SCALES if scale in data}
    if not scales:
        raise RecipeError(f"it has no scale, and so is no item to reproduce; it needs [{'], ['.join(SCALES)}]")
    claims, figures = _entries(data, "claims", _claim), _entries(data, "figures", parse_figure)
    _refuse_twice("claims", [claim.name for claim in claims])
    _refuse_twice("figures", [figure.name for figure in figures])
    return Item(
        name=name,
        asked_by=asked_by,
        title=_text(data, "title"),
        source=_text(data, "source"),
        about=_text(data, "about").strip(),
        scales=scales,
        published=_entries(data, "published", _published),
        claims=claims,
        figures=figures,
    )


def _scale(name: ScaleName, data: Mapping[str, Any]) -> Scale:
    own = _table(data, "recipe") | _table(data, name)
    try:
        stand_ins, names = _table(own, "stand_ins"), _table(data, "names") | _table(own, "names")
        deviations, minutes = own.pop("deviations", []), _number(own, "minutes", "say how long it takes")
        kept = {key: value for key, value in own.items() if key not in ("stand_ins", "names", "minutes")}
        if not minutes > 0:
            raise RecipeError(f"minutes = {minutes:g} is not allowed; say how long it takes, a number above 0")
        if not isinstance(deviations, list) or not all(isinstance(line, str) for line in deviations):
            raise RecipeError("deviations is a list of sentences: what differs from the paper at this scale")
        if not all(isinstance(value, str) for value in (*stand_ins.values(), *names.values())):
            raise RecipeError(
                "stand_ins and names hold text: mnist = 'digits' stands in, psnr_lap1 = 'psnr[codes_by=lap1]' is a name"
            )
        check_names(names)
        return Scale(name, recipe_from(kept), tuple(deviations), minutes, stand_ins, names)
    except UsageError as error:
        raise RecipeError(f"[{name}]: {error}") from None


def _published(entry: Mapping[str, Any]) -> Published:
    _refuse_unknown("key", entry, _PUBLISHED_KEYS)
    value = _number(entry, "value", "it is the number in print")
    return Published(_text(entry, "place"), parse_expression(_text(entry, "of")), value)


def _claim(entry: Mapping[str, Any]) -> ClaimEntry:
    _refuse_unknown("key", entry, _CLAIM_KEYS)
    name = _text(entry, "name")
    if not _NAME.fullmatch(name):
        raise RecipeError(f"'{name}' is no name of a claim; use small letters, digits and hyphens")
    claim, datasets = parse_claim(_text(entry, "holds")), entry.get("datasets")
    if datasets is not None:
        if not isinstance(datasets, list) or not datasets or not all(isinstance(d, str) for d in datasets):
            raise RecipeError(f"datasets = {datasets!r} is not allowed; it lists labels of datasets, at least one")
        _refuse_twice("datasets", datasets)
        if datasets_named_in(claim) and None not in {selector.dataset for selector in selectors(claim)}:
            raise RecipeError("datasets says what the statement says already; drop one of them")
    note = str(entry.get("note", "")).strip()
    kept = None if datasets is None else tuple(datasets)
    return ClaimEntry(name, _text(entry, "says"), _text(entry, "place"), claim, kept, note)


def _entries(data: Mapping[str, Any], key: str, read: Callable[[Mapping[str, Any]], T]) -> tuple[T, ...]:
    """Every [[key]] of the file. Raises RecipeError, which says which of them it is about."""
    value = data.get(key, [])
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise RecipeError(f"{key} = {value!r} is not allowed; each of them begins with [[{key}]]")
    found = []
    for number, entry in enumerate(value, start=1):
        try:
            found.append(read(entry))
        except UsageError as error:
            called = entry.get("name", entry.get("place", ""))
            raise RecipeError(f"[[{key}]] number {number}{f', {called!r}' if called else ''}: {error}") from None
    return tuple(found)


def _table(data: Mapping[str, Any], key: str) -> dict[str, Any]:
    """A part of the file, empty where it is left out."""
    value = data.get(key, {})
    if not isinstance(value, dict):
        raise RecipeError(f"{key} = {value!r} is not allowed; [{key}] is a table")
    return dict(value)


def _text(data: Mapping[str, Any], key: str) -> str:
    value = data.get(key)
    if not isinstance(value, str) or not value.strip():
        raise RecipeError(f"{key} = {value!r} is not allowed; {key} is text, and has to be there")
    return value


def _number(data: Mapping[str, Any], key: str, why: str) -> float:
    value = data.get(key)
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise RecipeError(f"{key} = {value!r} is not allowed; {why}, as a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise RecipeError(f"{key} = {number} is not allowed; {why}, as a finite number")
    return number


def _refuse_unknown(what: str, data: Mapping[str, Any], known: set[str]) -> None:
    for key in data:
        if key not in known:
            raise RecipeError(str(unknown_name(what, key, known)))


def _refuse_twice(what: str, names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise RecipeError(f"'{name}' stands twice among its {what}; each has a name of its own")
