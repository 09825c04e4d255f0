"""The documents say what the code does: hooks, commands and printed code."""

from __future__ import annotations

import doctest
import re
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

import benchsuite
from benchsuite.cli import COMMANDS
from benchsuite.harness.registry import load_registry

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
KIT = "adversarial files latents losses moments optimisers prefetch samples similarity text winners"  # with examples
DOCTESTED = ["benchsuite.errors", "benchsuite.parameters", "benchsuite.harness.recipe"] + [
    f"benchsuite.kit.{name}" for name in KIT.split()
]
DOCTESTED += ["benchsuite.results.expressions"]


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
