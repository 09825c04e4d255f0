"""The distributions under ``examples/``, which strangers copy from: installed as pip would, tried as a user would."""

from __future__ import annotations

import ast
import csv
import importlib.util
import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from conftest import CommandLine, environment, install

import benchsuite

EXAMPLES = Path(__file__).parents[1] / "examples"
NAMES = ["pythae-models", "gradient-histograms", "tabular-vectors"]
PYTHAE = importlib.util.find_spec("pythae") is not None
NEEDS_PYTHAE = pytest.mark.skipif(not PYTHAE, reason="pythae is not installed")
EACH = pytest.mark.parametrize(
    "example", [pytest.param(name, marks=NEEDS_PYTHAE if name == "pythae-models" else ()) for name in NAMES]
)

PLANNING = """
import json, sys
from benchsuite.cli import main

for arguments in json.loads(sys.argv.pop()):
    sys.argv[1:] = arguments
    try:
        main()
    except SystemExit as ended:
        assert not ended.code, arguments
"""


def module_of(example: str) -> Path:
    return EXAMPLES / example / f"{example.replace('-', '_')}.py"


def python(*arguments: str, site: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    variables = environment(site) | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, timeout=240)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where all examples are installed."""
    folder = tmp_path_factory.mktemp("site")
    for name in NAMES:
        install(EXAMPLES / name, folder)
    return folder


def test_every_example_is_tested() -> None:
    assert sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir()) == sorted(NAMES)


@EACH
def test_an_example_is_installed_whole_and_without_its_tests(site: Path, example: str) -> None:
    project = tomllib.loads((EXAMPLES / example / "pyproject.toml").read_text())["project"]
    assert project["name"] == example and project["license"] == "MIT"
    assert {"benchsuite", "torch"} <= set(project["dependencies"])
    assert sorted(path.name for path in site.glob("*.py")) == sorted(module_of(name).name for name in NAMES)


@EACH
def test_an_example_uses_public_names_only(example: str) -> None:
    for path in (EXAMPLES / example).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                used = {alias.name for alias in node.names if alias.name.startswith("benchsuite")}
                assert used <= {"benchsuite"}, path
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("benchsuite"):
                assert node.module == "benchsuite.testing" and path.name.startswith("test_")
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "benchsuite":
                assert node.attr in benchsuite.__all__, f"{path}: {node.attr}"


@NEEDS_PYTHAE
def test_examples_are_listed_as_sound(command_line: CommandLine, site: Path) -> None:
    listed = json.loads(command_line("plugins", "list", "--json", plugins=(site,), check=0).stdout)
    found = {plugin["distribution"]: plugin for plugin in listed}
    assert not [found[name]["problem"] for name in NAMES if found[name]["problem"]]


@NEEDS_PYTHAE
def test_examples_stand_in_one_comparison(command_line: CommandLine, site: Path, tmp_path: Path) -> None:
    methods = ["pythae_vae[epochs=1]", "pythae_wae_mmd[epochs=1]", "pca"]
    metrics = ["psnr", "hog_distance", "correlation_error", "fd"]
    options = ["--subset", "128", "--samples", "64", "--out", "compared", "--device", "cpu"]
    selected = ["-m", ",".join(methods), "-d", "digits,breast_cancer", "--metrics", ",".join(metrics)]
    command_line("run", *selected, *options, plugins=(site,), check=0)
    with (tmp_path / "compared" / "results.csv").open() as file:
        scored = {(row["method"], row["dataset"], row["metric"]) for row in csv.DictReader(file) if row["value"]}
    applicable = {"digits": {"psnr", "hog_distance", "fd"}, "breast_cancer": {"correlation_error", "fd"}}
    assert scored == {(m, dataset, name) for dataset, names in applicable.items() for name in names for m in methods}


@NEEDS_PYTHAE
def test_the_commands_that_examples_print_can_be_run(site: Path, tmp_path: Path) -> None:
    """As far as planning what they would run, one after another in one process, which saves importing torch again."""
    pages = [(EXAMPLES / name / "README.md").read_text() for name in NAMES]
    printed = [re.findall(r"^benchsuite run (.*)$", page, re.MULTILINE) for page in pages]
    assert all(printed)
    arguments = json.dumps([["plan", *shlex.split(line)] for lines in printed for line in lines])
    result = python("-c", PLANNING, arguments, site=site, folder=tmp_path)
    assert result.returncode == 0 and "broken" not in result.stdout, result.stdout + result.stderr


@EACH
def test_an_examples_own_tests_pass(site: Path, example: str, tmp_path: Path) -> None:
    """On what is installed, since nothing else is beside them."""
    tests = shutil.copy(module_of(example).with_name(f"test_{module_of(example).name}"), tmp_path)
    result = python("-m", "pytest", "-q", "-p", "no:cacheprovider", tests, site=site, folder=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr


@EACH
def test_an_example_keeps_its_contract(command_line: CommandLine, site: Path, example: str) -> None:
    told = command_line("plugins", "check", example, plugins=(site,), check=0).stdout
    assert " 0 failed" in told and "loads, and provides something" in told
