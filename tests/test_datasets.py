"""Published datasets, numpy archives and patches come out as they were put in; damaged files are refused by name."""

from __future__ import annotations

import errno
import gzip
import os
import re
import shutil
import struct
import subprocess
import sys
import tarfile
import threading
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision.datasets
from conftest import Refusals
from dataset_files import (
    CELEBA_ATTRIBUTES,
    CIFAR10_NAMES,
    Bytes,
    Parts,
    encoded,
    idx,
    loaded,
    lsun_key,
    md5,
    noise,
    pixels,
    refusal,
    trust_celeba,
    trust_cifar10,
    trust_lsun,
    trust_mnist,
    trust_svhn,
    write_celeba,
    write_cifar10,
    write_lmdb,
    write_lsun,
    write_mnist,
    write_svhn,
)
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_images
from torchvision.transforms import CenterCrop, Compose, Pad, Resize

from benchsuite import Dataset, Preparation
from benchsuite.errors import DataMissingError, ParameterError, PreparationError
from benchsuite.harness.registry import load_registry
from benchsuite.kit import arrays
from benchsuite.kit.prepared import PreparedDataset
from benchsuite.kit.store import read_manifest
from benchsuite_plugins.datasets.celeba import CelebA
from benchsuite_plugins.datasets.cifar10 import Cifar10
from benchsuite_plugins.datasets.lsun import Lsun
from benchsuite_plugins.datasets.mnist import FashionMnist, Mnist
from benchsuite_plugins.datasets.npz import Npz
from benchsuite_plugins.datasets.patches import Patches
from benchsuite_plugins.datasets.svhn import Svhn

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
CLOTHES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat")
CLOTHES += ("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")


# Published datasets --------------------------------------------------------------------------------------------------


