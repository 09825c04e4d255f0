"""Nothing but ``benchsuite prepare`` opens a socket: sockets are refused to every test, and here everything runs."""

from __future__ import annotations

import ast
import csv
import dataclasses
import os
import re
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from conftest import CommandLine, Refusals, environment

from benchsuite.cli import COMMANDS
from benchsuite.harness.registry import load_registry
from benchsuite.parameters import parameters_of

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[1]
REGISTRY = load_registry()

# What uses the network, and the event that it is refused at. Nothing listens at port 9.
ATTEMPTS = {
    "client": ("import socket; socket.create_connection(('127.0.0.1', 9))", "socket.getaddrinfo"),
    "server": ("import socket; socket.create_server(('127.0.0.1', 0))", "socket.__new__"),
    "datagram": ("import socket; socket.socket(type=2).sendto(b'x', ('127.0.0.1', 9))", "socket.__new__"),
    "socket of other code": (
        "import ctypes, socket; socket.socket(fileno=ctypes.CDLL(None).socket(2, 1, 0)).connect(('127.0.0.1', 9))",
        "socket.connect",
    ),
    "name": ("import socket; socket.gethostbyname('localhost')", "socket.gethostbyname"),
    "urllib": ("import urllib.request; urllib.request.urlopen('http://127.0.0.1:9/')", "urllib.Request"),
    "http": ("import http.client; http.client.HTTPConnection('127.0.0.1', 9).connect()", "http.client.connect"),
}
IN_A_CHILD = "import subprocess, sys; sys.exit(subprocess.call([sys.executable, *sys.argv[1:]]))"


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_the_network_is_refused_to_a_test(attempt: str, refusals: Refusals) -> None:
    code, event = ATTEMPTS[attempt]
    with pytest.raises(PermissionError, match="mark it 'network'"):
        exec(code, {})
    (refused,) = refusals()
    assert refused.startswith(event) and "test_the_network_is_refused_to_a_test" in refused


@pytest.mark.parametrize("generation", [1, 2], ids=["child", "grandchild"])
@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_the_network_is_refused_to_what_a_test_starts(attempt: str, generation: int, refusals: Refusals) -> None:
    code, event = ATTEMPTS[attempt]
    command = [sys.executable, *["-c", IN_A_CHILD] * (generation - 1), "-c", code]
    ended = subprocess.run(command, env=environment(), capture_output=True, text=True)
    assert ended.returncode == 1 and f"PermissionError: {event}" in ended.stderr
    (refused,) = refusals()
    assert refused.startswith(event)


CALLER = """
import contextlib, urllib.request
from dataclasses import dataclass
import benchsuite
from benchsuite_plugins.methods.real import Real

@dataclass(frozen=True)
class Caller(Real):
    name = "caller"

    def fit(self, model, train, run):
        with contextlib.suppress(OSError):
            urllib.request.urlopen("http://127.0.0.1:9/")
        super().fit(model, train, run)

@benchsuite.hookimpl
def benchsuite_methods():
    return [Caller]
"""


@pytest.mark.parametrize("isolation", ["fork", "spawn"])
def test_the_network_is_refused_to_cells(
    isolation: str, command_line: CommandLine, refusals: Refusals, tmp_path: Path
) -> None:
    (site := tmp_path / "site" / "caller-1.dist-info").mkdir(parents=True)
    (site / "METADATA").write_text("Metadata-Version: 2.1\nName: caller\nVersion: 1\n")
    (site / "entry_points.txt").write_text("[benchsuite]\ncaller = caller\n")
    (site.parent / "caller.py").write_text(CALLER)
    arguments = ("run", "-m", "caller", "-d", "ring", "--metrics", "moments", "--samples", "16")
    command_line(*arguments, plugins=(site.parent,), env={"BENCHSUITE_ISOLATION": isolation}, check=0)
    (refused,) = refusals()
    assert refused.startswith("urllib.Request") and "caller.py" in refused


