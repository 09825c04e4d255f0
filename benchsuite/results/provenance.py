"""Where numbers come from: commands, recipes, environments, and what records say of themselves."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from benchsuite.errors import UsageError
from benchsuite.harness.recipe import MOST_SEEDS, Recipe, parse_selections
from benchsuite.results.gathering import Gathered, told_apart


def provenance(gathered: Gathered) -> Mapping[str, Any]:
    """Of the first run ``recipe, command, scored, environment``; under ``runs`` the same of every run, and ``again``.

    ``command`` is what was run, ``scored`` the commands that scored it later, each a list of words; ``again`` a command
    line that makes the same run anywhere. And ``reconstruction`` (where codes come from), ``sizes`` and ``notes``, by
    method and dataset; ``datasets``, the fingerprints of each; and ``labels``, what labels of recipes stand for.
    """
    records = gathered.records
    runs = [_of_run(store.name, content) for store, content in zip(gathered.runs, gathered.contents, strict=True)]
    sources = {f"{r.cell.method} on {r.cell.dataset}": r.reconstruction for r in records if r.reconstruction}
    sizes = {
        f"{r.cell.method} on {r.cell.dataset}": {"parameters": r.parameters, "codes": r.codes}
        for r in records
        if r.parameters is not None
    }
    notes = [f"{r.cell.method} on {r.cell.dataset}, seed {r.cell.seed}: {n}" for r in records for n in r.notes]
    fingerprints: dict[str, dict[str, None]] = {}
    for record in records:
        fingerprints.setdefault(record.cell.dataset, {})[record.cell.dataset_fingerprint] = None
    return {
        **runs[0],
        "datasets": {dataset: list(found) for dataset, found in fingerprints.items()},
        "runs": runs,
        "reconstruction": sources,
        "sizes": sizes,
        "notes": notes,
        "labels": _all_labels(gathered, [run["labels"] for run in runs]),
    }


def _of_run(name: str, run: Mapping[str, Any]) -> dict[str, Any]:
    known: dict[str, Any] = {"recipe": {}, "command": [], "scored": [], "environment": {}}
    found = {key: run.get(key, empty) for key, empty in known.items()}
    found["command"] = _without_folder(found["command"])
    found["scored"] = [_without_folder(command) for command in found["scored"]]
    recipe = dict(found["recipe"])
    if found["scored"] and "metrics" in recipe:
        recipe["metrics"] = list(dict.fromkeys(metric for cell in run.get("cells", ()) for metric in cell["metrics"]))
    return {"run": name, **found, "again": _again(recipe), "labels": _labels(recipe)}


def _labels(recipe: Mapping[str, Any]) -> dict[str, str]:
    """What the labels of a recipe stand for."""
    texts = [text for name in ("methods", "datasets") for text in recipe.get(name, ())]
    try:
        selections = [selection for text in texts for selection in parse_selections(text)]
    except UsageError:  # of another version
        return {}
    return {one.label: one.unlabelled() for one in selections if one.label is not None}


def _all_labels(gathered: Gathered, labels: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """``labels`` of all runs; one that stands for different things has the name of its run behind it, as in tables."""
    texts: dict[str, set[str]] = {}
    for label, text in (item for of_run in labels for item in of_run.items()):
        texts.setdefault(label, set()).add(text)
    names = [f" ({name})" for name in told_apart(gathered.runs)]
    pairs = [(name, *item) for name, of_run in zip(names, labels, strict=True) for item in of_run.items()]
    return {label + name * (len(texts[label]) > 1): text for name, label, text in pairs}


def _without_folder(command: Sequence[str]) -> list[str]:
    """``command`` without the place of the program on the machine where it ran."""
    return [Path(command[0]).name, *command[1:]] if command else []


def _again(recipe: Mapping[str, Any]) -> str:
    """The command line of ``recipe``, without what is so by default."""
    if "methods" not in recipe:
        return ""
    words = ["benchsuite", "run"]
    for field in fields(Recipe):
        value = recipe.get(field.name)
        default = field.default if field.default is not MISSING else None
        if value is None or value == default or _selections(value) == _selections(default):
            continue
        words += [f"--{field.name.replace('_', '-')}", _flag(field.name, value)]
    return shlex.join(words)


def _selections(value: Any) -> Any:
    return [str(one) for one in value] if isinstance(value, list | tuple) else value


def _flag(name: str, value: Any) -> str:
    """``value`` as the flag ``name`` takes it; one seed has a comma behind it, or it would be a count."""
    if name == "seeds":
        counted = list(value) == list(range(len(value))) and len(value) <= MOST_SEEDS
        return str(len(value)) if counted else ",".join(map(str, value)) + "," * (len(value) == 1)
    if isinstance(value, float):
        return f"{value:.6f}".rstrip("0").rstrip(".")
    return ",".join(_selections(value)) if isinstance(value, list | tuple) else str(value)
