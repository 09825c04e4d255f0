"""Recipes: what to run, read from selections such as ``glo[epochs=40]@long`` and from TOML files."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from benchsuite.errors import RecipeError, SelectionError, unknown_name

Value = str | tuple[str, ...]
Precision = Literal["fp32", "tf32", "bf16"]
Keep = Literal["models", "none"]
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_LABEL = re.compile(r"[A-Za-z0-9_.+-]+")
MOST_SEEDS = 1000
_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?")
_SIZES = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@dataclass(frozen=True)
class Selection:
    """A plugin by name, with parameters as text and perhaps a label: ``dcgan[loss=kl]@kl``."""

    name: str
    params: tuple[tuple[str, Value], ...] = ()
    label: str | None = None

    def __str__(self) -> str:
        return self.unlabelled() + (f"@{self.label}" if self.label else "")

    def unlabelled(self) -> str:
        """The selection without its label."""
        params = ",".join(f"{key}={_value_text(value)}" for key, value in self.params)
        return f"{self.name}[{params}]" if params else self.name


def _value_text(value: Value) -> str:
    return value if isinstance(value, str) else f"[{','.join(value)}]"


def parse_selections(text: str) -> tuple[Selection, ...]:
    """A comma-separated list of selections. Raises SelectionError for what does not parse.

    >>> [str(s) for s in parse_selections("pca, glo[latent_dim=16,epochs=40]@long")]
    ['pca', 'glo[latent_dim=16,epochs=40]@long']
    """
    return tuple(_parse_selection(part) for part in _split(text))


def _parse_selection(text: str) -> Selection:
    match = re.fullmatch(r"([^\[\]@]*)(?:\[(.*)\])?(?:@([^\[\]@]*))?", text, re.DOTALL)
    if match is None or not _NAME.fullmatch(match[1]):
        raise SelectionError(f"'{text}' is no selection; write name, name[parameter=value,...] or name[...]@label")
    name, inside, label = match.groups()
    if label is not None and not _LABEL.fullmatch(label):
        raise SelectionError(f"'@{label}' in '{text}' is no label; use letters, digits and . _ + -")
    params: dict[str, Value] = {}
    for part in _split(inside) if inside else ():
        key, equals, value = part.partition("=")
        if not equals or not _NAME.fullmatch(key.strip()) or not value.strip():
            raise SelectionError(f"'{part}' in '{text}' is not parameter=value")
        if key.strip() in params:
            raise SelectionError(f"'{key.strip()}' stands twice in '{text}'")
        params[key.strip()] = _parse_value(value.strip())
    return Selection(name, tuple(params.items()), label)


def _parse_value(text: str) -> Value:
    if text.startswith("[") and text.endswith("]"):
        return tuple(_split(text[1:-1]))
    return text


def _split(text: str) -> list[str]:
    """``text`` at its commas outside brackets. Raises SelectionError for unbalanced brackets and empty parts."""
    parts, depth, start = [], 0, 0
    for position, character in enumerate(text):
        depth += (character == "[") - (character == "]")
        if depth < 0:
            break
        if character == "," and depth == 0:
            parts.append(text[start:position].strip())
            start = position + 1
    if depth != 0:
        raise SelectionError(f"brackets do not match in '{text}'")
    parts.append(text[start:].strip())
    if not all(parts):
        raise SelectionError(f"an empty entry in '{text}'; separate entries by single commas")
    return parts


def parse_seeds(text: str) -> tuple[int, ...]:
    """``3`` is seeds 0, 1, 2; ``4,7`` those two; ``7,`` the one seed 7.

    >>> parse_seeds("3"), parse_seeds("7,")
    ((0, 1, 2), (7,))
    """
    try:
        numbers = [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 0:
        raise SelectionError(f"--seeds {text!r} is not allowed; give a count (3), a list (4,7) or one seed (7,)")
    if "," not in text and numbers[0] > MOST_SEEDS:
        raise SelectionError(f"--seeds {text} is a count, of at most {MOST_SEEDS}; for the one seed write '{text},'")
    seeds = tuple(numbers) if "," in text else tuple(range(numbers[0]))
    if not seeds or len(set(seeds)) != len(seeds):
        raise SelectionError(f"--seeds {text!r} gives no seed, or one twice")
    return seeds


def parse_duration(text: str) -> float:
    """``90``, ``90s``, ``30m`` or ``1h30m`` in seconds."""
    match = _DURATION.fullmatch(text.strip())
    if not text.strip() or match is None:
        raise SelectionError(f"'{text}' is no duration; write 90s, 30m or 1h30m")
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    total = hours * 3600 + minutes * 60 + seconds
    if total <= 0:
        raise SelectionError(f"'{text}' is no duration above zero")
    return total


def parse_size(text: str) -> int:
    """``8G``, ``512M`` or a plain number, in bytes."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if match is None or float(match[1]) <= 0:
        raise SelectionError(f"'{text}' is no size above zero; write 8G or 512M")
    return int(float(match[1]) * _SIZES[match[2].upper()])


