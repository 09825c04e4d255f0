"""What a cell keeps to be looked at shows the data and the model, costs no score, and fails no cell."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from benchsuite import run, score
from benchsuite.harness import gallery
from benchsuite.harness.pictures import write_sheet
from benchsuite.harness.registry import load_registry
from benchsuite.kit.samples import Reconstructions, Samples, evenly_spaced


class Doubling(nn.Module):
    """Codes are the first two pixels of an image of four; the prior is uniform."""

    class prior:  # noqa: N801 - an attribute of models, by its name
        @staticmethod
        def sample(n: int, generator: torch.Generator) -> Tensor:
            return torch.rand(n, 2, generator=generator)

    def decode(self, z: Tensor) -> Tensor:
        return torch.cat([z, z], 1).view(-1, 1, 2, 2)


@dataclass
class Made:
    """What an evaluation has made."""

    model: Any
    train: Samples
    reconstructed: Reconstructions | None = None
    coded: tuple[Tensor, Samples] | None = None

    def picture(self, n: int) -> Tensor:
        return -self.train[:n]


def images(n: int) -> Samples:
    labels = torch.arange(n) % 3
    return Samples(torch.rand(n, 1, 2, 2, generator=torch.Generator().manual_seed(1)), labels, label_names="abc")


def made(n: int = 40) -> Made:
    data, model = images(n), Doubling()
    codes = data[:].flatten(1)[:, :2]
    return Made(model, data, Reconstructions(model.decode(codes), data, "encoder"), (codes, data))


def shown(path: Path) -> Tensor:
    """The images of a sheet of 2 x 2 pixels, each enlarged 16 times with gaps of two pixels, in [0, 1]."""
    pixels = np.asarray(Image.open(path))[::16, ::16].astype(np.float32) / 255
    padded = np.pad(pixels, ((0, 2), (0, 2)), constant_values=1)
    cells = padded.reshape(padded.shape[0] // 4, 4, 8, 4).transpose(0, 2, 1, 3)[:, :, :2, :2]
    return torch.from_numpy(cells.copy())


def arrays(path: Path) -> Mapping[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def test_each_row_of_test_images_stands_above_its_reconstructions(tmp_path: Path) -> None:
    given = made()
    assert gallery.keep(given, tmp_path) == []  # type: ignore[arg-type]
    sheet = shown(tmp_path / "reconstructions.png")
    rows = evenly_spaced(40, 32)
    assert sheet.shape == (8, 8, 2, 2)
    torch.testing.assert_close(sheet[::2].reshape(32, 2, 2), given.train[rows][:, 0], atol=0.51 / 255, rtol=0)
    assert given.reconstructed is not None
    torch.testing.assert_close(sheet[1::2].reshape(32, 2, 2), given.reconstructed[rows][:, 0], atol=0.51 / 255, rtol=0)


def test_a_row_that_is_not_full_is_filled_up_so_that_pairs_stay_pairs(tmp_path: Path) -> None:
    given = made(11)
    gallery.keep(given, tmp_path)  # type: ignore[arg-type]
    sheet = shown(tmp_path / "reconstructions.png")
    assert sheet.shape == (4, 8, 2, 2) and bool((sheet[2:, 3:] == 1).all())
    torch.testing.assert_close(sheet[2, :3], given.train[8:][:, 0], atol=0.51 / 255, rtol=0)


def test_a_row_of_interpolations_leads_from_one_image_to_another_on_a_straight_line(tmp_path: Path) -> None:
    given = made()
    gallery.keep(given, tmp_path)  # type: ignore[arg-type]
    sheet, rows = shown(tmp_path / "interpolations.png"), evenly_spaced(40, 16)
    assert sheet.shape == (8, 8, 2, 2)
    x = given.train[rows][:, 0]
    for row in range(8):
        start, end = x[row], x[row + 8]
        line = [torch.stack([(start + (end - start) * step / 5)[0]] * 2) for step in range(6)]  # codes are doubled
        torch.testing.assert_close(sheet[row], torch.stack([start, *line, end]), atol=0.51 / 255, rtol=0)


def test_codes_come_with_labels_and_as_many_draws_of_the_prior(tmp_path: Path) -> None:
    given = made(2500)
    gallery.keep(given, tmp_path)  # type: ignore[arg-type]
    found, rows = arrays(tmp_path / "codes.npz"), evenly_spaced(2500, 1000)
    assert given.coded is not None
    assert np.array_equal(found["codes"], given.coded[0][rows]) and found["codes"].dtype == np.float32
    assert np.array_equal(found["labels"], rows % 3) and found["labels"].dtype == np.int64
    assert np.array_equal(found["prior"], torch.rand(1000, 2, generator=torch.Generator().manual_seed(0)))


def test_nothing_is_shown_that_no_metric_has_asked_for(tmp_path: Path) -> None:
    assert gallery.keep(Made(Doubling(), images(9)), tmp_path) == []  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_a_model_without_decoder_prior_or_classes_keeps_its_codes_alone(tmp_path: Path) -> None:
    data = Samples(torch.rand(5, 1, 2, 2), torch.zeros(5, 3))  # attributes, which are no classes
    gallery.keep(Made(nn.Module(), data, coded=(torch.rand(5, 2), data)), tmp_path)  # type: ignore[arg-type]
    assert [path.name for path in tmp_path.iterdir()] == ["codes.npz"]
    assert list(arrays(tmp_path / "codes.npz")) == ["codes"]


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_pair_takes_two_codes(n: int, tmp_path: Path) -> None:
    assert gallery.keep(made(n), tmp_path) == []  # type: ignore[arg-type]
    assert (tmp_path / "interpolations.png").exists() == (n > 1)


def test_vectors_of_the_model_and_of_the_data_are_kept_from_two_dimensions_up(tmp_path: Path) -> None:
    for size in (1, 2, 5):
        data = Samples(torch.rand(1200, size))
        (tmp_path / str(size)).mkdir()
        assert gallery.keep(Made(nn.Module(), data), tmp_path / str(size)) == []  # type: ignore[arg-type]
    assert not (tmp_path / "1" / "vectors.npz").exists()
    for size in (2, 5):
        found = arrays(tmp_path / str(size) / "vectors.npz")
        assert {name: array.shape for name, array in found.items()} == {"samples": (1000, size), "real": (1000, size)}
        assert (found["samples"] <= 0).all() and (found["real"] >= 0).all()


def test_what_goes_wrong_is_a_note_and_leaves_no_file(tmp_path: Path) -> None:
    given = made()
    given.model.decode = lambda z: torch.full((len(z), 1, 2, 2), float("nan"))
    given.model.prior = type("Prior", (), {"sample": staticmethod(lambda n, generator: torch.zeros(n, 3))})
    notes = gallery.keep(given, tmp_path)  # type: ignore[arg-type]
    assert notes == [
        "no interpolations.png: decode(z) returned NaN or infinity",
        "no codes.npz: draws of the prior must have shape (40, 2); got (40, 3)",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["reconstructions.png"]


def test_a_run_and_a_later_score_keep_them_and_say_who_copies(tmp_path: Path) -> None:
    run({"methods": "pca,real", "subset": 200, "samples": 64, "metrics": "fd"}, out=tmp_path / "out")
    cells = {path.name.split("-")[0]: path for path in (tmp_path / "out" / "cells").iterdir()}
    kept = {"reconstructions.png", "interpolations.png", "codes.npz"}
    assert not kept & {path.name for path in cells["pca"].iterdir()}
    before = {name: json.loads((cell / "record.json").read_text()) for name, cell in cells.items()}
    score(tmp_path / "out", metrics="psnr")
    assert kept <= {path.name for path in cells["pca"].iterdir()}
    assert not kept & {path.name for path in cells["real"].iterdir()}
    after = {name: json.loads((cell / "record.json").read_text()) for name, cell in cells.items()}
    for records in (before, after):
        assert {name: record["reference"] for name, record in records.items()} == {"pca": False, "real": True}
        assert all(record["notes"] == [] for record in records.values())
    test = load_registry().get("datasets", "digits")().load("test", tmp_path)
    found = arrays(cells["pca"] / "codes.npz")
    assert len(found["codes"]) == len(found["labels"]) == len(found["prior"]) <= len(test)
    write_sheet(torch.zeros(64, 1, 16, 16), tmp_path / "sheet.png")
    assert Image.open(cells["pca"] / "reconstructions.png").size == Image.open(tmp_path / "sheet.png").size
