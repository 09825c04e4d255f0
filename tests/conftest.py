"""What tests share: a stranger's distribution, really installed, and the command line run as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

FIXTURES = Path(__file__).parent / "fixtures"
CommandLine = Callable[..., subprocess.CompletedProcess[str]]


def install(name: str, target: Path) -> Path:
    """Build and install the fixture distribution ``name`` into ``target``, as pip would for anyone."""
    arguments = ["install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(target)]
    subprocess.run([sys.executable, "-m", "pip", *arguments, str(FIXTURES / name)], check=True, timeout=120)
    return target


@pytest.fixture(scope="session")
def acme(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where the fixture distribution ``acme`` is installed."""
    return install("acme", tmp_path_factory.mktemp("site"))


@pytest.fixture
def command_line(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """Runs ``benchsuite ARGUMENTS`` in an empty folder, with the folders ``plugins`` on the path."""

    def run(
        *arguments: str, plugins: tuple[Path, ...] = (), env: dict[str, str] | None = None, check: int | None = None
    ) -> subprocess.CompletedProcess[str]:
        result = subprocess.run(
            [sys.executable, "-m", "benchsuite", *arguments],
            cwd=tmp_path,
            env=environment(*plugins) | (env or {}),
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert "Traceback" not in result.stderr, result.stderr
        assert check is None or result.returncode == check, result.stdout + result.stderr
        return result

    return run


def environment(*plugins: Path) -> dict[str, str]:
    """This process's environment with ``plugins`` importable."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, plugins)), "COLUMNS": "200"}
