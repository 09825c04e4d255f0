"""What tests share: no network, a stranger's distribution, really installed, and the command line as a user runs it."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
import torch

from benchsuite.cli import main

FIXTURES = Path(__file__).parent / "fixtures"
OFFLINE = FIXTURES / "offline"
CommandLine = Callable[..., subprocess.CompletedProcess[str]]
Refusals = Callable[[], list[str]]


def _refuse_the_network() -> None:
    """Import the refusing file by its path: a Python may have a ``sitecustomize`` of its own, imported already."""
    spec = importlib.util.spec_from_file_location("offline", OFFLINE / "sitecustomize.py")
    assert spec is not None and spec.loader is not None
    spec.loader.exec_module(importlib.util.module_from_spec(spec))


def pytest_configure(config: pytest.Config) -> None:
    """Refuse the network to this process and to every Python that it starts."""
    folder = tempfile.TemporaryDirectory(prefix="benchsuite-network-")
    config.add_cleanup(folder.cleanup)
    variables = pytest.MonkeyPatch()
    config.add_cleanup(variables.undo)
    log = Path(folder.name) / "refused.txt"
    variables.setenv("BENCHSUITE_TEST_NETWORK_LOG", str(log))
    variables.setenv("PYTHONPATH", str(OFFLINE), prepend=os.pathsep)
    variables.setenv("BENCHSUITE_CACHE", str(Path(folder.name) / "cache"))  # not the user's, and empty at first
    _refuse_the_network()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Allow a test marked ``network``, and the fixtures of any scope that are made for it, what others may not."""
    allowed = Path(os.environ["BENCHSUITE_TEST_NETWORK_LOG"]).with_name("allowed")
    if item.get_closest_marker("network"):
        allowed.touch()
    try:
        return (yield)
    finally:
        allowed.unlink(missing_ok=True)


@pytest.fixture(autouse=True)
def refusals() -> Iterator[Refusals]:
    """A function that returns what was refused until now, and forgets it.

    What is left there fails the test: it, or what it started, tried to use the network, whatever came of that.
    """
    log = Path(os.environ["BENCHSUITE_TEST_NETWORK_LOG"])

    def take() -> list[str]:
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return lines

    yield take
    if refused := take():
        pytest.fail("\n".join(["the network was used:", *refused]), pytrace=False)


def install(source: str | Path, target: Path) -> Path:
    """Build and install a distribution into ``target``, as pip would for anyone: a fixture's name, or a whole path."""
    arguments = ["install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(target)]
    subprocess.run([sys.executable, "-m", "pip", *arguments, str(FIXTURES / source)], check=True, timeout=120)
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
    """This process's environment with ``plugins`` importable, and no network."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (*plugins, OFFLINE))), "COLUMNS": "200"}
