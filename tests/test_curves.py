"""A learning curve is a CSV with one row a name and window, and goes on where its checkpoint left it."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
from torch import Tensor

from benchsuite.kit.curves import Curve

HEADER = ["step", "epoch", "stage", "name", "value"]


def values(*pairs: tuple[str, float]) -> list[tuple[str, Tensor]]:
    return [(name, torch.tensor(value)) for name, value in pairs]


def rows(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


def test_a_row_holds_the_mean_of_each_name_since_the_row_before(tmp_path: Path) -> None:
    curve = Curve(tmp_path / "curve.csv", 0)
    curve.append(50, 2, "", values(("loss", 1.0), ("kl", 5.0), ("loss", 2.0), ("loss", 6.0)))
    curve.append(100, 4, "reverse", values(("loss", 0.125)))
    assert rows(tmp_path / "curve.csv") == [
        HEADER,
        ["50", "2", "", "loss", "3"],
        ["50", "2", "", "kl", "5"],
        ["100", "4", "reverse", "loss", "0.125"],
    ]


def test_its_size_is_that_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "curve.csv"
    curve = Curve(path, 0)
    assert curve.size == path.stat().st_size
    curve.append(1, 0, "größe", values(("loß", 1.0)))
    assert curve.size == path.stat().st_size


def test_it_is_cut_back_to_its_checkpoint_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "curve.csv"
    curve = Curve(path, 0)
    curve.append(50, 0, "", values(("loss", 3.0)))
    kept = curve.size
    curve.append(100, 1, "", values(("loss", 2.0)))
    expected = path.read_bytes()

    resumed = Curve(path, kept)
    assert len(rows(path)) == 2
    resumed.append(100, 1, "", values(("loss", 2.0)))
    assert path.read_bytes() == expected
    assert resumed.size == len(expected)


def test_without_a_checkpoint_it_starts_anew(tmp_path: Path) -> None:
    path = tmp_path / "curve.csv"
    Curve(path, 0).append(50, 0, "", values(("loss", 3.0)))
    assert Curve(path, 0).size == path.stat().st_size
    assert rows(path) == [HEADER]


@pytest.mark.parametrize("left", [None, b"", b"step,epoch"])
def test_a_curve_that_lost_rows_since_its_checkpoint_is_still_a_csv(tmp_path: Path, left: bytes | None) -> None:
    path = tmp_path / "curve.csv"
    if left is not None:
        path.write_bytes(left)
    curve = Curve(path, 500)
    curve.append(50, 0, "", values(("loss", 3.0)))
    assert b"\0" not in path.read_bytes()
    assert rows(path) == [HEADER, ["50", "0", "", "loss", "3"]]
    assert curve.size == path.stat().st_size


@pytest.mark.parametrize("name", ["a,b", 'say "hi"', "two\nlines", "größe"])
def test_any_name_stays_in_its_column(tmp_path: Path, name: str) -> None:
    path = tmp_path / "curve.csv"
    curve = Curve(path, 0)
    curve.append(50, 0, name, values((name, 3.0)))
    assert rows(path) == [HEADER, ["50", "0", name, name, "3"]]
    assert curve.size == path.stat().st_size


def test_without_a_path_nothing_is_written() -> None:
    curve = Curve(None, 0)
    curve.append(1, 0, "", values(("loss", 1.0)))
    assert curve.size == 0
