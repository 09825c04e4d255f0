"""What tests share: a stranger's distribution, really installed, and the command line run as a user runs it."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from benchsuite.cli import main

FIXTURES = Path(__file__).parent / "fixtures"
CommandLine = Callable[..., subprocess.CompletedProcess[str]]


def install(name: str, target: Path) -> Path:
    """Build and install the fixture distribution ``name`` into ``target``, as pip would for anyone."""
    arguments = ["install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(target)]
    subprocess.run([sys.executable, "-m", "pip", *arguments, str(FIXTURES / name)], check=True, timeout=120)
    return target


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Two threads are slower than one on tensors this small, and give other bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def acme(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where the fixture distribution ``acme`` is installed."""
    return install("acme", tmp_path_factory.mktemp("site"))


@pytest.fixture
def command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """Runs ``benchsuite ARGUMENTS`` in an empty folder.

    In this process, to save the import of torch, unless ``plugins`` are folders to put on the path or ``env`` is given.
    Cells have processes of their own in any case.
    """
    monkeypatch.chdir(tmp_path)

    def run(
        *arguments: str, plugins: tuple[Path, ...] = (), env: dict[str, str] | None = None, check: int | None = None
    ) -> subprocess.CompletedProcess[str]:
        if plugins or env:
            command = [sys.executable, "-m", "benchsuite", *arguments]
            variables = environment(*plugins) | (env or {})
            result = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=240)
        else:
            result = _run_here(arguments, monkeypatch)
        assert "Traceback" not in result.stderr, result.stderr
        assert check is None or result.returncode == check, result.stdout + result.stderr
        return result

    return run


def _run_here(arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> subprocess.CompletedProcess[str]:
    monkeypatch.setattr(sys, "argv", ["benchsuite", *arguments])
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main()
    return subprocess.CompletedProcess(arguments, int(ended.value.code or 0), out.getvalue(), err.getvalue())


def environment(*plugins: Path) -> dict[str, str]:
    """This process's environment with ``plugins`` importable."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, plugins)), "COLUMNS": "200"}
