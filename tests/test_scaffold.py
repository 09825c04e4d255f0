"""``benchsuite plugins new`` writes packages that install, keep their contracts, type-check, and run as they say."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import CommandLine, environment, install

from benchsuite.errors import UsageError
from benchsuite.scaffold import KINDS, scaffold


def everything(folder: Path) -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(folder.iterdir()))


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_of_the_template_is_left(kind: str, tmp_path: Path) -> None:
    written = scaffold("my-waves", kind, tmp_path / "my-waves", [])
    assert {path.name for path in written} == {"pyproject.toml", "my_waves.py", "test_my_waves.py", "README.md"}
    text = everything(tmp_path / "my-waves")
    assert "template" not in text.lower() and "{" not in re.sub(r"f\".*?\"", "", text)
    assert "MyWaves" in text and 'my_waves = "my_waves"' in text


# The commonest kinds always; the others, which are as slow, with what is slow.
@pytest.mark.parametrize(
    "kind", [kind if kind in ("method", "metric") else pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS]
)
def test_what_it_writes_installs_keeps_its_contract_and_runs(
    kind: str, tmp_path: Path, command_line: CommandLine
) -> None:
    """By the commands of the README that it writes, but for pip's."""
    assert f"wrote my-{kind}/pyproject.toml" in command_line("plugins", "new", f"my-{kind}", "--kind", kind).stdout
    package, name = tmp_path / f"my-{kind}", f"my_{kind}"
    site = install(package, tmp_path / "site")
    commands = re.findall(r"```bash\n(.*?)```", (package / "README.md").read_text(encoding="utf-8"), re.DOTALL)[0]
    lines = [shlex.split(line, comments=True) for line in commands.splitlines()]
    assert [line[:3] for line in lines[:4]] == [
        ["pip", "install", "-e"],
        ["benchsuite", "plugins", "list"],
        ["benchsuite", "plugins", "check"],
        ["python", "-m", "pytest"],
    ]
    listed = command_line(*lines[1][1:], plugins=(site,), check=0)
    assert re.search(rf"{name} +\|.*\| ok", listed.stdout)
    assert " 0 failed" in command_line(*lines[2][1:], plugins=(site,), check=0).stdout
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(package)]
    ran = subprocess.run(tests, env=environment(site), cwd=package, capture_output=True, text=True, timeout=240)
    assert ran.returncode == 0 and re.search(r"\d+ passed", ran.stdout), ran.stdout
    if kind == "reporter":
        command_line("run", "-m", "pca", "--metrics", "psnr", "--out", "RUN", check=0)
    result = command_line(*lines[4][1:], plugins=(site,), check=0)
    if kind == "reporter":
        assert (tmp_path / "RUN" / "report" / f"{name}.txt").stat().st_size
    elif kind == "executor":
        (run,) = tmp_path.glob("runs/*/run.json")
        assert f'"executor": "{name}"' in run.read_text(encoding="utf-8")
    else:
        assert name in result.stdout


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("mypy") is None, reason="there is no mypy")
def test_what_it_writes_passes_mypy_strict(tmp_path: Path) -> None:
    for kind in KINDS:
        scaffold(f"my-{kind}", kind, tmp_path / kind, [])
    files = [str(path) for path in sorted(tmp_path.rglob("*.py"))]
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), *files]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=280)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("MyWaves", "cannot be a name; it has small letters"),
        ("2waves", "cannot be a name"),
        ("my__waves", "cannot be a name"),
        ("../waves", "cannot be a name"),
        ("vae", "there is a 'vae' already"),
        ("torch", "there is a module 'torch' already"),
        ("string", "there is a module 'string' already"),
    ],
)
def test_a_name_that_cannot_be_is_refused_and_nothing_is_written(name: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=words):
        scaffold(name, "method", tmp_path / "new", ["vae"])
    assert not list(tmp_path.iterdir())


def test_what_is_there_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="is there already; choose another folder with --out, or another name"):
        scaffold("waves", "method", tmp_path, [])
    assert everything(tmp_path) == "mine"
