"""What a figure of an item is: its kind, and the options that this kind takes, checked when the item is read."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from benchsuite.errors import RecipeError, UsageError, unknown_name
from benchsuite.results.claims import check, is_row_of
from benchsuite.results.expressions import parse_expression
from benchsuite.results.scores import SECONDS

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")  # it becomes the name of a file


@dataclass(frozen=True)
class Figure:
    """A figure of an item: ``draw`` is its kind, ``options`` the keys of that kind which were given.

    An option that holds several values is a tuple, also where one value was given.
    """

    name: str
    draw: str
    caption: str
    options: Mapping[str, Any]


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("it is text")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    values = value if isinstance(value, list | tuple) else [value]
    if not values or not all(isinstance(one, str) and one.strip() for one in values):
        raise ValueError("it is text, or a list of texts")
    if len(set(values)) != len(values):
        raise ValueError("each stands once")
    return tuple(values)


def _expressions(value: Any) -> tuple[str, ...]:
    texts = _texts(value)
    for text in texts:
        parse_expression(text)
    return texts


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("it is true or false")
    return value


def _whole(least: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ValueError(f"it is a whole number, at least {least}")
        return value

    return read


def _one_of(*allowed: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in allowed:
            raise ValueError(f"it is one of {', '.join(allowed)}")
        return str(value)

    return read


_Readers = dict[str, Callable[[Any], Any]]

_CHOICE: _Readers = {"methods": _texts, "dataset": _text, "seed": _whole(0)}
_AXES: _Readers = _CHOICE | {"xlabel": _text, "ylabel": _text}
_SHEETS: _Readers = _CHOICE | {"rows": _whole(1)}
_OVER_SEEDS: _Readers = {"error": _one_of("interval", "standard_error"), "reference": _expressions}
_LOGS: _Readers = {"logx": _truth, "logy": _truth}


@dataclass(frozen=True)
class _Kind:
    """The keys that a kind cannot do without, and those that may be left out."""

    needed: _Readers
    optional: _Readers


KINDS: Mapping[str, _Kind] = {
    "samples": _Kind({}, _SHEETS),
    "pictures": _Kind({"metric": _text, "picture": _text}, _SHEETS),
    "bars": _Kind({"values": _texts}, _AXES | _OVER_SEEDS | {"logy": _truth}),
    "lines": _Kind({"x": _text, "y": _texts}, _AXES | _OVER_SEEDS | _LOGS | {"group": _text}),
    "curves": _Kind(
        {"metric": _text, "y": _texts},
        _AXES | _LOGS | {"x": _text, "average": _one_of("mean", "median"), "reference": _expressions},
    ),
    "scatter": _Kind({"x": _text, "y": _text}, _AXES | _LOGS),
    "points": _Kind({"metric": _text, "points": _texts}, _AXES | {"labels": _text}),
    "distribution": _Kind({"metric": _text, "array": _text}, _AXES | _LOGS | {"bins": _whole(2)}),
    "contours": _Kind({"metric": _text, "x": _text, "y": _text, "density": _texts}, _AXES | {"samples": _text}),
}


def parse_figure(data: Mapping[str, Any]) -> Figure:
    """The figure that a table [[figures]] of an item describes.

    Raises RecipeError for a kind or key that is not known, one that is missing, and a value of the wrong type.
    """
    name = _read(data, "name", _text, "a figure")
    if not _NAME.fullmatch(name):
        raise RecipeError(f"'{name}' is no name of a figure; use letters, digits, hyphens and underscores")
    what = f"figure '{name}'"
    draw, caption = _read(data, "draw", _text, what), _read(data, "caption", _text, what)
    if draw not in KINDS:
        raise RecipeError(f"{what}: {unknown_name('kind of figure', draw, KINDS)}")
    kind = KINDS[draw]
    readers = {**kind.needed, **kind.optional}
    for key in data:
        if key not in readers and key not in ("name", "draw", "caption"):
            known = [*readers, "name", "draw", "caption"]
            raise RecipeError(f"{what}: {unknown_name(f'key of {draw}', key, known)}")
    given = [key for key in readers if key in kind.needed or key in data]
    return Figure(name, draw, caption.strip(), {key: _read(data, key, readers[key], what) for key in given})


def _read(data: Mapping[str, Any], key: str, reader: Callable[[Any], Any], what: str) -> Any:
    if key not in data:
        raise RecipeError(f"{what} has no '{key}'; give it one")
    try:
        return reader(data[key])
    except ValueError as error:
        raise RecipeError(f"{what}: {key} = {data[key]!r} is not allowed; {error}") from None
    except UsageError as error:
        raise RecipeError(f"{what}: {key}: {error}") from None


def check_figure(
    figure: Figure,
    methods: Collection[str],
    metrics: Collection[str],
    names: Mapping[str, str],
    datasets: Collection[str],
) -> None:
    """Find misspelt labels and metrics of ``figure`` without running anything.

    ``metrics`` are selections, ``names`` short names of their rows. Which arrays and pictures a metric keeps is known
    after a run only. Raises RecipeError, with the nearest of what there is.
    """
    what, options = f"figure '{figure.name}'", figure.options
    rows = {*metrics, *names}  # which may keep arrays and pictures
    asked: list[tuple[str, str, Collection[str]]] = [("method", one, methods) for one in options.get("methods", ())]
    asked += [("dataset", options["dataset"], datasets)] if "dataset" in options else []
    asked += [("metric", options["metric"], rows)] if "metric" in options else []
    asked += [("metric", one, {*rows, SECONDS}) for one in _scored(figure)]
    for kind, name, known in asked:
        if name not in known and not (kind == "metric" and is_row_of(name, known)):
            raise RecipeError(f"{what}: {unknown_name(kind, name, known)}")
    for text in options.get("reference", ()):
        try:
            check(parse_expression(text), methods, datasets, metrics, names)
        except UsageError as error:
            raise RecipeError(f"{what}: reference: {error}") from None


def _scored(figure: Figure) -> tuple[str, ...]:
    """The rows of metrics whose scores ``figure`` is of."""
    keys = {"bars": ("values",), "lines": ("y",), "scatter": ("x", "y")}.get(figure.draw, ())
    values = [figure.options[key] for key in keys]
    return tuple(one for value in values for one in ([value] if isinstance(value, str) else value))
