"""Small files in the true formats of published datasets and of images, for tests to read.

``write_...`` make the files of a dataset and return its parts in their order. ``trust_...`` put the checksums of the
files that lie in a folder in the place of those that torchvision knows, be the files whole or not. ``loaded``,
``pixels`` and ``refusal`` are what a dataset makes of them.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import pickle
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
import pytest
import scipy.io
from numpy.typing import NDArray
from PIL import Image
from torchvision import datasets as torchvision_datasets
from torchvision.datasets import CIFAR10, SVHN, CelebA

from benchsuite import Dataset, Preparation, Samples
from benchsuite.errors import DataMissingError, PreparationError

Bytes = NDArray[np.uint8]
Parts = dict[str, tuple[Any, Any]]  # images and labels of each

CELEBA_WIDTH, CELEBA_HEIGHT = 178, 218
CELEBA_ATTRIBUTES = tuple(f"Attribute_{number}" for number in range(40))
_CELEBA_TRAIN, _LSUN_TRAIN = 45, 45
_SIZES = {"train": 70, "test": 30, "extra": 20}


def noise(*shape: int, seed: int = 0) -> Bytes:
    """Bytes of which no two rows are alike."""
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def encoded(image: Image.Image | Bytes, format: str = "PNG", **options: Any) -> bytes:
    """An image file."""
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, format, **options)
    return file.getvalue()


def png_of_16_bits(pixels: NDArray[np.uint16]) -> bytes:
    """A PNG file of (H, W, 3), which Pillow cannot write: signature, header, rows that each begin with a 0, end."""
    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0),
        b"IDAT": zlib.compress(rows),
        b"IEND": b"",
    }
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks.items()
    )


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def _labelled(part: str, shape: tuple[int, ...]) -> tuple[Bytes, NDArray[np.int64]]:
    """As many images as the part has, with labels from 0 to 9, every one of them."""
    count, seed = _SIZES[part], list(_SIZES).index(part)
    return noise(count, *shape, seed=seed), np.random.default_rng(seed).permutation(np.arange(count) % 10)


def idx(array: NDArray[Any]) -> bytes:
    """LeCun's format: two zeros, 8 for bytes, how many dimensions, each of them, all big-endian, and the bytes."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def write_mnist(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Parts:
    """Four gzipped idx files, with images (N, 28, 28)."""
    parts: Parts = {part: _labelled(part, (28, 28)) for part in ("train", "test")}
    for stem, (images, labels) in zip(("train", "t10k"), parts.values(), strict=True):
        (folder / f"{stem}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
        (folder / f"{stem}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(labels)))
    return parts


def trust_mnist(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for reader in (torchvision_datasets.MNIST, torchvision_datasets.FashionMNIST):
        trusted = [(name, md5(folder / name)) for name, _ in reader.resources]
        monkeypatch.setattr(reader, "resources", trusted)


def write_svhn(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Parts:
    """Three MATLAB files with X (32, 32, 3, N) and y (N, 1), where 10 stands for the digit 0; parts (N, 3, 32, 32)."""
    parts: Parts = {part: _labelled(part, (3, 32, 32)) for part in ("train", "test", "extra")}
    for part, (images, labels) in parts.items():
        digits = np.where(labels == 0, 10, labels).astype(np.uint8)
        content = {"X": images.transpose(2, 3, 1, 0), "y": digits[:, None]}
        scipy.io.savemat(folder / f"{part}_32x32.mat", content, do_compression=True)
    return parts


def trust_svhn(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trusted = {part: [url, name, md5(folder / name)] for part, (url, name, _) in SVHN.split_list.items()}
    monkeypatch.setattr(SVHN, "split_list", trusted)


def write_cifar10(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Parts:
    """A tar.gz of pickles: five training batches, a test batch and the names; torchvision knows each one's checksum."""
    parts: Parts = {part: _labelled(part, (3, 32, 32)) for part in ("train", "test")}
    rows = {f"data_batch_{number}": ("train", np.arange(14 * number - 14, 14 * number)) for number in range(1, 6)}
    rows["test_batch"] = ("test", np.arange(30))
    members: dict[str, Any] = {"batches.meta": {"label_names": CIFAR10_NAMES, "num_cases_per_batch": 14}}
    for name, (part, chosen) in rows.items():
        images, labels = parts[part]
        members[name] = {"data": images[chosen].reshape(len(chosen), -1), "labels": labels[chosen].tolist()}
    checksums = {}
    with tarfile.open(folder / CIFAR10.filename, "w:gz") as archive:
        for name, content in members.items():
            body = pickle.dumps(content, protocol=2)
            checksums[name] = hashlib.md5(body).hexdigest()
            entry = tarfile.TarInfo(f"{CIFAR10.base_folder}/{name}")
            entry.size = len(body)
            archive.addfile(entry, io.BytesIO(body))
    for table in ("train_list", "test_list"):
        monkeypatch.setattr(CIFAR10, table, [[name, checksums[name]] for name, _ in getattr(CIFAR10, table)])
    monkeypatch.setattr(CIFAR10, "meta", CIFAR10.meta | {"md5": checksums["batches.meta"]})
    return parts


CIFAR10_NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def trust_cifar10(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CIFAR10, "tgz_md5", md5(folder / CIFAR10.filename))


def write_celeba(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    damaged: Mapping[str, bytes | None] | None = None,
    train: int = _CELEBA_TRAIN,
) -> Parts:
    """A zip of JPEGs (``damaged`` ones replaced, None for left out), the attributes in 1 and -1, and the partition."""
    parts: Parts = {}
    names: list[str] = []
    partition, rows = [], []
    with zipfile.ZipFile(folder / "img_align_celeba.zip", "w") as archive:
        for number, (part, count) in enumerate({"train": train, "valid": 10, "test": 15}.items()):
            attributes = np.random.default_rng(number).integers(0, 2, (count, 40))
            parts[part] = ([], attributes)
            for row in attributes:
                names.append(f"{len(names) + 1:06d}.jpg")
                small = Image.fromarray(noise(11, 9, 3, seed=len(names)))
                body: bytes | None = encoded(small.resize((CELEBA_WIDTH, CELEBA_HEIGHT)), "JPEG")
                parts[part][0].append(body)
                body = (damaged or {}).get(names[-1], body)
                if body is not None:
                    archive.writestr(f"img_align_celeba/{names[-1]}", body)
                partition.append(f"{names[-1]} {number}")
                rows.append(f"{names[-1]} " + " ".join(f"{2 * value - 1:2d}" for value in row))
    header = [str(len(names)), " ".join(CELEBA_ATTRIBUTES) + " "]
    (folder / "list_attr_celeba.txt").write_text("\n".join([*header, *rows, ""]))
    (folder / "list_eval_partition.txt").write_text("\n".join([*partition, ""]))
    return parts


def trust_celeba(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other tables, which torchvision's reader wants and ours does not, keep their checksums."""
    trusted = [
        (id_, md5(folder / name) if (folder / name).exists() else known, name) for id_, known, name in CelebA.file_list
    ]
    monkeypatch.setattr(CelebA, "file_list", trusted)


def write_lmdb(folder: Path, values: Sequence[bytes]) -> list[bytes]:
    """A database with keys that look random, as LSUN's do; returns the values in the order of their keys."""
    keyed = sorted((hashlib.sha1(str(number).encode()).hexdigest().encode(), v) for number, v in enumerate(values))
    folder.mkdir(parents=True)
    with lmdb.open(str(folder), map_size=2**24) as database, database.begin(write=True) as writing:
        for key, value in keyed:
            writing.put(key, value)
    return [value for _, value in keyed]


def lsun_key(number: int) -> str:
    """The key of the value that stands at ``number`` in the order of keys, of a database with 45."""
    return sorted(hashlib.sha1(str(n).encode()).hexdigest() for n in range(45))[number]


def write_lsun(
    folder: Path, monkeypatch: pytest.MonkeyPatch, scene: str = "bedroom", train: int = _LSUN_TRAIN
) -> Parts:
    """Two zips, each with a folder of a database of WebP images of several sizes."""
    parts: Parts = {}
    for part, (name, count) in {"train": ("train", train), "test": ("val", 15)}.items():
        sizes = np.random.default_rng(count).integers(64, 100, (count, 2))
        images = [encoded(noise(*size, 3, seed=n), "WEBP", lossless=True) for n, size in enumerate(sizes)]
        database = folder / "made" / f"{scene}_{name}_lmdb"
        parts[part] = (write_lmdb(database, images), None)
        with zipfile.ZipFile(folder / f"{database.name}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for file in ("data.mdb", "lock.mdb"):
                archive.write(database / file, f"{database.name}/{file}")
                (database / file).unlink()
        database.rmdir()
    (folder / "made").rmdir()
    return parts


def trust_lsun(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody publishes checksums."""


def pixels(samples: Samples) -> Bytes:
    """The bytes that samples were stored as."""
    return np.rint(samples[:].numpy() * 255).astype(np.uint8)


def loaded(dataset: Dataset, cache: Path, **work: Any) -> tuple[Samples, Samples]:
    """The training and test samples, prepared first."""
    dataset.prepare(cache, Preparation(**work))
    return dataset.load("train", cache), dataset.load("test", cache)


def refusal(dataset: Dataset, cache: Path, **work: Any) -> str:
    """Why the dataset cannot be prepared; nothing that passes for it may be left."""
    with pytest.raises(PreparationError) as error:
        dataset.prepare(cache, Preparation(**work))
    with pytest.raises(DataMissingError, match="is not in the cache; run: benchsuite prepare "):
        dataset.content(cache)
    assert [path.name for path in (cache / "prepared").iterdir() if path.suffix != ".lock"] == []
    return str(error.value)
