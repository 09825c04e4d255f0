"""A dataset is prepared whole or not at all, by one process at a time, and opened as it was written."""

from __future__ import annotations

import errno
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import CommandLine, environment

from benchsuite import DataMissingError, ParameterError, Preparation, PreparationError, Samples
from benchsuite.kit import prepared
from benchsuite.kit.images import Block
from benchsuite.kit.prepared import Contents, PreparedDataset
from benchsuite.kit.store import Manifest, read_manifest

IMAGES = np.random.default_rng(0).integers(0, 256, (100, 2, 3, 4), dtype=np.uint8)
LABELS = np.arange(100) % 3
PARTS = (("train", 70), ("valid", 10), ("test", 20))
FILE_SYSTEM = ("open", "os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.truncate", "shutil.rmtree")


@dataclass(frozen=True)
class Small(PreparedDataset):
    """The images above, in blocks of eight."""

    name = "small"
    latent_dim = 2

    bright: bool = False

    def read(self, sources: Path, work: Path) -> Contents:
        (work / "unpacked").write_text("something large")
        return Contents((2, 3, 4), 100, self.blocks(), ("a", "b", "c"))

    def blocks(self) -> Iterator[Block]:
        start = 0
        for part, count in PARTS:
            for first in range(start, start + count, 8):
                rows = slice(first, min(first + 8, start + count))
                yield Block(part, IMAGES[rows] // 2 + 128 if self.bright else IMAGES[rows], LABELS[rows])
            start += count


def stored(dataset: Small, cache: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Every image of the store, in its order."""
    train, test = dataset.load("train", cache), dataset.load("test", cache)
    images = np.empty_like(IMAGES)
    images[np.arange(100) % 32 != 0] = (train[:] * 255).round().numpy()
    images[::32] = (test[:] * 255).round().numpy()
    return images


def litter(cache: Path) -> list[str]:
    """What lies beside stores and locks."""
    return [path.name for path in (cache / "prepared").iterdir() if path.name[0] == "." and path.suffix != ".lock"]


def test_a_store_holds_what_was_read_and_numpy_can_open_it(tmp_path: Path) -> None:
    Small().prepare(tmp_path, Preparation())
    assert np.array_equal(stored(Small(), tmp_path), IMAGES)
    folder = Small().store_folder(tmp_path)
    assert np.array_equal(np.load(folder / "images.npy"), IMAGES)
    assert np.array_equal(np.load(folder / "labels.npy"), LABELS)
    train = Small().load("train", tmp_path)
    assert train.labels is not None
    assert train.labels.tolist() == [label for row, label in enumerate(LABELS) if row % 32]
    assert (train.n_classes, train.label_names, train.shape) == (3, ("a", "b", "c"), (2, 3, 4))
    assert litter(tmp_path) == []


def test_the_official_split_is_the_datasets_own(tmp_path: Path) -> None:
    Small().prepare(tmp_path, Preparation())
    official = Small(split="official")
    assert np.array_equal((official.load("train", tmp_path)[:] * 255).round().numpy(), IMAGES[:70])
    assert np.array_equal((official.load("test", tmp_path)[:] * 255).round().numpy(), IMAGES[80:])
    assert official.content(tmp_path) != Small().content(tmp_path)
    assert official.store_folder(tmp_path) == Small().store_folder(tmp_path)


def test_a_split_that_the_data_do_not_have_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.PARTS", (("train", 100),))
    Small().prepare(tmp_path, Preparation())
    with pytest.raises(ParameterError, match="small has no split of its own; leave it out for every 32nd image"):
        Small(split="official").content(tmp_path)


def test_other_preprocessing_is_another_store_and_another_fingerprint(tmp_path: Path) -> None:
    Small().prepare(tmp_path, Preparation())
    with pytest.raises(DataMissingError, match=r"small\[bright=true\] is not in the cache; run: benchsuite prepare"):
        Small(bright=True).load("train", tmp_path)
    Small(bright=True).prepare(tmp_path, Preparation())
    assert int(stored(Small(bright=True), tmp_path).min()) >= 128
    assert np.array_equal(stored(Small(), tmp_path), IMAGES)
    assert Small(bright=True).content(tmp_path) != Small().content(tmp_path)


def test_another_version_of_the_reader_asks_for_another_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Small().prepare(tmp_path, Preparation())
    before = Small().content(tmp_path)
    monkeypatch.setattr(Small, "version", 2)
    with pytest.raises(DataMissingError, match="small was prepared by another version; run: benchsuite prepare small"):
        Small().load("train", tmp_path)
    Small().prepare(tmp_path, Preparation())
    assert Small().content(tmp_path) != before


def test_what_is_prepared_is_not_prepared_again_unless_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Small().prepare(tmp_path, Preparation())
    monkeypatch.setattr(f"{__name__}.IMAGES", 255 - IMAGES)
    Small().prepare(tmp_path, Preparation())
    assert np.array_equal(stored(Small(), tmp_path), 255 - IMAGES)
    Small().prepare(tmp_path, Preparation(again=True))
    assert np.array_equal(stored(Small(), tmp_path), IMAGES)


@pytest.mark.parametrize("damage", ["images.npy", "store.json"])
def test_a_damaged_store_is_not_taken_for_a_whole_one(tmp_path: Path, damage: str) -> None:
    Small().prepare(tmp_path, Preparation())
    path = Small().store_folder(tmp_path) / damage
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataMissingError, match="run: benchsuite prepare small"):
        Small().load("train", tmp_path)
    Small().prepare(tmp_path, Preparation(again=True))
    assert np.array_equal(stored(Small(), tmp_path), IMAGES)


def killed_at(event_number: int, cache: Path, work: Preparation) -> bool:
    """Whether a process that prepares the dataset was killed at its n-th call to the file system."""
    child = os.fork()
    if child:
        return os.WIFSIGNALED(os.waitpid(child, 0)[1])
    numbers = itertools.count(1)

    def hook(event: str, arguments: object) -> None:
        if event in FILE_SYSTEM and next(numbers) == event_number:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    try:
        Small().prepare(cache, work)
    finally:
        os._exit(0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_kill_at_any_moment_leaves_nothing_that_passes_for_finished(tmp_path: Path) -> None:
    for number in itertools.count(1):
        cache = tmp_path / str(number)
        if not killed_at(number, cache, Preparation()):
            break
        manifest = read_manifest(Small().store_folder(cache))
        if manifest is None:
            with pytest.raises(DataMissingError):
                Small().load("train", cache)
        else:  # it was killed when everything was done
            assert np.array_equal(stored(Small(), cache), IMAGES)
        Small().prepare(cache, Preparation())
        assert np.array_equal(stored(Small(), cache), IMAGES)
        assert litter(cache) == []
    assert number > 10


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_kill_while_preparing_again_leaves_the_old_store_the_new_one_or_none(tmp_path: Path) -> None:
    for number in itertools.count(1):
        cache = tmp_path / str(number)
        Small().prepare(cache, Preparation())
        if not killed_at(number, cache, Preparation(again=True)):
            break
        if read_manifest(Small().store_folder(cache)) is not None:
            assert np.array_equal(stored(Small(), cache), IMAGES)
        Small().prepare(cache, Preparation())
        assert np.array_equal(stored(Small(), cache), IMAGES)
        assert litter(cache) == []
    assert number > 10


@pytest.mark.parametrize("error", [ValueError("a reader's mistake"), KeyboardInterrupt()])
def test_an_error_in_the_middle_leaves_nothing_behind(tmp_path: Path, error: BaseException) -> None:
    def report(what: str, done: int, of: int | None) -> None:
        if done > 50:
            raise error

    with pytest.raises(type(error)):
        Small().prepare(tmp_path, Preparation(report=report))
    assert read_manifest(Small().store_folder(tmp_path)) is None
    assert litter(tmp_path) == []


def test_a_full_disk_is_said_beforehand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared.shutil, "disk_usage", lambda path: _Usage(free=1000))
    with pytest.raises(PreparationError, match=r"small needs 0 MiB in .*, where 0 MiB are free; free some space, or"):
        Small().prepare(tmp_path, Preparation())


@dataclass
class _Usage:
    free: int


def test_a_disk_that_fills_up_meanwhile_is_said_to_be_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: object, block: Block) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(prepared.StoreWriter, "add", full)
    with pytest.raises(PreparationError, match="no space left in .*; nothing half done was kept; free some space and"):
        Small().prepare(tmp_path, Preparation())
    assert litter(tmp_path) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB; skips where it cannot be mounted."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if sys.platform != "linux" or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_really_full_disk_gives_a_clear_error(
    small_disk: Path, command_line: CommandLine, acme: Path, tmp_path: Path
) -> None:
    (small_disk / "ballast").write_bytes(bytes(50_000))
    variables = {"BENCHSUITE_CACHE": str(small_disk)}
    result = command_line("prepare", "many[images=1500]", plugins=(acme,), env=variables, check=1)
    assert "MiB are free; free some space, or move the cache with BENCHSUITE_CACHE" in result.stderr
    # These would fit by their size, but not with their labels and the blocks that a file system rounds up to.
    result = command_line("prepare", "many[images=150]", plugins=(acme,), env=variables, check=1)
    assert f"no space left in {small_disk}" in result.stderr
    (small_disk / "ballast").unlink()
    command_line("prepare", "many[images=150]", plugins=(acme,), env=variables, check=0)


def preparing(acme: Path, cache: Path, **variables: str) -> subprocess.Popen[str]:
    """``benchsuite prepare`` of 500 images in a process of its own, a tenth of a second for each 50 of them."""
    return subprocess.Popen(
        [sys.executable, "-m", "benchsuite", "prepare", "many[images=500]"],
        env=environment(acme) | {"BENCHSUITE_CACHE": str(cache), "ACME_ROWS": "50", "ACME_PAUSE": "0.1"} | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until(found: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def test_of_two_at_once_one_works_and_the_other_waits(acme: Path, tmp_path: Path) -> None:
    both = [preparing(acme, tmp_path, ACME_PAUSE="0.5") for _ in range(2)]
    outputs = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    worked = ["preparing many[images=500]: 100%" in output for output in outputs]
    waited = ["another process prepares it; waiting" in output for output in outputs]
    assert sorted(worked) == [False, True] and waited == [not work for work in worked], outputs
    assert all("many[images=500] is prepared: 484 for training and 16 for testing" in output for output in outputs)


def test_an_interrupted_preparation_ends_with_130_and_the_same_command_goes_on(
    acme: Path, tmp_path: Path, command_line: CommandLine
) -> None:
    process = preparing(acme, tmp_path, ACME_PAUSE="1")
    wait_until(lambda: list(tmp_path.glob("prepared/.*.part/images.npy")))
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    process.communicate()
    assert litter(tmp_path) == []
    variables = {"BENCHSUITE_CACHE": str(tmp_path)}
    result = command_line("prepare", "many[images=500]", "--json", plugins=(acme,), env=variables, check=0)
    (made,) = json.loads(result.stdout)
    assert (made["train"], made["test"], made["shape"], made["error"]) == (484, 16, [1, 8, 8], "")
    listed = command_line("prepare", "--list", "--json", plugins=(acme,), env=variables, check=0)
    (store,) = json.loads(listed.stdout)["prepared"]
    assert (store["dataset"], store["images"], store["shape"]) == ("many[images=500]", 500, [1, 8, 8])
    assert made["content"] == f"{store['fingerprint']}-evenly_spaced"


def test_a_method_may_run_while_its_dataset_is_prepared_again(tmp_path: Path) -> None:
    """What is open stays as it was: the old file lives until it is closed."""
    Small().prepare(tmp_path, Preparation())
    train = Small().load("train", tmp_path)
    before = train[:].clone()
    for _ in range(3):
        Small().prepare(tmp_path, Preparation(again=True))
    assert torch.equal(train[:], before)


def test_blocks_without_a_digest_are_identified_by_their_images_and_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = []
    for name, value in (("IMAGES", IMAGES), ("IMAGES", 255 - IMAGES), ("LABELS", 2 - LABELS)):
        monkeypatch.setattr(f"{__name__}.{name}", value)
        Small().prepare(tmp_path, Preparation(again=True))
        contents.append(Small().content(tmp_path))
    assert len(set(contents)) == 3


@pytest.mark.parametrize("name", ["images.npy", "labels.npy"])
@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b""), lambda path: path.unlink()])
def test_an_empty_or_missing_file_of_a_store_is_damage(
    tmp_path: Path, name: str, damage: Callable[[Path], object]
) -> None:
    Small().prepare(tmp_path, Preparation())
    damage(Small().store_folder(tmp_path) / name)
    with pytest.raises(DataMissingError, match="is damaged .*; run: benchsuite prepare small --force"):
        Small().load("train", tmp_path)


@pytest.mark.parametrize(
    "values",
    [
        {"parts": [["train", -2]]},
        {"parts": [["train", float("inf")]]},
        {"parts": [[3, 100]]},
        {"selection": 5},
        {"fingerprint": None},
        {"prepared": 7},
        {"state": ["a"]},
        {"shape": [3, 4]},
        {"version": "1"},
        {"format": 99},
        {"unheard": 1},
    ],
)
def test_a_manifest_of_another_form_is_none(tmp_path: Path, values: dict[str, object]) -> None:
    Small().prepare(tmp_path, Preparation())
    path = Small().store_folder(tmp_path) / "store.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    assert read_manifest(path.parent) is None
    Small().prepare(tmp_path, Preparation())
    assert np.array_equal(stored(Small(), tmp_path), IMAGES)


def test_attributes_are_kept_as_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    attributes = np.random.default_rng(0).integers(0, 2, (100, 40))
    monkeypatch.setattr(f"{__name__}.LABELS", attributes)
    Small().prepare(tmp_path, Preparation())
    labels = Small().load("test", tmp_path).labels
    assert labels is not None and labels.dtype == torch.uint8
    assert np.array_equal(labels.numpy(), attributes[::32])


def test_what_was_left_out_is_told_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = Small.blocks
    bad = (("x.png", "torn"),)
    monkeypatch.setattr(Small, "blocks", lambda self: (replace(b, bad=bad) for b in blocks(self)))
    said: list[str] = []
    for _ in range(2):
        Small().prepare(tmp_path, Preparation(skip_bad=True, say=said.append))
    assert "left out 14 of 100 images, unreadable: x.png: torn" in said[0]
    assert said[1] == "small: 14 images were left out when it was prepared"


def test_a_cell_refuses_data_that_were_prepared_anew_since_it_was_planned(
    command_line: CommandLine, acme: Path, tmp_path: Path
) -> None:
    """The harness compares what it opens with what the plan saw: here the store is replaced by the cell before."""
    cache = {"BENCHSUITE_CACHE": str(tmp_path / "cache")}
    command_line("prepare", "many", plugins=(acme,), env=cache, check=0)
    arguments = ("run", "-m", "pca,repreparing,pca@again", "-d", "many", "--jobs", "1", "--metrics", "psnr")
    result = command_line(*arguments, plugins=(acme,), env=cache, check=1)
    assert "pca on many, seed 0: ok" in result.stderr
    assert "again on many, seed 0: error" in result.stderr
    assert "many was prepared anew since this was planned; run the same command again" in result.stdout
    assert "repreparing on many, seed 0: ok" in result.stderr and "psnr" in result.stdout


def test_a_store_that_is_replaced_while_it_is_opened_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Small().prepare(tmp_path, Preparation())
    monkeypatch.setattr(f"{__name__}.IMAGES", 255 - IMAGES)
    open_store = prepared.open_store

    def slow(folder: Path, manifest: Manifest) -> Samples:
        Small().prepare(tmp_path, Preparation(again=True))
        return open_store(folder, manifest)

    monkeypatch.setattr(prepared, "open_store", slow)
    with pytest.raises(DataMissingError, match="small was prepared anew at this moment; run the same command again"):
        Small().load("train", tmp_path)
