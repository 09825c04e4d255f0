"""From a server to a run: fetched, verified, stored, and not fetched again."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import CommandLine
from dataset_files import trust_mnist, write_mnist
from torchvision.datasets import MNIST

pytestmark = pytest.mark.network


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, and counts what was asked for."""

    asked: list[str] = []

    def log_message(self, format: str, *arguments: object) -> None:
        self.asked.append(self.path)


@pytest.fixture
def publisher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder whose files a server hands out as MNIST's only mirror, and an empty cache."""
    folder = tmp_path / "published"
    folder.mkdir()
    write_mnist(folder, monkeypatch)
    trust_mnist(folder, monkeypatch)
    _Handler.asked.clear()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(MNIST, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
    monkeypatch.setenv("BENCHSUITE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield folder
    server.shutdown()
    server.server_close()


def test_a_dataset_is_fetched_once_and_run_on(command_line: CommandLine, publisher: Path, tmp_path: Path) -> None:
    made = command_line("prepare", "mnist", check=0)
    assert "mnist is prepared: 96 for training and 4 for testing, each 1 x 32 x 32" in made.stderr
    assert "fetching train-images-idx3-ubyte.gz: 100%" in made.stderr
    assert sorted(_Handler.asked) == sorted(f"/{name}" for name, _ in MNIST.resources)
    command_line("prepare", "mnist", "mnist[size=28]", "mnist[split=official]", check=0)
    assert len(_Handler.asked) == 4
    command_line("run", "-m", "pca", "-d", "mnist,mnist[split=official]", "--metrics", "psnr", check=0)
    assert len(_Handler.asked) == 4


def test_what_the_publisher_has_lost_is_told_with_all_else_that_is_missing(
    command_line: CommandLine, publisher: Path, tmp_path: Path
) -> None:
    (publisher / "train-labels-idx1-ubyte.gz").rename(tmp_path / "elsewhere.gz")
    refused = command_line("prepare", "mnist", check=1).stderr
    place = tmp_path / "cache" / "sources" / "mnist"
    assert f"put it at {place / 'train-labels-idx1-ubyte.gz'}" in refused and "HTTP 404" in refused
    assert "also missing there: t10k-images-idx3-ubyte.gz, t10k-labels-idx1-ubyte.gz" in refused
    (tmp_path / "elsewhere.gz").rename(place / "train-labels-idx1-ubyte.gz")
    asked = len(_Handler.asked)
    command_line("prepare", "mnist", check=0)
    assert len(_Handler.asked) == asked + 2


def test_a_file_that_was_altered_on_its_way_is_refused(command_line: CommandLine, publisher: Path) -> None:
    path = publisher / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    refused = command_line("prepare", "mnist", check=1).stderr
    assert "its MD5 is" in refused and "fetch t10k-images-idx3-ubyte.gz (MD5" in refused
