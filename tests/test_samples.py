"""Samples come out as the rows that went in, as float32, in the order asked for."""

from __future__ import annotations

import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from benchsuite.kit.samples import Reconstructions, Samples, evenly_spaced, held_out_rows, random_rows

IMAGES = torch.randint(0, 256, (23, 3, 4, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
VECTORS = torch.randn(23, 7, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(23) % 4


def numbered(n: int) -> Samples:
    """Vectors that say which row they are."""
    return Samples(torch.arange(n, dtype=torch.float32)[:, None])


def test_every_byte_survives_the_way_to_floats_and_back() -> None:
    every = torch.arange(256, dtype=torch.uint8).view(4, 1, 8, 8)
    out = Samples(every)[:]
    assert out.dtype == torch.float32
    assert (float(out.min()), float(out.max())) == (0.0, 1.0)
    assert torch.equal((out * 255).round().to(torch.uint8), every)
    assert np.array_equal(out.numpy(), every.numpy().astype(np.float32) / np.float32(255))


def test_vectors_and_computed_images_come_out_unchanged() -> None:
    assert torch.equal(Samples(VECTORS)[:], VECTORS)
    images = VECTORS[:, :6].reshape(23, 1, 2, 3)
    assert torch.equal(Samples(images)[:], images)


def test_images_and_vectors_know_their_kind_and_shape() -> None:
    images, vectors = Samples(IMAGES, LABELS), Samples(VECTORS)
    assert (images.kind, images.shape, len(images), images.n_classes) == ("image", (3, 4, 5), 23, 4)
    assert (vectors.kind, vectors.shape, len(vectors), vectors.n_classes) == ("vector", (7,), 23, None)


@given(st.data(), st.integers(1, 40))
@settings(deadline=None)
def test_an_index_picks_the_rows_that_it_would_pick_from_an_array(data: st.DataObject, n: int) -> None:
    samples, rows = numbered(n), np.arange(n, dtype=np.float32)[:, None]
    index = data.draw(st.lists(st.integers(0, n - 1), max_size=50))
    picked = rows[np.array(index, dtype=int)]
    assert np.array_equal(samples[index].numpy(), picked)
    assert np.array_equal(samples[torch.tensor(index, dtype=torch.long)].numpy(), picked)
    where = data.draw(st.slices(n).filter(lambda s: s.step is None or s.step > 0))
    assert np.array_equal(samples[where].numpy(), rows[where])


@given(st.integers(0, 60), st.integers(1, 70))
@settings(deadline=None)
def test_batches_are_all_rows_in_order(n: int, size: int) -> None:
    batches = list(numbered(n).batches(size))
    assert [len(b) for b in batches] == [size] * (n // size) + [n % size] * (n % size > 0)
    assert torch.cat([*batches, torch.zeros(0, 1)]).flatten().tolist() == list(range(n))


def test_a_mask_picks_the_rows_where_it_is_true() -> None:
    mask = LABELS == 3
    assert torch.equal(Samples(VECTORS)[mask], VECTORS[mask])


@pytest.mark.parametrize("index", [[23], torch.tensor([100])])
def test_a_row_that_is_not_there_is_refused(index: list[int] | Tensor) -> None:
    with pytest.raises(IndexError):
        Samples(VECTORS)[index]


@pytest.mark.parametrize("data", [IMAGES, VECTORS])
@pytest.mark.parametrize("index", [slice(0, 5), [0, 1, 2], torch.tensor([3, 4])])
def test_changing_what_was_handed_out_leaves_the_samples_alone(data: Tensor, index: slice | list[int] | Tensor) -> None:
    samples = Samples(data.clone())
    before = samples[:].clone()
    samples[index].fill_(7)
    assert torch.equal(samples[:], before)


def test_a_subset_keeps_its_labels_and_its_bytes() -> None:
    chosen = Samples(IMAGES, LABELS).subset(torch.tensor([20, 3, 3]))
    assert torch.equal(chosen[:], Samples(IMAGES)[[20, 3, 3]])
    assert chosen.labels is not None
    assert chosen.labels.tolist() == [0, 3, 3]


@pytest.mark.parametrize(
    ("data", "labels", "message"),
    [
        (IMAGES.double(), None, "samples are uint8 or float32; got torch.float64"),
        (IMAGES[0], None, "samples have shape .* got \\(3, 4, 5\\)"),
        (IMAGES.flatten(1), None, "vectors are float32; got uint8"),
        (VECTORS, LABELS[:5], "23 samples need as many labels; got shape \\(5,\\)"),
        (VECTORS, LABELS[:, None, None], "23 samples need as many labels; got shape \\(23, 1, 1\\)"),
    ],
)
def test_data_of_another_form_are_refused(data: Tensor, labels: Tensor | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Samples(data, labels)


def test_reconstructions_come_beside_their_originals() -> None:
    reconstructed = Reconstructions(VECTORS + 1, Samples(VECTORS), "encoder")
    pairs = list(reconstructed.pairs(size=10))
    assert [len(x) for x, _ in pairs] == [10, 10, 3]
    for x, x_hat in pairs:
        assert torch.equal(x + 1, x_hat)


@given(st.integers(1, 3000), st.integers(1, 300))
@settings(deadline=None)
def test_evenly_spaced_rows_are_as_even_as_they_can_be(n: int, count: int) -> None:
    rows = evenly_spaced(n, count)
    assert len(rows) == min(n, count)
    assert int(rows[0]) == 0
    gaps = (torch.cat([rows, torch.tensor([n])])).diff()
    assert int(gaps.min()) >= 1
    assert int(gaps.max()) - int(gaps.min()) <= 1


@given(st.integers(0, 500), st.integers(1, 40))
@settings(deadline=None)
def test_every_row_is_either_for_training_or_for_testing(n: int, every: int) -> None:
    train, test = held_out_rows(n, every)
    assert sorted([*train.tolist(), *test.tolist()]) == list(range(n))
    assert test.tolist() == list(range(0, n, every))


def mapped(tmp_path: Path, images: Tensor = IMAGES, labels: Tensor | None = None) -> Samples:
    """The same images in a file that is mapped into memory, read-only."""
    np.save(tmp_path / "images.npy", images.numpy())
    data = np.load(tmp_path / "images.npy", mmap_mode="c")
    return Samples(torch.from_numpy(data), labels, mapped=True)


def streamed(samples: Samples, monkeypatch: pytest.MonkeyPatch) -> Samples:
    """As samples that are too large to stay in memory."""
    monkeypatch.setattr("benchsuite.kit.samples._CACHED_BYTES", 0)
    assert samples.streamed
    return samples


@pytest.mark.parametrize("index", [slice(None), slice(3, 17, 2), [4, 4, 0], torch.tensor([22, 1]), LABELS == 2])
def test_a_mapped_file_gives_the_same_rows_as_memory(tmp_path: Path, index: slice | list[int] | Tensor) -> None:
    assert torch.equal(mapped(tmp_path)[index], Samples(IMAGES)[index])
    rows = torch.tensor([5, 2, 2, 19, *range(19)])
    assert torch.equal(mapped(tmp_path).subset(rows)[index], Samples(IMAGES[rows])[index])


@given(st.lists(st.integers(0, 22), min_size=1), st.data())
@settings(deadline=None)
def test_a_subset_of_a_subset_is_the_rows_of_the_rows(first: list[int], data: st.DataObject) -> None:
    second = data.draw(st.lists(st.integers(0, len(first) - 1), min_size=1))
    samples = Samples(VECTORS, LABELS).subset(torch.tensor(first)).subset(torch.tensor(second))
    rows = torch.tensor(first)[torch.tensor(second)]
    assert torch.equal(samples[:], VECTORS[rows])
    assert samples.labels is not None and torch.equal(samples.labels, LABELS[rows])
    assert torch.equal(torch.cat(list(samples.batches(3))), VECTORS[rows])


def test_a_subset_shares_the_data(tmp_path: Path) -> None:
    data = VECTORS.clone()
    chosen = Samples(data).subset(torch.tensor([3, 4]))
    data[3] = 0
    assert float(chosen[0:1].abs().sum()) == 0


@pytest.mark.parametrize("size", [1, 4, 23, 100])
def test_what_is_read_ahead_is_what_is_read_on_demand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    samples = streamed(mapped(tmp_path), monkeypatch)
    assert torch.equal(torch.cat(list(samples.batches(size))), Samples(IMAGES)[:])
    indices = list(torch.split(torch.randperm(23), size))
    for index, x in zip(indices, samples.fetched(indices), strict=True):
        assert torch.equal(x, Samples(IMAGES)[index])


def test_rows_are_read_ahead_by_a_thread_only_where_they_are_streamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readers = []

    class Noting(Samples):
        def __getitem__(self, index: object) -> Tensor:
            readers.append(threading.current_thread())
            return super().__getitem__(index)  # type: ignore[index]

    samples = Noting(IMAGES, mapped=True)
    list(samples.batches(10))
    assert set(readers) == {threading.main_thread()}
    readers.clear()
    streamed(samples, monkeypatch)
    list(samples.batches(10))
    assert threading.main_thread() not in readers and len(readers) == 3


def test_reading_ahead_raises_where_the_row_would_have_come_and_can_be_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = streamed(mapped(tmp_path), monkeypatch)
    rows = samples.fetched([[0], [1], [99], [2]])
    assert torch.equal(next(rows), Samples(IMAGES)[[0]])
    assert torch.equal(next(rows), Samples(IMAGES)[[1]])
    with pytest.raises(IndexError):
        next(rows)
    threads = threading.active_count()
    for _ in samples.batches(1):
        break
    assert threading.active_count() <= threads


def test_a_file_can_be_mapped_read_only_and_is_never_written(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", IMAGES.numpy())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        samples = Samples(torch.from_numpy(np.load(tmp_path / "images.npy", mmap_mode="r")), mapped=True)
    for index in (slice(0, 5), [1, 2], torch.tensor([3])):
        samples[index].fill_(7)  # writing to the file would end the process
    assert torch.equal(samples[:], Samples(IMAGES)[:])


def test_attributes_are_labels_of_several_columns() -> None:
    attributes = torch.tensor([[0, 1, 1]]).repeat(23, 1)
    samples = Samples(IMAGES, attributes, label_names=("smiling", "male", "young"))
    assert samples.n_classes is None
    assert samples.label_names == samples.subset(torch.tensor([1])).label_names == ("smiling", "male", "young")
    assert samples.subset(torch.tensor([1, 2])).labels is not None
    assert Samples(IMAGES, LABELS, label_names=("a", "b", "c", "d", "e")).n_classes == 5


@pytest.mark.parametrize("count", [1, 7, 23])
def test_random_rows_are_rows_each_once_the_same_every_time(count: int) -> None:
    rows = random_rows(23, count)
    assert torch.equal(rows, random_rows(23, count))
    assert rows.tolist() == sorted(set(rows.tolist())) and len(rows) == count and int(rows.max()) < 23
    assert torch.equal(random_rows(23, 100), torch.arange(23))


def test_moving_to_the_processor_leaves_a_mapped_file_mapped(tmp_path: Path) -> None:
    samples = mapped(tmp_path, labels=LABELS)
    moved = samples.to(torch.device("cpu"))
    assert moved._data is samples._data and moved._mapped and torch.equal(moved[:], samples[:])


def test_a_subset_knows_of_the_classes_that_it_lacks() -> None:
    assert Samples(IMAGES, LABELS).subset(torch.tensor([0, 4])).n_classes == 4


@pytest.mark.parametrize("samples", [Samples(IMAGES), Samples(IMAGES).subset(torch.arange(23))])
@pytest.mark.parametrize("index", [[23], [-1], torch.ones(22, dtype=torch.bool), torch.ones(24, dtype=torch.bool)])
def test_whole_samples_and_subsets_refuse_the_same_rows(samples: Samples, index: list[int] | Tensor) -> None:
    with pytest.raises(IndexError):
        samples[index]
    with pytest.raises(IndexError):
        samples.subset(torch.as_tensor(index))


def test_a_mask_makes_a_subset() -> None:
    chosen = Samples(IMAGES, LABELS).subset(LABELS == 3)
    assert torch.equal(chosen[:], Samples(IMAGES)[LABELS == 3]) and set(chosen.labels.tolist()) == {3}  # type: ignore[union-attr]
    assert len(Samples(IMAGES).subset(torch.zeros(23, dtype=torch.bool))) == 0
