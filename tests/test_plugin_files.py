"""Plugins that are files, plugins that are blocked, and what belongs to the identity of either."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from conftest import FIXTURES, CommandLine, environment

from benchsuite.errors import PluginError, UsageError
from benchsuite.harness import pluginfiles
from benchsuite.harness.belonging import are_of_one
from benchsuite.harness.store import RunStore

METHOD = '''"""A constant."""

from dataclasses import dataclass

import torch

import benchsuite
{imports}


class Grey(benchsuite.Model):
    def __init__(self, spec):
        super().__init__()
        self.register_buffer("level", torch.zeros(spec.shape))

    def sample(self, n, generator):
        return self.level.expand(n, *self.level.shape)


@dataclass(frozen=True)
class GreyMethod(benchsuite.Method):
    """All grey. Source: own work."""

    name = "{name}"

    def build(self, spec):
        return Grey(spec)

    def fit(self, model, train, run):
        model.level.fill_({level})


@benchsuite.hookimpl
def benchsuite_methods():
    return [GreyMethod]
'''


def write(path: Path, *, name: str = "grey", imports: str = "", level: str = "0.5") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(METHOD.format(name=name, imports=imports, level=level), encoding="utf-8")
    return path


RUN = ("run", "--metrics", "psnr", "--out", "out", "--jobs", "1")


def planned(command_line: CommandLine, *arguments: str, plugins: tuple[Path, ...] = ()) -> str:
    """The action and the reason of the one cell that is planned. In a process of its own, which imports anew."""
    run = command_line("plan", *RUN[1:], *arguments, plugins=plugins, env={"COLUMNS": "200"}, check=0)
    return run.stdout


def test_a_file_is_a_plugin_in_every_command_that_names_it(tmp_path: Path, command_line: CommandLine) -> None:
    write(tmp_path / "grey.py")
    command_line(*RUN, "--plugin", "grey.py", "-m", "grey", check=0)
    assert "finished" in planned(command_line, "--plugin", "grey.py", "-m", "grey")
    assert "no method named 'grey'" in command_line(*RUN, "-m", "grey", check=2).stderr
    listed = command_line("plugins", "list", "--plugin", "grey.py", check=0).stdout
    assert f"{tmp_path / 'grey.py'}" in "".join(listed.split()) or "grey.py" in listed
    scored = command_line("score", "out", "--metrics", "moments", "--plugin", "grey.py", check=0)
    assert "grey" in scored.stdout


def test_an_environment_variable_names_files_for_every_command(tmp_path: Path, command_line: CommandLine) -> None:
    paths = [write(tmp_path / f"{name}.py", name=name) for name in ("grey", "dark")]
    named = {"BENCHSUITE_PLUGINS": os.pathsep.join(map(str, paths))}
    assert command_line("plan", "-m", "grey,dark", env=named, check=0).stdout.count("| new") == 2


@pytest.mark.parametrize("beside", ["shades.py", "shades/__init__.py", "shades/inner.py"])
def test_a_change_of_what_lies_beside_a_file_runs_its_cells_anew(
    beside: str, tmp_path: Path, command_line: CommandLine
) -> None:
    """A module, a package, and a folder that is none."""
    module = beside.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    (tmp_path / "code" / beside).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "code" / beside).write_text("LEVEL = 0.5\n")
    write(tmp_path / "code" / "grey.py", imports=f"from {module} import LEVEL", level="LEVEL")
    asked = ("--plugin", "code/grey.py", "-m", "grey")
    command_line(*RUN, *asked, env={"COLUMNS": "200"}, check=0)
    assert "finished" in planned(command_line, *asked)
    (tmp_path / "code" / beside).write_text('"""The level."""\nLEVEL = 0.5  # of grey\n')
    assert "finished" in planned(command_line, *asked)
    (tmp_path / "code" / beside).write_text("LEVEL = 0.25\n")
    assert "code changed since it was run" in planned(command_line, *asked)


def test_a_file_in_a_package_may_import_from_its_package(tmp_path: Path, command_line: CommandLine) -> None:
    (tmp_path / "acme_shades").mkdir()
    (tmp_path / "acme_shades" / "__init__.py").touch()
    (tmp_path / "acme_shades" / "levels.py").write_text("LEVEL = 0.5\n")
    write(tmp_path / "acme_shades" / "grey.py", imports="from .levels import LEVEL", level="LEVEL")
    command_line(*RUN, "--plugin", "acme_shades/grey.py", "-m", "grey", env={"COLUMNS": "200"}, check=0)
    (record,) = RunStore(tmp_path / "out").records()
    assert record.cell.method == "grey" and record.status == "ok"


@pytest.mark.parametrize("name", ["json", "torch", "zipimport"])
def test_a_file_with_the_name_of_another_module_is_told_to_take_another(name: str, tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=f"another module has the name '{name}', .*; rename {name}.py"):
        pluginfiles.load_file(write(tmp_path / f"{name}.py"))


def test_a_file_whose_name_cannot_be_imported_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="my-grey.py cannot be imported; name it by letters, digits and underscores"):
        pluginfiles.load_file(write(tmp_path / "my-grey.py"))


@pytest.mark.parametrize(
    ("path", "words"),
    [("grey.txt", "a plugin is a Python file, NAME.py"), ("nowhere.py", "there is no such file")],
)
def test_what_is_no_file_is_a_usage_error(path: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        pluginfiles.name_more(files=[Path(path)])
    assert "BENCHSUITE_PLUGINS" not in os.environ


def test_what_is_named_is_taken_back(tmp_path: Path) -> None:
    take_back = pluginfiles.name_more(files=[write(tmp_path / "grey.py")], blocked=["pca"])
    assert pluginfiles.plugin_files() == (tmp_path / "grey.py",) and pluginfiles.blocked_plugins() == ("pca",)
    take_back()
    assert not pluginfiles.plugin_files() and not pluginfiles.blocked_plugins()


def test_a_broken_package_around_a_file_is_one_broken_plugin(tmp_path: Path, command_line: CommandLine) -> None:
    write(tmp_path / "broken_shades" / "grey.py")
    (tmp_path / "broken_shades" / "__init__.py").write_text("raise RuntimeError('boom')\n")
    arguments = ("plugins", "list", "--plugin", "broken_shades/grey.py")
    listed = command_line(*arguments, env={"COLUMNS": "200"}, check=0).stdout
    assert "RuntimeError: boom" in listed and "pca" in listed


def test_a_blocked_plugin_is_not_loaded_and_said_to_be_blocked(
    acme: Path, tmp_path: Path, command_line: CommandLine
) -> None:
    """By its own name, or by that of its distribution."""
    refused = command_line(*RUN, "-m", "pca", "--no-plugin", "pca", check=2)
    assert "no method named 'pca'" in refused.stderr and "blocked plugins" in refused.stderr
    listed = command_line("plugins", "list", "--no-plugin", "acme", plugins=(acme,), check=0).stdout
    assert listed.count("blocked") >= 5 and "broken" not in listed
    assert "no plugin named 'pcaa'; did you mean 'pca'?" in command_line("list", "--no-plugin", "pcaa", check=2).stderr


def test_blocking_one_of_two_with_the_same_name_makes_the_other_usable(
    tmp_path: Path, command_line: CommandLine
) -> None:
    for folder in ("first", "second"):
        write(tmp_path / folder / f"{folder}.py")
    both = ("--plugin", "first/first.py", "--plugin", "second/second.py", "-m", "grey")
    assert "'grey' is provided twice" in planned(command_line, *both)
    assert "| new" in planned(command_line, *both, "--no-plugin", "second")


def test_modules_that_are_installed_belong_to_their_distributions(tmp_path: Path) -> None:
    """torch and its functorch are of one, numpy is of another; a folder of one's own has nothing of either."""
    site = Path(pytest.__file__).resolve().parents[1]
    torch_, functorch, numpy = (site / name / "__init__.py" for name in ("torch", "functorch", "numpy"))
    assert are_of_one(functorch, torch_) and not are_of_one(numpy, torch_)
    assert not are_of_one(torch_, tmp_path / "grey.py") and not are_of_one(Path(os.__file__), tmp_path / "grey.py")
    assert are_of_one(tmp_path / "shades.py", tmp_path / "grey.py")


def test_a_check_ends_with_the_command_that_asked_for_it(tmp_path: Path) -> None:
    """Also where that is killed: nothing stays behind that waits, or burns a processor."""
    path = FIXTURES / "wrong" / "method_never_ends.py"
    command = [sys.executable, "-m", "benchsuite", "plugins", "check", str(path), "--limit", "200"]
    process = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True)
    lines: list[str] = []
    assert process.stdout is not None
    reader = threading.Thread(target=lambda: lines.extend(process.stdout or ()), daemon=True)
    reader.start()
    deadline = time.monotonic() + 60
    while not any("defaults and presets" in line for line in lines) and time.monotonic() < deadline:
        time.sleep(0.1)
    workers = _children_of(process.pid)
    assert workers
    process.kill()
    process.wait()
    while any(Path(f"/proc/{worker}/status").exists() for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [worker for worker in workers if _is_alive(worker)]


def _children_of(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def _is_alive(process: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False