def by_mnist(sources: Path, scratch: Path, part: str, reader: Any = torchvision.datasets.MNIST) -> Any:
    raw = scratch / reader.__name__ / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    for path in sources.glob("*.gz"):
        (raw / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    return reader(scratch, train=part == "train")


def by_fashion_mnist(sources: Path, scratch: Path, part: str) -> Any:
    return by_mnist(sources, scratch, part, torchvision.datasets.FashionMNIST)


def by_svhn(sources: Path, scratch: Path, part: str) -> Any:
    return torchvision.datasets.SVHN(sources, part)


def by_cifar10(sources: Path, scratch: Path, part: str) -> Any:
    with tarfile.open(sources / "cifar-10-python.tar.gz") as archive:
        archive.extractall(scratch, filter="data")
    return torchvision.datasets.CIFAR10(scratch, train=part == "train")


def by_celeba(sources: Path, scratch: Path, part: str) -> Any:
    """Its reader wants the images unpacked, and three tables more."""
    folder = shutil.copytree(sources, scratch / "celeba", dirs_exist_ok=True)
    with zipfile.ZipFile(folder / "img_align_celeba.zip") as archive:
        archive.extractall(folder)
    names = [line.split()[0] for line in (folder / "list_eval_partition.txt").read_text().splitlines()]
    rows = "".join(f"{name} 0\n" for name in names)
    for table, header in (("identity_CelebA", ""), ("list_bbox_celeba", "0\na\n")):
        (folder / f"{table}.txt").write_text(header + rows)
    (folder / "list_landmarks_align_celeba.txt").write_text("0\na\n" + rows)

    class Trusting(torchvision.datasets.CelebA):
        def _check_integrity(self) -> bool:
            return True

    return Trusting(scratch, part)


def by_lsun(sources: Path, scratch: Path, part: str) -> Any:
    name = f"bedroom_{'val' if part == 'test' else part}"
    with zipfile.ZipFile(sources / f"{name}_lmdb.zip") as archive:
        archive.extractall(scratch)
    return torchvision.datasets.LSUN(str(scratch), [name])


@dataclass(frozen=True)
class Case:
    """A dataset, how to make its files, how torchvision reads and views them, and what the dataset says of itself."""

    dataset: PreparedDataset
    write: Callable[..., Parts]
    trust: Callable[[Path, pytest.MonkeyPatch], None]
    reader: Callable[[Path, Path, str], Any]
    view: Callable[[Image.Image], Image.Image]
    archive: str
    parts: tuple[str, ...] = ("train", "test")
    label_names: tuple[str, ...] = ()
    n_classes: int | None = 10

    def __str__(self) -> str:
        return self.dataset.selection

    def place(self, cache: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> tuple[Path, Parts]:
        """The folder of sources, filled, and what was put there."""
        sources = cache / "sources" / self.dataset.name
        sources.mkdir(parents=True)
        parts = self.write(sources, monkeypatch, **options)
        self.trust(sources, monkeypatch)
        return sources, parts


def kept(image: Image.Image) -> Image.Image:
    return image


def dcgan(size: int) -> Compose:
    return Compose([Resize(size), CenterCrop(size)])


def crop_118(image: Image.Image) -> Image.Image:
    """By plain Pillow: 30 columns off either side, 50 rows off top and bottom."""
    return image.crop((30, 50, 148, 168)).resize((64, 64), Image.Resampling.BILINEAR)


MNIST_FILES = (write_mnist, trust_mnist)
MNIST_IMAGES = "train-images-idx3-ubyte.gz"
CELEBA_FILES = (write_celeba, trust_celeba, by_celeba)
CELEBA_SAYS = ("img_align_celeba.zip", ("train", "valid", "test"), CELEBA_ATTRIBUTES, None)
SVHN_FILES = (write_svhn, trust_svhn, by_svhn, kept, "train_32x32.mat")

MNIST = Case(Mnist(), *MNIST_FILES, by_mnist, Pad(2), MNIST_IMAGES, label_names=DIGITS)
FASHION = Case(FashionMnist(), *MNIST_FILES, by_fashion_mnist, Pad(2), MNIST_IMAGES, label_names=CLOTHES)
SVHN = Case(Svhn(), *SVHN_FILES, label_names=tuple("0123456789"))
CIFAR10 = Case(
    *(Cifar10(), write_cifar10, trust_cifar10, by_cifar10, kept, "cifar-10-python.tar.gz"),
    label_names=tuple(CIFAR10_NAMES),
)
CELEBA = Case(CelebA(), *CELEBA_FILES, dcgan(64), *CELEBA_SAYS)
LSUN = Case(Lsun(), write_lsun, trust_lsun, by_lsun, dcgan(64), "bedroom_train_lmdb.zip", n_classes=None)
ONE_OF_EACH = [MNIST, FASHION, SVHN, CIFAR10, CELEBA, LSUN]
RAW = [
    *(MNIST, replace(MNIST, dataset=Mnist(size=28), view=kept), FASHION, SVHN, CIFAR10),
    Case(Svhn(extra=True), *SVHN_FILES, ("train", "test", "extra"), tuple("0123456789")),
]
VIEWED = [
    *(CELEBA, replace(CELEBA, dataset=CelebA(size=128), view=dcgan(128))),
    replace(CELEBA, dataset=CelebA.preset("flexible_priors"), view=crop_118),
    *(LSUN, replace(LSUN, dataset=Lsun(size=32), view=dcgan(32))),
]


def rows_of(split: str, half: str, parts: list[str]) -> list[int]:
    """The rows, of all those that ``parts`` names the part of, which are for training or for testing."""
    if split == "evenly_spaced":
        return [row for row in range(len(parts)) if (row % 32 == 0) == (half == "test")]
    return [row for row, part in enumerate(parts) if part.replace("extra", "train") == half]


@pytest.mark.parametrize("split", ["evenly_spaced", "official"])
@pytest.mark.parametrize("case", [*RAW, *VIEWED], ids=str)
def test_images_and_labels_are_those_that_torchvision_reads_in_its_order(
    case: Case, split: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where torchvision's LSUN keeps its lists of keys
    sources, _ = case.place(tmp_path, monkeypatch)
    by_torchvision = [(part, *item) for part in case.parts for item in case.reader(sources, tmp_path / "oracle", part)]
    images = [np.asarray(case.view(image)) for _, image, _ in by_torchvision]
    halves = loaded(replace(case.dataset, split=split), tmp_path)
    assert sum(map(len, halves)) == len(images) - 10 * (split == "official" and case.dataset.name == "celeba")
    for half, samples in zip(("train", "test"), halves, strict=True):
        rows = rows_of(split, half, [part for part, _, _ in by_torchvision])
        stored = pixels(samples).transpose(0, 2, 3, 1).squeeze()
        assert np.array_equal(stored, np.stack([images[row] for row in rows]))
        assert (samples.label_names, samples.n_classes) == (case.label_names, case.n_classes)
        if samples.labels is None:
            assert case.dataset.name == "lsun"
        else:
            labels = torch.stack([torch.as_tensor(by_torchvision[row][2]) for row in rows])
            assert torch.equal(samples.labels, labels)


@pytest.mark.parametrize("case", RAW, ids=str)
def test_pixels_and_labels_are_those_in_the_files_bit_by_bit(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, parts = case.place(tmp_path, monkeypatch)
    images, labels = (np.concatenate([parts[part][column] for part in case.parts]) for column in (0, 1))
    for half, samples in zip(("train", "test"), loaded(case.dataset, tmp_path), strict=True):
        rows = rows_of("evenly_spaced", half, [""] * len(images))
        stored = pixels(samples).squeeze()
        border = (stored.shape[-1] - images.shape[-1]) // 2
        inside = stored[..., border : stored.shape[-1] - border, border : stored.shape[-1] - border]
        assert np.array_equal(inside, images[rows])
        assert int(stored.astype(int).sum()) == int(images[rows].astype(int).sum())  # so that the border is black
        assert samples.labels is not None
        assert samples.labels.tolist() == labels[rows].tolist()


def test_mnist_has_a_border_of_two_pixels_unless_it_keeps_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    MNIST.place(tmp_path, monkeypatch)
    assert [loaded(Mnist(size=size), tmp_path)[0].shape for size in (28, 32)] == [(1, 28, 28), (1, 32, 32)]
    with pytest.raises(ParameterError):
        Mnist(size=30)


def test_svhn_writes_ten_for_the_digit_zero_and_we_write_zero(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources, _ = SVHN.place(tmp_path, monkeypatch)
    from scipy.io import loadmat

    written = loadmat(sources / "test_32x32.mat")["y"][:, 0]
    _, test = loaded(Svhn(split="official"), tmp_path)
    assert test.labels is not None
    assert set(written) == set(range(1, 11))
    assert test.labels.tolist() == [0 if label == 10 else label for label in written]


def test_extra_images_are_neither_fetched_nor_read_unless_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusals: Refusals
) -> None:
    sources, _ = SVHN.place(tmp_path, monkeypatch)
    (sources / "extra_32x32.mat").unlink()
    assert sum(map(len, loaded(Svhn(), tmp_path))) == 100
    with pytest.raises(PreparationError, match="cannot fetch extra_32x32.mat:\n  http"):
        Svhn(extra=True).prepare(tmp_path, Preparation())
    assert refusals()


def test_celeba_has_forty_attributes_of_zero_or_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, parts = CELEBA.place(tmp_path, monkeypatch)
    for half, samples in zip(("train", "test"), loaded(CelebA(split="official"), tmp_path), strict=True):
        assert samples.labels is not None and samples.labels.shape[1] == 40
        assert samples.labels.tolist() == parts[half][1].tolist()
        assert samples.label_names == CELEBA_ATTRIBUTES


def test_the_flexible_priors_crop_is_the_118_pixels_in_the_centre() -> None:
    assert CelebA.preset("flexible_priors") == CelebA(size=64, crop=118)
    with pytest.raises(ParameterError, match="crop=179 is not allowed; images have 178 x 218 pixels"):
        CelebA(crop=179)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        *(("mnist", 32), ("fashion_mnist", 32), ("svhn", 64), ("cifar10", 64), ("celeba", 256), ("lsun", 256)),
        *(("patches", 32), ("folder", 64), ("npz", 64)),
    ],
)
def test_each_dataset_states_the_size_of_its_codes(name: str, size: int) -> None:
    assert load_registry().get("datasets", name).latent_dim == size


# Published datasets, damaged -----------------------------------------------------------------------------------------


def cut_in_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def one_bit_flipped(path: Path) -> None:
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    path.write_bytes(body)


@pytest.mark.parametrize("damage", [cut_in_half, one_bit_flipped])
@pytest.mark.parametrize("case", [case for case in ONE_OF_EACH if case is not LSUN], ids=str)
def test_a_file_with_another_checksum_is_never_read(
    case: Case, damage: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusals: Refusals
) -> None:
    sources, _ = case.place(tmp_path, monkeypatch)
    right = md5(sources / case.archive)
    damage(sources / case.archive)
    message = refusal(case.dataset, tmp_path)
    assert f"the file that is there is damaged: its MD5 is {md5(sources / case.archive)}, not {right}" in message
    assert f"put it at {sources / case.archive}, then run the same command again" in message
    assert refusals()  # it was to be fetched again


@pytest.mark.parametrize("case", ONE_OF_EACH, ids=str)
def test_a_cut_off_archive_that_no_checksum_betrays_is_refused_by_name(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources, _ = case.place(tmp_path, monkeypatch)
    cut_in_half(sources / case.archive)
    case.trust(sources, monkeypatch)
    message = refusal(case.dataset, tmp_path)
    assert message.startswith(f"{sources / case.archive} is damaged: ")
    assert message.endswith("; remove it and prepare again")


@pytest.mark.parametrize("case", ONE_OF_EACH, ids=str)
def test_what_is_not_there_is_to_be_fetched(case: Case, tmp_path: Path, refusals: Refusals) -> None:
    message = refusal(case.dataset, tmp_path)
    first = case.dataset.sources()[0]
    assert f"cannot fetch {first.name}:\n  {first.urls[0]}: " in message
    assert f"put it at {tmp_path / 'sources' / case.dataset.name / first.name}" in message
    assert refusals()


@pytest.mark.parametrize(
    "body",
    [
        *(b"", gzip.compress(b""), gzip.compress(b"not an idx file at all")),
        *(gzip.compress(idx(noise(70, 28, 28))[:-1]), gzip.compress(idx(noise(70, 28)))),
        gzip.compress(b"\0\0\x0d" + idx(noise(4, 4, 4))[3:] + bytes(3 * 64)),
        gzip.compress(b"\0\0\x0a" + idx(noise(4, 4, 4))[3:]),
        gzip.compress(noise(5000).tobytes())[:-8] + bytes(8),
        gzip.compress(b"")[:10] + b"\xff" * 100,
    ],
    ids=["empty", "no bytes", "text", "a byte less", "two dimensions"]
    + ["of floats", "of no type", "wrong CRC", "no deflate"],
)
def test_what_is_no_gzipped_idx_file_of_images_is_refused(
    body: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources, _ = MNIST.place(tmp_path, monkeypatch)
    (sources / MNIST_IMAGES).write_bytes(body)
    trust_mnist(sources, monkeypatch)
    assert refusal(Mnist(), tmp_path).startswith(f"{sources / MNIST_IMAGES} is damaged: ")


def test_a_pickle_inside_the_archive_with_another_checksum_is_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources, _ = CIFAR10.place(tmp_path, monkeypatch)
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "test_list", [["test_batch", "0" * 32]])
    assert f"{sources / CIFAR10.archive} is damaged: Dataset not found or corrupted" in refusal(Cifar10(), tmp_path)


@pytest.mark.parametrize(
    ("case", "where", "error", "expected"),
    [
        (CIFAR10, (tarfile.TarFile, "extractall"), OSError(errno.ENOSPC, "disk full"), PreparationError),
        (MNIST, (shutil, "copyfileobj"), OSError(errno.ENOSPC, "disk full"), PreparationError),
        (LSUN, (shutil, "copyfileobj"), OSError(errno.ENOSPC, "disk full"), PreparationError),
        (SVHN, (torchvision.datasets.SVHN, "__init__"), MemoryError("too large"), MemoryError),
    ],
    ids=str,
)
def test_a_full_disk_or_memory_is_not_blamed_on_the_file(
    case: Case, where: tuple[Any, str], error: Exception, expected: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise error

    case.place(tmp_path, monkeypatch)
    monkeypatch.setattr(*where, fail)
    with pytest.raises(expected, match="no space left|too large") as raised:
        case.dataset.prepare(tmp_path, Preparation())
    assert "damaged" not in str(raised.value)


CUT_JPEG = encoded(Image.new("RGB", (178, 218), "red"), "JPEG")[:-200]


def test_faces_that_cannot_be_read_are_named_or_left_out_with_their_attributes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = {"000003.jpg": CUT_JPEG, "000031.jpg": b"no image", "000070.jpg": None}
    _, parts = CELEBA.place(tmp_path, monkeypatch, damaged=damaged)
    message = refusal(CelebA(), tmp_path)
    assert "because of 3 of 70 images, unreadable: 000003.jpg: image file is truncated" in message
    assert "000031.jpg: it is no image" in message and "000070.jpg: " in message
    assert message.endswith("or leave them out: benchsuite prepare celeba --skip-bad")
    told: list[str] = []
    train, test = loaded(CelebA(split="official"), tmp_path, skip_bad=True, say=told.append)
    assert len(told) == 1 and "celeba: left out 3 of 70 images, unreadable: 000003.jpg: " in told[0]
    assert train.labels is not None and test.labels is not None
    assert train.labels.tolist() == np.delete(parts["train"][1], [2, 30], axis=0).tolist()
    assert test.labels.tolist() == parts["test"][1][:-1].tolist()
    manifest = read_manifest(CelebA().store_folder(tmp_path))
    assert manifest is not None and manifest.skipped == 3


def test_a_face_with_a_wrong_sum_inside_the_zip_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources, parts = CELEBA.place(tmp_path, monkeypatch)
    archive = sources / "img_align_celeba.zip"
    body = archive.read_bytes()
    where = body.index(parts["train"][0][4]) + 100
    archive.write_bytes(body[:where] + bytes([body[where] ^ 1]) + body[where + 1 :])
    trust_celeba(sources, monkeypatch)
    assert "1 of 70 images, unreadable: 000005.jpg: Bad CRC-32" in refusal(CelebA(), tmp_path)


def test_tables_that_do_not_name_the_same_faces_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources, _ = CELEBA.place(tmp_path, monkeypatch)
    table = sources / "list_eval_partition.txt"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:-1]))
    trust_celeba(sources, monkeypatch)
    assert "list_eval_partition.txt and list_attr_celeba.txt" in refusal(CelebA(), tmp_path)


# LSUN ----------------------------------------------------------------------------------------------------------------


def lsun_folders(cache: Path, images: list[bytes]) -> list[bytes]:
    """Databases without zips, of ``images`` and of one for validation; returns the images in the order of keys."""
    sources = cache / "sources" / "lsun"
    write_lmdb(sources / "bedroom_val_lmdb", [encoded(noise(40, 50, 3, seed=99))])
    return write_lmdb(sources / "bedroom_train_lmdb", images)


def test_a_database_is_unpacked_beside_its_zip_once_and_found_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources, _ = LSUN.place(tmp_path, monkeypatch)
    first = pixels(loaded(Lsun(), tmp_path)[0])
    database = sources / "bedroom_train_lmdb" / "data.mdb"
    unpacked = database.stat().st_mtime_ns
    for path in sources.glob("*.zip"):
        path.unlink()
    assert np.array_equal(pixels(loaded(Lsun(), tmp_path, again=True)[0]), first)
    assert loaded(Lsun(size=16), tmp_path)[0].shape == (3, 16, 16)
    assert database.stat().st_mtime_ns == unpacked


def test_a_database_is_unpacked_once_where_two_sizes_are_prepared_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources, _ = LSUN.place(tmp_path, monkeypatch)
    unpacked, copy = [], shutil.copyfileobj

    def slowly(*arguments: Any) -> None:
        unpacked.append(arguments)
        time.sleep(0.3)
        copy(*arguments)

    monkeypatch.setattr(shutil, "copyfileobj", slowly)
    from benchsuite_plugins.datasets.lsun import _unpacked

    threads = [threading.Thread(target=_unpacked, args=(sources, "bedroom_train_lmdb")) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(unpacked) == 1


def test_every_scene_has_its_own_files_and_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    LSUN.place(tmp_path, monkeypatch, scene="church_outdoor")
    churches = Lsun(scene="church_outdoor")
    assert sum(map(len, loaded(churches, tmp_path))) == 60
    assert churches.store_folder(tmp_path) != Lsun().store_folder(tmp_path)
    with pytest.raises(ParameterError):
        Lsun(scene="cathedral")


def test_photographs_that_cannot_be_read_are_named_by_their_keys_or_left_out(tmp_path: Path) -> None:
    good = [encoded(noise(40, 50, 3, seed=n)) for n in range(43)]
    ordered = lsun_folders(tmp_path, [*good, b"no image", CUT_JPEG])
    bad = [lsun_key(number) for number, body in enumerate(ordered) if body in (b"no image", CUT_JPEG)]
    message = refusal(Lsun(), tmp_path)
    assert "because of 2 of 46 images, unreadable: " in message
    assert all(f"{key}: " in message for key in bad)
    train, test = loaded(Lsun(split="official"), tmp_path, skip_bad=True)
    assert (len(train), len(test)) == (43, 1)


def damage_packed(path: Path, where: int) -> None:
    """Four wrong bytes in what is packed in a zip's first member, behind its header, name and other fields."""
    body = bytearray(path.read_bytes())
    where += 30 + sum(struct.unpack("<HH", body[26:30]))
    body[where : where + 4] = b"\xff" * 4
    path.write_bytes(body)


def test_a_zip_whose_database_does_not_unpack_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources, _ = LSUN.place(tmp_path, monkeypatch)
    path = sources / LSUN.archive
    for where in (0, 1000):
        damage_packed(path, where)
        assert refusal(Lsun(), tmp_path).startswith(f"{path} is damaged: ")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("bedroom_train_lmdb/lock.mdb", b"")
    assert f"{path} is damaged: " in refusal(Lsun(), tmp_path)


PREPARE_EACH = """
import shutil, sys
from pathlib import Path
from benchsuite import Preparation, PreparationError
from benchsuite_plugins.datasets.lsun import Lsun
cache = Path(sys.argv[1])
path = cache / "sources" / "lsun" / "bedroom_train_lmdb" / "data.mdb"
for damaged in sys.argv[2:]:
    shutil.copy(damaged, path)
    try:
        Lsun().prepare(cache, Preparation())
    except PreparationError as error:
        print(Path(damaged).name, str(error).startswith(f"{path.parent} is damaged: "))
"""


def test_a_cut_off_or_damaged_database_is_refused_rather_than_read_until_the_process_dies(tmp_path: Path) -> None:
    """Cut off at several places, or with its first leaf turned into a page of another kind."""
    lsun_folders(tmp_path, [encoded(noise(20, 20, 3, seed=n)) for n in range(45)])
    body = (tmp_path / "sources" / "lsun" / "bedroom_train_lmdb" / "data.mdb").read_bytes()
    page, flags, leaf, overflow = os.sysconf("SC_PAGESIZE"), 10, 0x02, 0x04
    first_leaf = next(start for start in range(2 * page, len(body), page) if body[start + flags] == leaf)
    damaged = {"another kind": body[: first_leaf + flags] + bytes([overflow]) + body[first_leaf + flags + 1 :]}
    sizes = (0, 1, page, 2 * page - 1, 2 * page, 3 * page, len(body) // 2, len(body) - page, len(body) - 1)
    damaged |= {f"first {size}": body[:size] for size in sizes}
    for name, remains in damaged.items():
        (tmp_path / name).write_bytes(remains)
    command = [sys.executable, "-c", PREPARE_EACH, str(tmp_path), *(str(tmp_path / name) for name in damaged)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stdout) == (0, "".join(f"{name} True\n" for name in damaged)), ended.stderr


# Numpy archives ------------------------------------------------------------------------------------------------------


def saved(folder: Path, save: Callable[..., None] = np.savez, **arrays: Any) -> Npz:
    path = folder / "data.npz"
    save(path, **arrays)
    return Npz(path=str(path))


def all_of(dataset: Dataset, cache: Path) -> Bytes:
    """Every image in the order of the store."""
    train, test = map(pixels, loaded(dataset, cache, again=True))
    whole = np.empty((len(train) + len(test), *train.shape[1:]), np.uint8)
    held_out = np.arange(len(whole)) % 32 == 0
    whole[held_out], whole[~held_out] = test, train
    return whole


IMAGES = noise(70, 3, 9, 7)
GREY = noise(70, 1, 9, 7)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (IMAGES, IMAGES),
        (IMAGES.transpose(0, 2, 3, 1).copy(), IMAGES),
        (GREY, GREY),
        (GREY[:, 0], GREY),
        (GREY.transpose(0, 2, 3, 1).copy(), GREY),
        (GREY.astype(np.int64), GREY),
        (GREY.astype(">u2"), GREY),
        (GREY > 127, (GREY > 127) * np.uint8(255)),
        (GREY / 255, GREY),
        (GREY.astype(np.float16) / np.float16(255), GREY),
        (np.random.default_rng(0).random((70, 9, 7), np.float32)[:, None], None),
    ],
    ids=["NCHW", "NHWC", "N1HW", "NHW", "NHW1", "int64", "big-endian", "bool", "float64", "float16", "rounded"],
)
def test_arrays_of_images_are_read_as_they_are_whole_or_in_pieces(
    array: NDArray[Any], expected: Bytes | None, save: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = saved(tmp_path, save, images=array, labels=np.arange(70))
    whole = all_of(dataset, tmp_path)
    assert np.array_equal(whole, np.rint(array.astype(float) * 255) if expected is None else expected)
    monkeypatch.setattr(arrays, "PIECE_BYTES", 11 * array[0].nbytes + 1)  # six of eleven images and one of four
    assert np.array_equal(all_of(dataset, tmp_path), whole)
    assert dataset.load("test", tmp_path).labels.tolist() == [0, 32, 64]


@pytest.mark.parametrize("names", [("x_{}", "y_{}"), ("{}_images", "{}_labels")], ids=["Keras", "MedMNIST"])
@pytest.mark.parametrize("column", [False, True], ids=["labels (N,)", "labels (N, 1)"])
def test_parts_are_found_by_their_usual_names(names: tuple[str, str], column: bool, tmp_path: Path) -> None:
    labels = np.arange(70) % 5
    of_part = {"test": slice(60, 70), "val": slice(50, 60), "train": slice(50)}
    arrays = {names[0].format(part): GREY[rows] for part, rows in of_part.items()}
    given = labels[:, None] if column else labels
    arrays |= {names[1].format(part): given[rows].astype(np.uint8) for part, rows in of_part.items()}
    dataset = saved(tmp_path, **arrays)
    assert np.array_equal(all_of(dataset, tmp_path), GREY)
    for part, samples in zip(("train", "test"), loaded(replace(dataset, split="official"), tmp_path), strict=True):
        assert np.array_equal(pixels(samples), GREY[of_part[part]])
        assert samples.labels is not None
        assert samples.labels.tolist() == labels[of_part[part]].tolist()
        assert samples.n_classes == 5


@pytest.mark.parametrize(
    ("images", "labels"), [("images", "labels"), ("x", "y"), ("data", "labels"), ("arr_0", "arr_1")]
)
def test_one_array_of_all_images_is_found_by_its_usual_names(images: str, labels: str, tmp_path: Path) -> None:
    dataset = saved(tmp_path, **{labels: np.arange(70), images: GREY})
    train, test = loaded(dataset, tmp_path)
    assert train.labels is not None and test.labels is not None
    assert (len(train.labels), test.labels.tolist()) == (67, [0, 32, 64])
    with pytest.raises(ParameterError, match="split='official' is not allowed, .* has no split of its own"):
        replace(dataset, split="official").content(tmp_path)


def test_labels_may_be_several_attributes_or_missing(tmp_path: Path) -> None:
    attributes = np.random.default_rng(0).integers(0, 2, (70, 14))
    _, test = loaded(saved(tmp_path, x=GREY, y=attributes), tmp_path)
    assert test.labels is not None and test.n_classes is None
    assert test.labels.tolist() == attributes[::32].tolist()
    assert loaded(saved(tmp_path, x=GREY), tmp_path)[0].labels is None


BAD = GREY.astype(float) / 255
BAD[50, 0, 0, 0] = np.nan


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": GREY.astype(float)}, r"x holds values from 0.0 to 255.0; floats are in \[0, 1\]; scale them"),
        ({"x": -GREY.astype(int)}, "x holds values from -255 to 0; whole numbers are 0 to 255"),
        ({"x": GREY.astype(int) + 1}, "x holds values from 1 to 256"),
        ({"x": BAD}, "x holds values from nan to nan"),
        ({"x": np.where(np.isnan(BAD), np.inf, BAD)}, "x holds values from 0.0 to inf"),
        ({"x": GREY.astype(object)}, "x holds object; images are whole numbers or floats"),
        ({"x": GREY.astype(complex)}, "x holds complex128"),
        ({"x": GREY.astype("U3")}, "x holds <U3"),
        ({"x": np.asfortranarray(GREY)}, "x is stored by columns; save it with np.ascontiguousarray"),
        ({"x": GREY[0, 0]}, r"x has shape \(9, 7\); images are \(N, H, W\)"),
        ({"x": noise(70, 4, 9, 7)}, r"x has shape \(70, 4, 9, 7\)"),
        ({"x": noise(70, 0, 7)}, r"x has shape \(70, 0, 7\), and so no pixels"),
        ({"x": GREY[:0]}, "it has no images"),
        ({"pictures": GREY, "classes": np.arange(70)}, "its arrays are pictures, classes; images are found as x_train"),
        ({}, "its arrays are none"),
        ({"x_train": GREY, "x_test": IMAGES}, r"its images have different shapes: \(1, 9, 7\), \(3, 9, 7\)"),
        ({"x": GREY, "y": np.arange(69)}, r"y is int64 \(69,\); labels are whole numbers, one for each image"),
        ({"x": GREY, "y": np.array(3)}, r"y is int64 \(\)"),
        ({"x": GREY, "y": np.zeros(70)}, r"y is float64 \(70,\)"),
        ({"x": GREY, "y": np.full(70, "cat")}, r"y is <U3 \(70,\)"),
        ({"x": GREY, "y": np.full(70, "cat", object)}, "Object arrays cannot be loaded"),
        ({"x": GREY, "y": np.arange(70) - 1}, "y holds -1 to 68; classes count from 0"),
        ({"x": GREY, "y": np.full((70, 2), 2)}, "y holds 2 to 2; .* attributes are 0 or 1"),
        (
            {"x_train": GREY, "y_train": np.arange(70), "x_test": GREY},
            "labels are of one kind for all of x_train, x_te",
        ),
    ],
)
def test_arrays_that_are_no_images_or_labels_are_refused_with_what_is_wrong(
    arrays: dict[str, Any], message: str, tmp_path: Path
) -> None:
    dataset = saved(tmp_path, **arrays)
    refused = refusal(dataset, tmp_path)
    assert refused.startswith(f"{dataset.path} cannot be read: ")
    assert re.search(message, refused), refused


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def replaced_by_text(path: Path) -> None:
    path.write_text("x, y")


