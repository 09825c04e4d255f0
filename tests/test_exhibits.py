"""What metrics find besides numbers lies beside the record, whole, and is found again from the row of its score."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import CommandLine
from PIL import Image

from benchsuite import Score
from benchsuite.contracts import MetricRow
from benchsuite.errors import ContractError
from benchsuite.harness import exhibits
from benchsuite.harness.store import RunStore

ROW = MetricRow("pag.ideal", "pag[rows=5]", 1.0, "", "min", 5, "0123abcd")


def test_arrays_and_pictures_are_read_as_they_were_kept(tmp_path: Path) -> None:
    spectrum = torch.linspace(1, 0, 5, dtype=torch.float64)
    score = Score(1.0, arrays={"spectrum": spectrum}, pictures={"far": torch.rand(9, 1, 8, 8)})
    exhibits.keep(score, "pag", "0123abcd", tmp_path)
    found = exhibits.arrays_of(ROW, tmp_path)
    assert list(found) == ["spectrum"] and np.array_equal(found["spectrum"], spectrum.numpy())
    pictures = exhibits.pictures_of(ROW, tmp_path)
    assert list(pictures) == ["far"]
    assert Image.open(pictures["far"]).size == (8 * 40 - 8, 2 * 40 - 8)  # two rows of eight, four times enlarged


def test_scores_without_any_leave_no_file(tmp_path: Path) -> None:
    exhibits.keep(Score(1.0), "pag", "0123abcd", tmp_path)
    assert not list(tmp_path.iterdir())
    assert exhibits.arrays_of(ROW, tmp_path) == {} and exhibits.pictures_of(ROW, tmp_path) == {}


@pytest.mark.parametrize("name", ["../spectrum", "a b", "a.b", "", "file", "allow_pickle"])
def test_a_name_that_is_no_identifier_is_refused_before_anything_is_written(name: str, tmp_path: Path) -> None:
    for score in (Score(1.0, arrays={name: torch.zeros(1)}), Score(1.0, pictures={name: torch.zeros(1, 1, 8, 8)})):
        with pytest.raises(ContractError, match="neither an array nor a picture can be named"):
            exhibits.keep(score, "pag", "0123abcd", tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("shape", [(0, 1, 8, 8), (3, 2, 8, 8), (3, 64)])
def test_a_picture_that_is_none_is_refused(shape: tuple[int, ...], tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"pag: a picture is \(n, 1 or 3, height, width\); 'far' is"):
        exhibits.keep(Score(1.0, pictures={"far": torch.zeros(shape)}), "pag", "0123abcd", tmp_path)


def test_arrays_may_be_lists_and_of_any_precision(tmp_path: Path) -> None:
    given = {"half": torch.ones(3, dtype=torch.bfloat16), "listed": [1.0, 2.0]}
    exhibits.keep(Score(1.0, arrays=given), "pag", "0123abcd", tmp_path)  # type: ignore[arg-type]
    found = exhibits.arrays_of(ROW, tmp_path)
    assert found["half"].tolist() == [1, 1, 1] and found["listed"].tolist() == [1, 2]


def test_rows_of_other_protocols_have_files_of_their_own(tmp_path: Path) -> None:
    for number, fingerprint in enumerate(("0123abcd", "ffff0000")):
        exhibits.keep(Score(1.0, arrays={"a": torch.full((1,), float(number))}), "pag", fingerprint, tmp_path)
    assert exhibits.arrays_of(ROW, tmp_path)["a"].tolist() == [0.0]
    assert exhibits.arrays_of(replace(ROW, fingerprint="ffff0000"), tmp_path)["a"].tolist() == [1.0]


def test_a_run_keeps_them_and_says_where_codes_came_from(command_line: CommandLine, tmp_path: Path) -> None:
    """Encoders', GLO's own and recovered codes are told apart in the record, and in the report's protocols."""
    metrics = "psnr,psnr_train,psnr_train[codes_by=mse]"
    command_line(
        *("run", "-m", "pca,glo[epochs=1],real", "--subset", "100", "--metrics", metrics, "--out", "out"), check=0
    )
    store = RunStore(tmp_path / "out")
    sources = {}
    for record in store.records():
        for row in record.metrics:
            if row.status == "ok":
                assert len(store.arrays(record.cell.key, row)["psnr"]) == row.n
                sources[record.cell.method, row.metric] = list(row.protocol["codes"].values())
            else:
                assert (record.cell.method, row.status, row.reason) == ("real", "skipped", "the method has no decode")
    assert sources == {
        ("pca", "psnr"): ["encoder"],
        ("pca", "psnr_train"): ["encoder"],
        ("pca", "psnr_train[codes_by=mse]"): ["recovery"],
        ("glo[epochs=1]", "psnr"): ["recovery"],
        ("glo[epochs=1]", "psnr_train"): ["codes"],
        ("glo[epochs=1]", "psnr_train[codes_by=mse]"): ["recovery"],
    }
    command_line("report", "out", check=0)
    report = (tmp_path / "out" / "report" / "report.md").read_text()
    assert "reconstructed_train by codes" in report and "reconstructed_train by encoder" in report
    assert "codes of glo[epochs=1] on digits: test by recovery, train by codes" in report
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("cells/*/plots/*")}
    command_line("score", "out", "--metrics", "ssim", check=0)
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("cells/*/plots/*")}
    written = json.loads(next((tmp_path / "out").glob("cells/pca*/record.json")).read_text())
    assert written["reconstruction"] == "test by encoder, train by encoder"
