"""Writes the pages of the plugin guide that are made from docstrings: the hooks and the exported names."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Annotated, Literal, get_origin

import benchsuite
from benchsuite import hookspecs
from benchsuite.parameters import describe

FOLDER = Path(__file__).parent / "plugins"
_NOTE = "<!-- Made from the docstrings by docs/generate.py. -->"
_GROUPS = (
    ("What plugins provide", ("Method", "Model", "Dataset", "FeatureExtractor", "Metric", "Executor", "Reporter")),
    ("What methods are made of", ("EstimatorMethod", "ModuleMethod", "NormalPrior")),
    (
        "What they are given",
        ("DataSpec", "Samples", "Reconstructions", "Moments", "Split", "Run", "Preparation", "Cell", "Record")
        + ("ExecutorOptions", "Report", "Picture"),
    ),
    ("What they return", ("Score", "hookimpl")),
    (
        "Annotations of hyper-parameters",
        ("PositiveInt", "Count", "Positive", "NonNegative", "Fraction", "BelowOne", "Sizes", "Between", "Selecting")
        + ("CodesBy",),
    ),
    (
        "Errors",
        ("BenchsuiteError", "UsageError", "ParameterError", "NotApplicableError", "DataMissingError")
        + ("PreparationError", "DivergedError", "ContractError", "PluginError"),
    ),
    ("Running from Python", ("run", "score")),
    ("Versions", ("API_VERSION", "__version__")),
)
_CONSTANTS = {
    "API_VERSION": "The version of the plugin interface, a whole number.",
    "__version__": "The version of benchsuite.",
    "hookimpl": "Marks a function of a plugin module as a hook.",
    "CodesBy": "How codes are found: `own`, `mse`, `lap1` or `reversal`.",
    "Split": "`train` or `test`.",
}


def hooks_page() -> str:
    """Every hook with its arguments and docstring."""
    text = [_NOTE, "", "# Hooks", "", inspect.getdoc(hookspecs) or ""]
    for name, function in vars(hookspecs).items():
        if name.startswith("benchsuite_"):
            signature = ", ".join(inspect.signature(function).parameters)
            text += ["", f"## `{name}({signature})`", "", inspect.getdoc(function) or ""]
    return "\n".join(text) + "\n"


def names_page() -> str:
    """Every exported name with the first sentence of its docstring."""
    text = [_NOTE, "", "# What benchsuite exports", "", "All that `benchsuite.__all__` has, and all that plugins need."]
    for title, names in _GROUPS:
        text += ["", f"## {title}", "", "| name | what it is |", "| :-- | :-- |"]
        text += [f"| `{name}` | {_sentence(name)} |" for name in names]
    return "\n".join(text) + "\n"


def listed_names() -> list[str]:
    """The names on the page."""
    return [name for _, names in _GROUPS for name in names]


def _sentence(name: str) -> str:
    if name in _CONSTANTS:
        return _CONSTANTS[name]
    value = getattr(benchsuite, name)
    if get_origin(value) in (Annotated, Literal):
        return describe(value).capitalize() + "."
    first = " ".join((inspect.getdoc(value) or "").partition("\n\n")[0].split())
    return first.replace("|", r"\|").replace("``", "`")


PAGES = {"hooks.md": hooks_page, "api.md": names_page}


if __name__ == "__main__":
    for file, page in PAGES.items():
        (FOLDER / file).write_text(page(), encoding="utf-8")