def replaced_by_one_array(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, GREY)


def with_a_wrong_sum(path: Path) -> None:
    """In the middle of the one member, whose numbers are stored as they are."""
    one_bit_flipped(path)


def with_half_an_array(path: Path) -> None:
    """A whole archive, whose member has fewer bytes than its header says."""
    with zipfile.ZipFile(path) as archive:
        body = archive.read("x.npy")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", body[: len(body) // 2])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (Path.unlink, "\\[Errno 2\\] No such file"),
        (cut_off, "File is not a zip file"),
        (emptied, "it is no archive of arrays; make one with np.savez"),
        (replaced_by_text, "it is no archive of arrays"),
        (replaced_by_one_array, "it is no archive of arrays"),
        (with_a_wrong_sum, "Bad CRC-32 for file 'x.npy'"),
        (with_half_an_array, r"x is cut off: uint8 of shape \(70, 1, 9, 7\) needs 4410 bytes, and there are 2"),
    ],
)
def test_damaged_archives_are_refused_by_name(damage: Callable[[Path], None], message: str, tmp_path: Path) -> None:
    dataset = saved(tmp_path, x=GREY)
    damage(Path(dataset.path))
    assert re.match(f"{re.escape(dataset.path)} cannot be read: {message}", refusal(dataset, tmp_path))