INNER = """
import contextlib, socket, subprocess, sys
import numpy as np
import pytest

CONNECT = "import contextlib, socket\\nwith contextlib.suppress(OSError): socket.create_connection(('127.0.0.1', {}))"

@pytest.fixture(scope="module")
def server():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening

def test_swallows():
    exec(CONNECT.format(9))

def test_starts_what_swallows():
    subprocess.run([sys.executable, "-c", CONNECT.format(9)], check=True)

@pytest.mark.network
def test_is_marked(server):
    port = server.getsockname()[1]
    exec(CONNECT.format(port))
    server.accept()[0].close()
    subprocess.run([sys.executable, "-c", CONNECT.format(port)], check=True)
    server.accept()[0].close()

def test_comes_after_it(server):
    exec(CONNECT.format(9))

def test_does_nothing():
    pass
"""


def test_a_test_that_hides_its_refusal_fails_and_one_that_is_marked_does_not(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a pytest of its own: what is proved is that pytest says so."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
    pytester.makepyfile(INNER)
    result = pytester.runpytest_subprocess("-p", "conftest", "-o", "markers=network", "-rA", timeout=120)
    failed = {line.split("::")[1].split()[0] for line in result.outlines if line.startswith("ERROR ")}
    assert failed == {"test_swallows", "test_starts_what_swallows", "test_comes_after_it"}
    result.assert_outcomes(passed=5, errors=3)
    result.stdout.fnmatch_lines(["the network was used:", "socket.getaddrinfo *127.0.0.1*"])


def test_what_does_not_leave_the_machine_is_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the address of a socket has room for some hundred characters
    one, other = socket.socketpair()
    with one, other:
        one.sendall(b"x")
        assert other.recv(1) == b"x"
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind("here")
        server.listen()
        client.connect("here")
        server.accept()[0].close()
    (tmp_path / "text").write_bytes(b"x")
    with urllib.request.urlopen((tmp_path / "text").as_uri()) as file:
        assert file.read() == b"x"


def test_an_import_of_urllib3_fails_no_test() -> None:
    """It binds a socket as it is imported, which clean-fid does and pip; that is refused all the same."""
    pytest.importorskip("urllib3")
    code = "import urllib3.util.connection; print(urllib3.util.connection.HAS_IPV6)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


def built_in(kind: str) -> list[str]:
    """The names that benchsuite's own plugins provide."""
    ours = [plugin for plugin in REGISTRY.plugins if plugin.distribution == "benchsuite"]
    return sorted(name for plugin in ours for name in plugin.provides.get(kind, []))


def quick(name: str) -> str:
    """A selection of the method, small and brief where it has such knobs."""
    wanted = {"epochs": 1, "batch_size": 256, "width": 4, "prior_width": 4}
    wanted |= {"reversal_steps": 2, "prior_epochs": 1, "retraining_epochs": 1}
    has = parameters_of(REGISTRY.get("methods", name))
    values = ",".join(f"{key}={value}" for key, value in wanted.items() if key in has)
    return f"{name}[{values}]" if values else name


def brief(name: str) -> str:
    """A selection of the metric that looks at few images, and searches for few steps, where it has such knobs."""
    wanted = {"images": 5, "rows": 60, "draws": 30, "pairs": 5, "restarts": 2, "steps": 10}
    wanted |= {"arithmetic": {"rows": 256}}.get(name, {})  # of which it needs fourteen in each class
    has = parameters_of(REGISTRY.get("metrics", name).compute)
    values = ",".join(f"{key}={value}" for key, value in wanted.items() if key in has)
    return f"{name}[{values}]" if values else name


METHODS = ",".join(quick(name) for name in built_in("methods") if name != "samples")
MADE = "samples[path=%s.npz]"
IMAGE_METRICS = ",".join(brief(name) for name in built_in("metrics") if REGISTRY.get("metrics", name).kind != "vector")
VECTOR_METRICS = ",".join(brief(name) for name in built_in("metrics") if REGISTRY.get("metrics", name).kind != "image")
# Whose networks have to be fetched; tests/test_inception_runs.py and test_lpips.py compute them with random weights.
NEED_WEIGHTS = {"fid", "inception_score", "lpips"}
POSTERIOR = "avb[epochs=1,likelihood=exponential]"
BRIEF = ["--samples", "64", "--jobs", "2", "--device", "cpu"]

# What each command is called with, in this order and in one folder. Each has to succeed.
COMMAND_LINES: dict[str, list[list[str]]] = {
    "run": [
        ["-m", f"{METHODS},{MADE % 'images'}", "-d", "digits", *BRIEF, "--out", "images"],
        ["-m", f"{METHODS},{MADE % 'vectors'}", "-d", "ring", "--metrics", VECTOR_METRICS, *BRIEF, "--out", "vectors"],
        ["-m", POSTERIOR, "-d", "exponential_posterior", "--metrics", VECTOR_METRICS, *BRIEF, "--out", "posterior"],
        ["-m", "pca", "-d", "bivariate_normal", "--metrics", "law_density", *BRIEF, "--out", "law"],
    ],
    "score": [["images", "--metrics", IMAGE_METRICS, "--samples", "130"]],
    "plan": [["-m", METHODS]],
    "list": [[]],
    "report": [["images", "vectors", "--format", ",".join(built_in("reporters")), "--out", "reports"]],
    "compare": [["images", "vectors"]],
    "baseline": [["set", "images", "--baseline", "b.json"], ["show", "b.json"], ["list", "."]],
    "gate": [["images", "--baseline", "b.json"]],
    "reproduce": [["--list"], ["gan-thesis/figure3", "--scale", "smoke", "--device", "cpu", "--out", "papers"]],
    "plugins": [["list"], ["check", "pca"], ["new", "my-waves"]],
    "env": [[]],
}
HELP = [["--help"], ["--version"], *([command, "--help"] for command in COMMANDS)]
HELP += [["plugins", command, "--help"] for command in ("list", "check", "new")]
OPENS_SOCKETS = {"prepare"}


@pytest.fixture
def caches(tmp_path: Path) -> dict[str, str]:
    """Variables by which nothing is found that an earlier run may have fetched."""
    return {name: str(tmp_path / "cache") for name in ("BENCHSUITE_CACHE", "TORCH_HOME", "XDG_CACHE_HOME")}


def test_every_command_but_prepare_is_run_here() -> None:
    forgotten = set(COMMANDS) - OPENS_SOCKETS - set(COMMAND_LINES)
    assert not forgotten, f"COMMAND_LINES has no arguments to try {', '.join(sorted(forgotten))} with; give it some"
    assert not set(COMMAND_LINES) & OPENS_SOCKETS


def test_no_command_opens_a_socket(
    command_line: CommandLine, refusals: Refusals, caches: dict[str, str], tmp_path: Path
) -> None:
    for name, shape in (("images", (150, 1, 16, 16)), ("vectors", (150, 2))):
        np.savez(tmp_path / f"{name}.npz", samples=np.random.default_rng(0).random(shape, np.float32))
    for command in COMMANDS:
        for arguments in COMMAND_LINES.get(command, []):
            command_line(command, *arguments, env=caches, check=0)
            assert not refusals(), f"benchsuite {command} {' '.join(arguments)}"
    runs = [path.parent for path in tmp_path.glob("*/run.json")]
    scored = [row for run in runs for row in rows(run / "results.csv") if row["status"] == "ok"]
    for dataset in ("digits", "ring"):
        methods = {row["method"].partition("[")[0] for row in scored if row["dataset"] == dataset}
        assert methods == set(built_in("methods")), dataset
    unscored = set(built_in("metrics")) - {re.split(r"[.\[]", row["metric"])[0] for row in scored}
    assert unscored == NEED_WEIGHTS, "no run of COMMAND_LINES computes these"


def rows(results: Path) -> list[dict[str, str]]:
    with results.open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("arguments", HELP, ids=" ".join)
def test_no_help_opens_a_socket(
    arguments: list[str], command_line: CommandLine, refusals: Refusals, caches: dict[str, str]
) -> None:
    assert "benchsuite" in command_line(*arguments, env=caches, check=0).stdout
    assert not refusals()


def test_no_dataset_and_no_extractor_opens_a_socket_for_what_is_not_prepared(
    command_line: CommandLine, refusals: Refusals, caches: dict[str, str], tmp_path: Path
) -> None:
    """They may fail for want of it, which is exit code 1."""
    datasets = [name for name in built_in("datasets") if not needs_values(REGISTRY.get("datasets", name))]
    metrics = ["moments", *(f"fd[features={name}]" for name in built_in("features"))]
    arguments = ("run", "-m", "real", "-d", ",".join(datasets), "--metrics", ",".join(metrics), *BRIEF, "--out", "out")
    result = command_line(*arguments, env=caches)
    assert result.returncode in (0, 1), result.stderr
    assert not refusals()
    assert {row["dataset"] for row in rows(tmp_path / "out" / "results.csv")} == set(datasets)


def needs_values(cls: type) -> bool:
    return any(parameter.default is dataclasses.MISSING for parameter in parameters_of(cls).values())


NETWORK_MODULES = {"aiohttp", "ftplib", "gdown", "http", "httpx", "huggingface_hub", "imaplib", "poplib", "requests"}
NETWORK_MODULES |= {"smtplib", "socket", "socketserver", "ssl", "urllib", "urllib3", "xmlrpc", "torch.hub"}
DOWNLOADS = {"download_and_extract_archive", "download_url", "download_url_to_file", "load_state_dict_from_url"}
DOWNLOADS |= {"fetch_olivetti_faces", "fetch_openml", "urlopen", "urlretrieve"}
MAY_USE_THE_NETWORK = {
    "benchsuite/kit/download.py": "fetches what prepare asks for, by urllib",
    "benchsuite/testing/network.py": "refuses sockets to plugins that are checked",
}


def network_uses(source: str) -> list[str]:
    """What in this code imports a module of the network, or has another library download something."""
    found = []
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Attribute):
            names = [ast.unparse(node)]
        elif isinstance(node, ast.keyword) and node.arg == "download":
            found += [] if getattr(node.value, "value", None) is False else ["download=True"]
        for name in names:
            parts = name.split(".")
            if {parts[0], ".".join(parts[:2])} & NETWORK_MODULES or parts[-1] in DOWNLOADS:
                found.append(name)
    return found


@pytest.mark.parametrize(
    "source",
    [
        "import socket",
        "import urllib.request as u",
        "from urllib.request import urlopen",
        "from http.client import HTTPConnection",
        "def f():\n    import requests",
        "import torch\ntorch.hub.load('a', 'b')",
        "from torch import hub",
        "from torch.hub import load",
        "from torchvision.datasets.utils import download_url",
        "from torchvision.datasets import MNIST\nMNIST('.', download=True)",
        "MNIST('.', download=wanted)",
        "import sklearn.datasets\nsklearn.datasets.fetch_openml('mnist_784')",
    ],
)
def test_code_that_uses_the_network_is_recognised(source: str) -> None:
    assert network_uses(source)


def test_code_that_does_not_is_not() -> None:
    assert not network_uses("import torch, os\nfrom torch import nn\nMNIST('.', download=False)\nself.socket = os.path")


def test_only_the_download_module_imports_the_network() -> None:
    used = {}
    for package in (ROOT / "benchsuite", ROOT / "plugins" / "benchsuite_plugins"):
        for path in package.rglob("*.py"):
            name = path.relative_to(ROOT).as_posix()
            if name not in MAY_USE_THE_NETWORK and (found := network_uses(path.read_text())):
                used[name] = found
    assert not used
