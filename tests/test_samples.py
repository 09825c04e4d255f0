"""Samples come out as the rows that went in, as float32, in the order asked for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from benchsuite.kit.samples import Reconstructions, Samples, evenly_spaced, held_out_rows

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
        (VECTORS, LABELS[:, None], "23 samples need as many labels; got shape \\(23, 1\\)"),
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