def marked(path: Path, local: int, central: int, value: int) -> None:
    """Write ``value`` where zip files have it for each member, before its bytes and in the table at the end."""
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        members, entry = archive.infolist(), archive.start_dir
    for member in members:
        content[member.header_offset + local] = value
        content[entry + central] = value
        entry = content.find(b"PK\x01\x02", entry + 1)
    path.write_bytes(content)


def encrypted(path: Path) -> None:
    marked(path, 6, 8, 1)


def compressed_otherwise(path: Path) -> None:
    marked(path, 8, 10, 99)


def array_file(header: str, content: bytes = bytes(70 * 9 * 7)) -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + content


def with_array(name: str, body: bytes, compression: int = zipfile.ZIP_STORED) -> Callable[[Path], None]:
    """Put ``body`` in place of an array of the archive."""

    def damage(path: Path) -> None:
        with zipfile.ZipFile(path) as archive:
            bodies = {member: archive.read(member) for member in archive.namelist()} | {f"{name}.npy": body}
        with zipfile.ZipFile(path, "w", compression) as archive:
            for member, content in bodies.items():
                archive.writestr(member, content)

    return damage


# What stands where the header of an array does, and what is said of it.
BAD_HEADERS = {
    "{'descr': '|u1', 'fortran_order': False, 'shape': (70, 9": "cannot be read: TokenError",
    "{'descr': 'u1,(', 'fortran_order': False, 'shape': (70, 9, 7)}": "cannot be read: SyntaxError",
    "{1: 2, 'shape': (70, 9, 7)}": "cannot be read: TypeError",
    "-" * 5000 + "1": "cannot be read: RecursionError",
    "words": "malformed node or string",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (-70, 9, 7)}": r"has shape \(-70, 9, 7\)",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (10000000000000, 8, 8)}": (
        r"is cut off: uint8 of shape \(10000000000000, 8, 8\) needs 640000000000000 bytes, and there are 4410"
    ),
    "{'descr': '|u1', 'fortran_order': False, 'shape': (70, 9, 8)}": "is cut off: uint8 .* 5040 bytes, .* 4410",
}
# What is done to an archive, and what is said of it.
UNREADABLE: dict[str, tuple[Callable[[Path], None], str]] = {
    "encrypted": (encrypted, "cannot be read: RuntimeError: .*encrypted"),
    "compressed in an unknown way": (compressed_otherwise, "cannot be read: NotImplementedError: .*compress"),
    "no numpy file": (with_array("x", b"words, words"), "the magic string is not correct"),
    "nothing": (with_array("x", b""), "EOF"),
    **{header[:70]: (with_array("x", array_file(header)), message) for header, message in BAD_HEADERS.items()},
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_archives_that_cannot_be_read_are_refused_by_name_whatever_reading_raises(case: str, tmp_path: Path) -> None:
    dataset = saved(tmp_path, x=GREY)
    damage, message = UNREADABLE[case]
    damage(Path(dataset.path))
    assert re.match(f"{re.escape(dataset.path)} cannot be read: .*({message})", refusal(dataset, tmp_path))


@pytest.mark.parametrize("header", BAD_HEADERS)
def test_labels_that_cannot_be_read_are_refused_by_name(header: str, tmp_path: Path) -> None:
    dataset = saved(tmp_path, x=GREY, y=np.arange(70))
    with_array("y", array_file(header))(Path(dataset.path))
    refused = refusal(dataset, tmp_path)
    assert re.match(f"{re.escape(dataset.path)} cannot be read: .*({BAD_HEADERS[header]})", refused)


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("name", ["x", "y"])
def test_rare_compressions_are_read_and_damage_in_them_is_refused_by_name(
    compression: int, name: str, tmp_path: Path
) -> None:
    whole = saved(tmp_path, x=GREY, y=np.arange(70))
    with zipfile.ZipFile(whole.path) as archive:
        body = archive.read(f"{name}.npy")
    with_array(name, body, compression)(Path(whole.path))
    assert np.array_equal(all_of(whole, tmp_path / "cache"), GREY)
    with zipfile.ZipFile(whole.path) as archive:
        member = archive.getinfo(f"{name}.npy")
    content = bytearray(Path(whole.path).read_bytes())
    middle = member.header_offset + 30 + len(member.filename) + member.compress_size // 2
    content[middle : middle + 8] = bytes(8)
    Path(whole.path).write_bytes(content)
    assert refusal(whole, tmp_path / "again").startswith(f"{whole.path} cannot be read: ")


def test_a_compressed_archive_with_wrong_bytes_is_refused(tmp_path: Path) -> None:
    dataset = saved(tmp_path, np.savez_compressed, x=GREY)
    for where in (1000, 0):
        damage_packed(Path(dataset.path), where)
        assert refusal(dataset, tmp_path).startswith(f"{dataset.path} cannot be read: ")


def test_an_archive_much_larger_than_a_piece_is_never_held_whole(tmp_path: Path) -> None:
    size = 300 * 2**20
    dataset = saved(tmp_path, np.savez_compressed, images=np.zeros((size // 2**16, 256, 256), np.uint8))
    tracemalloc.start()
    try:
        dataset.prepare(tmp_path, Preparation())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert dataset.load("test", tmp_path).shape == (1, 256, 256)
    store = dataset.store_folder(tmp_path) / "images.npy"
    assert store.stat().st_size > size
    store.unlink()
    assert arrays.PIECE_BYTES < peak < size / 2


def test_the_fingerprint_of_an_archive_is_that_of_its_images_parts_and_labels(tmp_path: Path) -> None:
    def content(**arrays: Any) -> str:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        dataset = saved(folder, **arrays)
        dataset.prepare(tmp_path, Preparation())
        return dataset.content(tmp_path)

    labels = np.arange(70) % 5
    same = [content(images=GREY), content(x=GREY[:, 0]), content(arr_0=GREY.astype(int))]
    others = [
        *(content(images=GREY[:-1]), content(images=GREY ^ 1), content(images=GREY.reshape(70, 1, 7, 9))),
        *(content(images=IMAGES), content(images=IMAGES.reshape(210, 1, 9, 7))),
        *(content(x=GREY, y=labels), content(x=GREY, y=labels[::-1])),
        *(content(x_train=GREY[:60], x_test=GREY[60:]), content(x_train=GREY[:60], x_val=GREY[60:])),
    ]
    assert len(set(same)) == 1
    assert len({same[0], *others}) == 1 + len(others)


def test_an_archive_that_was_written_again_has_to_be_prepared_again(tmp_path: Path) -> None:
    dataset = saved(tmp_path, x=GREY)
    dataset.prepare(tmp_path, Preparation())
    before = dataset.content(tmp_path)
    saved(tmp_path, x=GREY[:40])
    with pytest.raises(DataMissingError, match=r"has changed since it was prepared; run: benchsuite prepare 'npz\["):
        dataset.content(tmp_path)
    assert sum(map(len, loaded(dataset, tmp_path))) == 40
    assert dataset.content(tmp_path) != before


# Patches -------------------------------------------------------------------------------------------------------------


def test_patches_are_slices_of_the_two_photographs_with_their_classes(tmp_path: Path) -> None:
    photographs = load_sample_images().images
    train, test = loaded(Patches(), tmp_path)
    assert (len(train), len(test), train.shape) == (5200, 104, (3, 32, 32))
    for samples, starts, stride in ((train, (0, 104), 8), (test, (128, 129), 32)):
        assert (samples.n_classes, samples.label_names) == (2, ("china", "flower"))
        slices, labels = [], []
        for label, photograph in enumerate(photographs):
            for strip in range(0, 640, 160):
                for top in range(0, 427 - 31, stride):
                    for left in range(*starts, stride):
                        slices.append(photograph[top : top + 32, strip + left : strip + left + 32])
                        labels.append(label)
        assert samples.labels is not None
        assert samples.labels.tolist() == labels
        assert np.array_equal(pixels(samples).transpose(0, 2, 3, 1), np.stack(slices))


@pytest.mark.parametrize(("height", "width", "stride"), [(427, 640, 8), (100, 401, 5), (40, 270, 1), (32, 256, 100)])
def test_no_pixel_of_a_test_patch_is_in_a_training_patch(height: int, width: int, stride: int) -> None:
    numbered = torch.arange(height * width).view(1, height, width)
    tested, trained = (Patches(stride=stride)._cut(numbered, split).unique() for split in ("test", "train"))
    assert len(tested) >= 4 * 32 * 32 and len(trained) >= 4 * 32 * 32
    assert not torch.isin(tested, trained).any()


def test_smaller_patches_are_means_of_squares_of_pixels(tmp_path: Path) -> None:
    whole, _ = loaded(Patches(stride=64), tmp_path)
    half, test = loaded(Patches(stride=64, size=16), tmp_path)
    assert (len(half), len(test), half.shape) == (len(whole), 104, (3, 16, 16))
    squares = pixels(whole).astype(float).reshape(-1, 3, 16, 2, 16, 2).mean((3, 5))
    assert np.abs(pixels(half) - squares).max() <= 0.5
    with pytest.raises(ParameterError, match="size=20 is not allowed; it divides 32"):
        Patches(size=20)
