"""The plugin guide: its code is run as it is printed, its generated pages are up to date, and its promises are kept."""

from __future__ import annotations

import importlib.util
import inspect
import re
import shlex
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
import torch
from conftest import CommandLine

import benchsuite
from benchsuite import hookspecs
from benchsuite.harness.registry import PluginInfo, Registry
from benchsuite.testing.contract import tried
from benchsuite.testing.inspection import CHECKS

ROOT = Path(__file__).parents[1]
GUIDE = ROOT / "docs" / "plugins"
README = ROOT / "README.md"
PAGES = [README, *sorted(GUIDE.glob("*.md"))]
# What is printed to show building blocks, beside the tutorials, which need none.
USES_THE_KIT = {"HellingerGAN", "Shapes"}
# What a tutorial's page is called after, and the file that its commands name.
TUTORIALS = ["methods.md", "metrics.md", "datasets.md", "extractors.md", "executors.md", "reporters.md"]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def plugins(page: Path) -> list[str]:
    return [block for block in blocks(page, "python") if "hookimpl" in block]


PRINTED = [
    pytest.param(code, id=f"{page.name}-{number}") for page in PAGES for number, code in enumerate(plugins(page))
]


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def loaded(code: str) -> tuple[Registry, PluginInfo]:
    module = ModuleType("printed")
    exec(compile(code, "printed", "exec", dont_inherit=True), module.__dict__)
    info = PluginInfo("printed", "printed", "docs", "0")
    registry = Registry()
    registry.add("printed", lambda: module, info)
    return registry, info


@pytest.mark.parametrize("code", PRINTED)
def test_a_printed_plugin_keeps_its_contract(code: str) -> None:
    registry, info = loaded(code)
    assert not info.problem and info.provides
    checks = [
        check
        for kind, names in info.provides.items()
        for name in names
        for check in CHECKS[kind](registry.get(kind, name))
    ]
    found = [tried(check) for check in checks]
    assert not [finding for finding in found if finding.verdict == "failed"]
    assert sum(finding.verdict == "ok" for finding in found) >= 4


@pytest.mark.parametrize("code", PRINTED)
def test_a_printed_plugin_needs_nothing_but_what_is_exported(code: str) -> None:
    if any(name in code for name in USES_THE_KIT):
        return
    assert "benchsuite." in code and "benchsuite.kit" not in code
    assert set(re.findall(r"benchsuite\.(\w+)", code)) <= set(benchsuite.__all__)


@pytest.mark.parametrize("page", TUTORIALS)
def test_the_commands_of_a_tutorial_work_as_printed(page: str, tmp_path: Path, command_line: CommandLine) -> None:
    """The first plugin of the page, saved under the name that the commands call it by."""
    code, commands = plugins(GUIDE / page)[0], blocks(GUIDE / page, "bash")[0]
    (file,) = set(re.findall(r"[a-z]+\.py", commands))
    (tmp_path / file).write_text(code, encoding="utf-8")
    if "RUN" in commands:
        command_line("run", "-m", "pca", "--metrics", "psnr", "--out", "RUN", check=0)
    for line in commands.splitlines():
        program, *arguments = shlex.split(line)
        assert program == "benchsuite"
        result = command_line(*arguments, check=0)
        if arguments[:2] == ["plugins", "check"]:
            assert " 0 failed" in result.stdout


def test_the_printed_recovery_finds_its_codes() -> None:
    code = next(block for block in blocks(GUIDE / "methods.md", "python") if "recover(" in block)
    torch.manual_seed(0)
    exec(compile(code, "methods.md", "exec", dont_inherit=True), names := {})
    assert float((names["found"].codes - names["codes"]).abs().max()) < 1e-3


def lines_of(code: str) -> list[str]:
    """What is neither blank, nor an import, nor the hook."""
    body = code.partition("@benchsuite.hookimpl")[0]
    return [line for line in body.splitlines() if line.strip() and not re.match(r"(import|from) ", line)]


def test_a_method_takes_fifteen_lines_and_a_metric_eight() -> None:
    """Imports and the hook apart for the method, all of them for the metric."""
    assert plugins(README)[0] == plugins(GUIDE / "methods.md")[0]
    assert len(lines_of(plugins(README)[0])) <= 15
    assert sum(bool(line.strip()) for line in plugins(GUIDE / "metrics.md")[0].splitlines()) <= 8


def test_generated_pages_are_up_to_date() -> None:
    """If not: python docs/generate.py."""
    made = generator()
    for file, page in made.PAGES.items():
        assert (GUIDE / file).read_text(encoding="utf-8") == page()


def test_every_hook_is_documented_with_its_arguments() -> None:
    page = (GUIDE / "hooks.md").read_text(encoding="utf-8")
    for name, function in vars(hookspecs).items():
        if name.startswith("benchsuite_"):
            assert f"## `{name}({', '.join(inspect.signature(function).parameters)})`" in page
            assert (inspect.getdoc(function) or "missing") in page


def test_the_guide_names_exactly_what_is_exported() -> None:
    assert sorted(generator().listed_names()) == sorted(benchsuite.__all__)
    page = (GUIDE / "api.md").read_text(encoding="utf-8")
    assert all(f"| `{name}` |" in page for name in benchsuite.__all__)


def test_nothing_of_version_1_has_been_taken_away() -> None:
    """Names may be added to the list, with a new version of benchsuite, and never be taken off it."""
    promised = set((Path(__file__).parent / "fixtures" / "api_1.txt").read_text(encoding="utf-8").split())
    hooks = {name for name in vars(hookspecs) if name.startswith("benchsuite_")}
    assert benchsuite.API_VERSION == 1 and len(promised) > 50
    assert promised <= set(benchsuite.__all__) | hooks


def test_a_plugin_for_another_version_is_told_so() -> None:
    module = ModuleType("later")
    module.__dict__["benchsuite_api"] = 2
    info = PluginInfo("later", "later", "docs", "0")
    Registry().add("later", lambda: module, info)
    assert (
        "written for version 2 of the plugin interface, and this benchsuite has 1; upgrade benchsuite" in info.problem
    )


def headings(page: Path) -> set[str]:
    """The anchors of a page, as GitHub makes them."""
    found = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in found}


def test_what_messages_tell_to_read_is_there() -> None:
    told: set[tuple[str, str]] = set()
    for path in sorted((ROOT / "benchsuite" / "testing").glob("*.py")):
        module = import_module(f"benchsuite.testing.{path.stem}")
        used = re.findall(r"\{(_?[A-Z]+)\}#([\w-]+)", path.read_text(encoding="utf-8"))
        told |= {(getattr(module, name), anchor) for name, anchor in used}
        told |= set(re.findall(r'"(docs/plugins/[\w.]+)#([\w-]+)', path.read_text(encoding="utf-8")))
    told = {(page.partition("#")[0], page.partition("#")[2] or anchor) for page, anchor in told}
    assert len(told) > 20
    missing = [f"{page}#{anchor}" for page, anchor in sorted(told) if anchor not in headings(ROOT / page)]
    assert not missing, "\n".join(missing)
