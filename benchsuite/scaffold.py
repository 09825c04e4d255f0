"""A package with one plugin of its own: what ``benchsuite plugins new`` writes."""

from __future__ import annotations

import builtins
import importlib.util
import keyword
import re
import sys
from collections.abc import Collection
from importlib.resources import files
from pathlib import Path

import benchsuite
from benchsuite.errors import UsageError, unknown_name

# What each kind is called, how one is tried, and the contract that its test asks for.
KINDS = {
    "method": ("benchsuite run -m {name},pca", "method_contract({name}.{title})"),
    "dataset": ("benchsuite run -m pca,vae -d {name}", "dataset_contract({name}.{title})"),
    "metric": ("benchsuite run -m pca,vae --metrics {name},fd", "metric_contract({name}.benchsuite_metrics()[0])"),
    "features": ('benchsuite run -m pca,vae --metrics "fd[features={name}]"', "extractor_contract({name}.{title})"),
    "executor": ("benchsuite run -m pca,vae --executor {name}", "executor_contract({name}.{title})"),
    "reporter": ("benchsuite report RUN --format {name}", "reporter_contract({name}.{title})"),
}
_NAME = re.compile(r"[a-z][a-z0-9]*([_-][a-z0-9]+)*")
_TEMPLATE, _TEMPLATE_TITLE = "template_name", "TemplateName"

_PYPROJECT = """\
[build-system]
requires = ["hatchling>=1.25"]
build-backend = "hatchling.build"

[project]
name = "{project}"
version = "0.1.0"
description = "{title} for benchsuite"
readme = "README.md"
requires-python = ">=3.11"
dependencies = ["benchsuite>={version}"]

[project.optional-dependencies]
test = ["pytest"]

[project.entry-points.benchsuite]
{name} = "{name}"

[tool.hatch.build.targets.wheel]
only-include = ["{name}.py"]
"""

_TEST = """\
\"\"\"The contract of {subject}, one test for each of its claims.\"\"\"

import {name}
from benchsuite.testing import {contract}

test_contract = {call}
"""

_README = """\
# {project}

{title}, {subject} for benchsuite. In this folder:

```bash
pip install -e ".[test]"
benchsuite plugins list             # is it found, and not broken?
benchsuite plugins check {name}     # does it keep its contract?
python -m pytest                    # the same, as tests
{trial}
```

Its code is `{name}.py`. Until it is installed, `--plugin {name}.py` brings it into any command.
"""


def scaffold(name: str, kind: str, folder: Path, taken: Collection[str]) -> list[Path]:
    """Write a package called ``name`` with a plugin of ``kind`` into ``folder``, which may not have anything in it yet.

    ``taken`` are names of plugins, and of what others provide of its kind. Returns the files. Raises UsageError for a
    name that cannot be one, or is another's.
    """
    if kind not in KINDS:
        raise unknown_name("kind", kind, KINDS)
    module = _module_name(name, taken)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is there already; choose another folder with --out, or another name")
    title = _title(module)
    source = (files("benchsuite.templates") / f"{kind}.py").read_text(encoding="utf-8")
    trial, call = (text.format(name=module, title=title) for text in KINDS[kind])
    words = {
        "name": module,
        "title": title,
        "project": name,
        "version": benchsuite.__version__,
        "trial": trial,
        "call": call,
        "contract": call.partition("(")[0],
        "subject": kind if kind == "features" else f"a {kind}".replace("a e", "an e"),
    }
    texts = {
        "pyproject.toml": _PYPROJECT.format(**words),
        f"{module}.py": source.replace(_TEMPLATE_TITLE, title).replace(_TEMPLATE, module),
        f"test_{module}.py": _TEST.format(**words),
        "README.md": _README.format(**words),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in texts.items():
        (folder / file).write_text(text, encoding="utf-8")
    return [folder / file for file in texts]


def _title(module: str) -> str:
    return "".join(part.capitalize() for part in module.split("_"))


def _module_name(name: str, taken: Collection[str]) -> str:
    if not _NAME.fullmatch(name):
        raise UsageError(f"'{name}' cannot be a name; it has small letters, digits, and _ or - between them: my_waves")
    module = name.replace("-", "_")
    if module in taken:
        raise UsageError(f"there is a '{module}' already, see 'benchsuite plugins list'; choose another name")
    if keyword.iskeyword(module) or keyword.iskeyword(_title(module)) or module in vars(builtins):
        raise UsageError(f"'{module}' means something else in Python; choose another name")
    if module in sys.stdlib_module_names or importlib.util.find_spec(module) is not None:
        raise UsageError(f"there is a module '{module}' already, which would be taken for it; choose another name")
    return module