@dataclass(frozen=True)
class Recipe:
    """What to run and how. None for ``metrics`` means all that apply; sizes are in bytes, times in seconds.

    ``subset`` is how many training images each dataset is reduced to, the same ones for every method and seed.
    ``jobs``, ``executor``, ``timeout``, ``memory_limit`` and ``keep`` change where and how long cells run, not what
    they compute, and so are no part of the recipe's identity.
    """

    methods: tuple[Selection, ...]
    datasets: tuple[Selection, ...] = (Selection("digits"),)
    seeds: tuple[int, ...] = (0,)
    metrics: tuple[Selection, ...] | None = None
    latent_dim: int | None = None
    subset: int | None = None
    samples: int = 4000
    device: str = "auto"
    precision: Precision = "fp32"
    threads: int = 1
    budget: float | None = None
    timeout: float | None = None
    memory_limit: int | None = None
    jobs: int | None = None
    executor: str = "local"
    keep: Keep = "models"

    def __post_init__(self) -> None:
        for name in ("methods", "datasets", "seeds", "metrics"):
            if getattr(self, name) == ():
                raise RecipeError(f"{name} is empty; a recipe needs at least one")
        if len(set(self.seeds)) != len(self.seeds) or max(self.seeds) >= 2**32:
            raise RecipeError(f"seeds = {list(self.seeds)} is not allowed; each stands once and is below 2^32")
        for name, least in (("samples", 2), ("threads", 1), ("jobs", 1), ("latent_dim", 1), ("subset", 2)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise RecipeError(f"{name} = {value} is not allowed; {name} is a whole number, at least {least}")
        for name, allowed in (("precision", get_args(Precision)), ("keep", get_args(Keep))):
            if getattr(self, name) not in allowed:
                raise RecipeError(f"{name} = '{getattr(self, name)}' is not allowed; one of {', '.join(allowed)}")
        if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", self.device):
            raise RecipeError(f"device = '{self.device}' is not allowed; one of auto, cpu, mps, cuda, cuda:N")

    def identity(self) -> str:
        """A short hash of everything that decides what is computed."""
        changes_nothing = {"jobs", "executor", "timeout", "memory_limit", "keep"}
        kept = {key: value for key, value in asdict(self).items() if key not in changes_nothing}
        return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:8]

    def name(self) -> str:
        """The run directory's name: the selections, then the hash of the recipe."""
        selections = "+".join(str(s.label or s.unlabelled()) for s in (*self.methods, *self.datasets))
        return f"{re.sub(r'[^A-Za-z0-9_.+=-]+', '_', selections)[:80].strip('_')}-{self.identity()}"

    def to_json(self) -> dict[str, Any]:
        """The recipe in the form that ``recipe_from`` reads."""
        data: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        for name in ("methods", "datasets", "metrics"):
            data[name] = None if data[name] is None else [str(s) for s in data[name]]
        return {key: value for key, value in data.items() if value is not None} | {"seeds": list(self.seeds)}


_READERS: dict[str, Callable[[Any], Any]] = {
    "seeds": lambda value: tuple(value) if isinstance(value, list) else parse_seeds(str(value)),
    "budget": lambda value: parse_duration(str(value)),
    "timeout": lambda value: parse_duration(str(value)),
    "memory_limit": lambda value: parse_size(str(value)),
}
_TEXTS = {"device", "precision", "executor", "keep"}
_SELECTIONS = {"methods", "datasets", "metrics"}
_WHOLE_NUMBERS = {"latent_dim", "subset", "samples", "threads", "jobs"}


def _selections(value: Any) -> tuple[Selection, ...]:
    if isinstance(value, str):
        return parse_selections(value)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(selection for item in value for selection in parse_selections(item))
    raise RecipeError(f"{value!r} is not allowed; selections are text, or a list of text")


def recipe_from(data: Mapping[str, Any]) -> Recipe:
    """A Recipe from the values of a TOML file or of command-line flags. Raises RecipeError or SelectionError."""
    known = [f.name for f in fields(Recipe)]
    if "title" in data and "methods" not in data:
        raise RecipeError(
            "this is an item of a paper, with a recipe for each scale; run: benchsuite reproduce FILE.toml"
        )
    values: dict[str, Any] = {}
    for key, value in ((name.replace("-", "_"), value) for name, value in data.items()):
        if key not in known:
            raise RecipeError(str(unknown_name("recipe key", key, known)))
        if key in _WHOLE_NUMBERS and (not isinstance(value, int) or isinstance(value, bool)):
            raise RecipeError(f"{key} = {value!r} is not allowed; {key} is a whole number")
        if key in _TEXTS and not isinstance(value, str):
            raise RecipeError(f"{key} = {value!r} is not allowed; {key} is text")
        if key in _SELECTIONS:
            values[key] = _selections(value)
        else:
            values[key] = _READERS[key](value) if key in _READERS else value
    if "methods" not in values:
        raise RecipeError("no methods; name some with --methods pca,glo or in the recipe: methods = ['pca', 'glo']")
    if any(not isinstance(seed, int) or isinstance(seed, bool) or seed < 0 for seed in values.get("seeds", ())):
        raise RecipeError(f"seeds = {data['seeds']!r} is not allowed; give a count, or a list of whole numbers")
    recipe = Recipe(**values)
    for selections in (recipe.methods, recipe.datasets, recipe.metrics or ()):
        _check_unique(selections)
    if any(s.label for s in recipe.metrics or ()):
        raise SelectionError("metrics take no label; their parameters name their columns")
    return recipe


def _check_unique(selections: tuple[Selection, ...]) -> None:
    labels = [s.label or s.unlabelled() for s in selections]
    for label in labels:
        if labels.count(label) > 1:
            raise SelectionError(f"'{label}' is selected twice; drop one, or give it a label of its own: {label}@name")


def read_recipe(path: Path) -> dict[str, Any]:
    """The keys and values of a TOML recipe file, for ``recipe_from``. Raises RecipeError."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"cannot read the recipe {path}: {error.strerror}") from None
    except ValueError as error:  # of TOML, of its encoding, or a number of 5000 digits
        raise RecipeError(f"{path} is no TOML: {error}") from None
