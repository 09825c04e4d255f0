"""The documents say what the code does: hooks, commands and printed code."""

from __future__ import annotations

import doctest
import inspect
import re
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
import torch

import benchsuite
from benchsuite import hookspecs
from benchsuite.cli import COMMANDS
from benchsuite.harness.registry import PluginInfo, Registry, load_registry

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
KIT = "adversarial files latents losses moments optimisers prefetch samples similarity text winners"  # with examples
DOCTESTED = ["benchsuite.errors", "benchsuite.parameters", "benchsuite.harness.recipe"] + [
    f"benchsuite.kit.{name}" for name in KIT.split()
]
DOCTESTED += ["benchsuite.results.expressions"]
HOOKS = [name for name in vars(hookspecs) if name.startswith("benchsuite_")]


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented_with_its_arguments(hook: str) -> None:
    function = getattr(hookspecs, hook)
    page = (ROOT / "docs" / "plugins.md").read_text()
    assert f"### `{hook}({', '.join(inspect.signature(function).parameters)})`" in page
    assert (inspect.getdoc(function) or "") in page


def test_the_readme_shows_every_command_and_every_make_target() -> None:
    for command in COMMANDS:
        assert f"benchsuite {command}" in README
    for line in (ROOT / "Makefile").read_text().splitlines():
        if line.startswith("\t"):
            assert line.strip() in README


def test_ci_runs_the_readmes_test_command() -> None:
    assert "\npython -m pytest\n" in README
    assert "\npython -m pytest\n" in (ROOT / ".ci" / "run").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", ["README.md", "docs/plugins.md"])
def test_printed_plugins_are_plugins(page: str) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    plugins = [block for block in blocks if "hookimpl" in block]
    assert plugins
    for code in plugins:
        module = type(benchsuite)("printed")
        exec(compile(code, page, "exec", dont_inherit=True), module.__dict__)
        info = PluginInfo("printed", "printed", "docs", "0")
        registry = Registry()
        registry.add("printed", lambda module=module: module, info)
        assert not info.problem and info.provides


def test_the_printed_recovery_finds_its_codes() -> None:
    page = (ROOT / "docs" / "plugins.md").read_text()
    code = next(b for b in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "recover(" in b)
    torch.manual_seed(0)
    exec(compile(code, "docs/plugins.md", "exec", dont_inherit=True), names := {})
    assert float((names["found"].codes - names["codes"]).abs().max()) < 1e-3


def test_the_size_of_a_method_and_of_a_metric() -> None:
    """What the documents print is about fifteen and eight lines, blank ones apart."""
    method = next(b for b in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "hookimpl" in b)
    page = (ROOT / "docs" / "plugins.md").read_text()
    metric = next(b for b in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "hookimpl" in b)
    assert sum(bool(line.strip()) for line in method.splitlines()) <= 18
    assert sum(bool(line.strip()) for line in metric.splitlines()) <= 8


def test_the_changelog_knows_the_version_and_every_built_in() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert benchsuite.__version__ == version
    changelog = (ROOT / "CHANGELOG.md").read_text()
    for plugin in load_registry().plugins:
        if plugin.distribution == "benchsuite":
            assert all(f"`{name}`" in changelog for names in plugin.provides.values() for name in names)


@pytest.mark.parametrize("module", DOCTESTED)
def test_doctests_print_what_they_say(module: str) -> None:
    tried = doctest.testmod(import_module(module))
    assert tried.attempted and not tried.failed


def test_no_document_leaves_a_placeholder() -> None:
    assert not [page.name for page in PAGES if "@@" in page.read_text()]
