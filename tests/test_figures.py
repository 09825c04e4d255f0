"""Figures show what records and metrics' files hold: every kind is drawn, pixel for pixel where it is of pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure as Canvas
from PIL import Image
from torch import Tensor

from benchsuite import Score
from benchsuite.contracts import Cell, MetricRow, Record
from benchsuite.errors import RecipeError
from benchsuite.harness import exhibits
from benchsuite.harness.pictures import write_sheet
from benchsuite.harness.store import RunStore
from benchsuite.results.figures import Figure, check_figure, draw, parse_figure
from benchsuite.results.figures import drawing as module
from benchsuite.results.figures.kinds import KINDS
from benchsuite.results.figures.page import WIDTH, Page, save, wrapped
from benchsuite.results.figures.sheets import read_sheet
from benchsuite.results.scores import Scores
from benchsuite.results.tables import make_report

PRINT = "0123abcd"
EVERY_KIND: dict[str, dict[str, Any]] = {
    "samples": {},
    "pictures": {"metric": "curve", "picture": "shown"},
    "bars": {"values": ["psnr", "short"]},
    "lines": {"x": "width", "y": "psnr", "group": "loss", "error": "standard_error"},
    "curves": {"metric": "curve", "x": "steps", "y": ["trained", "untrained"], "logy": True},
    "scatter": {"x": "psnr", "y": "short", "logx": True},
    "points": {"metric": "curve", "points": ["flat", "wide"], "labels": "labels"},
    "distribution": {"metric": "curve", "array": "each"},
    "contours": {"metric": "curve", "x": "x", "y": "y", "density": "density", "samples": "flat"},
}
SHEET = torch.arange(12 * 8 * 8).view(12, 1, 8, 8) % 251 / 250  # no image of it is its own mirror image


def arrays() -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(0)
    grid = torch.linspace(-2, 2, 21)
    return {
        "steps": torch.arange(5),
        "trained": torch.tensor([5.0, 3, 2, 1.5, 1.2]),
        "untrained": torch.rand(5, 7, generator=random) + 5,
        "flat": torch.randn(40, 2, generator=random) / 2,
        "wide": torch.randn(40, 2, generator=random) * 9,
        "labels": torch.arange(40) % 10,
        "each": torch.randn(40, generator=random),
        "x": grid,
        "y": grid,
        "density": torch.exp(-grid[:, None].square() - 4 * grid.square()),
    }


@dataclass
class Run:
    """A made-up run, and drawing from it."""

    folder: Path
    records: list[Record] = field(default_factory=list)
    planned: Mapping[str, Any] = field(default_factory=dict)

    @property
    def store(self) -> RunStore:
        return RunStore(self.folder / "run")

    def add(self, method: str, seed: int, *, values: Mapping[str, float | None] | None = None, **params: Any) -> Record:
        number = len(self.records)
        values = {"psnr": 20 + number / 7, "sharpness[k=2]": 1 + number % 3} if values is None else values
        cell = Cell(
            key=f"cell{number}",
            method=method,
            method_name="m",
            params=params,
            dataset="digits",
            dataset_name="digits",
            dataset_params={},
            dataset_fingerprint="d",
            seed=seed,
            latent_dim=8,
            metrics=("psnr", "sharpness[k=2]", "curve"),
            samples=10,
            device="cpu",
            precision="fp32",
            threads=1,
            budget=None,
        )
        rows = tuple(
            MetricRow(name, name.partition(".")[0], value, "dB" if name == "psnr" else "", "max", 9, "f")
            if value is not None
            else MetricRow(name, name, None, "", "max", None, "f", "error", "ValueError: boom")
            for name, value in values.items()
        )
        rows = (*rows, MetricRow("curve.first", "curve", 1.0, "dB", "none", 9, PRINT))
        record = Record(cell, "ok", metrics=rows)
        self.records.append(record)
        folder = self.store.cell_folder(cell.key)
        folder.mkdir(parents=True)
        write_sheet(SHEET, folder / "samples.png")
        self.keep(record, arrays(), {"shown": SHEET})
        return record

    def keep(self, record: Record, kept: Mapping[str, Tensor], pictures: Mapping[str, Tensor] | None = None) -> None:
        score = Score(1.0, arrays=kept, pictures=pictures or {})
        exhibits.keep(score, "curve", PRINT, self.store.cell_folder(record.cell.key))

    def fail(self, number: int, status: Any = "diverged", reason: str = "NaN at step 3") -> None:
        self.records[number] = replace(self.records[number], status=status, reason=reason, metrics=())

    def scores(self) -> Scores:
        cells = [
            {"key": r.cell.key, "method": r.cell.method, "dataset": r.cell.dataset, "seed": r.cell.seed, "metrics": []}
            for r in self.records
        ]
        self.store.write_run({"cells": cells})
        report = make_report(self.store, self.records)
        return Scores.of(
            report.results, names={"short": "sharpness[k=2]"}, stand_ins={"mnist": "digits"}, **self.planned
        )

    def draw(self, kind: str, name: str = "figure", **changes: Any) -> tuple[Path, str]:
        options = {key: value for key, value in (EVERY_KIND[kind] | changes).items() if value is not None}
        figure = parse_figure({"name": name, "draw": kind, "caption": "A caption"} | options)
        path = self.folder / f"{name}.png"
        return path, draw(figure, self.store, self.records, self.scores(), path)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Three methods with three seeds."""
    run = Run(tmp_path)
    for number in range(3):
        for seed in range(3):
            run.add(f"m{number}", seed, width=2**number, loss="kl" if number else "minimax")
    return run


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Page]:
    """The pages that were drawn, each with its canvas as matplotlib has it."""
    kept: list[Page] = []

    def keep(page: Page, path: Path) -> None:
        kept.append(page)
        save(page, path)

    monkeypatch.setattr(module, "save", keep)
    return kept


def pixels(path: Path) -> np.ndarray[Any, Any]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def texts(canvas: Canvas) -> list[str]:
    from matplotlib.text import Text

    return [text.get_text() for text in canvas.findobj(Text) if isinstance(text, Text)]


def test_every_kind_is_tried_here() -> None:
    assert set(EVERY_KIND) == set(KINDS) == set(module._DRAWN)


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_every_kind_draws_a_small_picture_of_the_same_bytes_each_time(kind: str, run: Run) -> None:
    path, missing = run.draw(kind)
    again, _ = run.draw(kind, "again")
    assert missing == ""
    assert path.read_bytes() == again.read_bytes()
    assert path.stat().st_size < 200_000
    with Image.open(path) as image:
        assert image.format == "PNG" and image.width == WIDTH and not image.info
        assert len(np.unique(np.asarray(image.convert("L")))) > 3  # there is something on it


@pytest.mark.parametrize("kind", ["samples", "bars", "points"])
def test_the_users_settings_change_nothing_and_are_not_changed(kind: str, run: Run) -> None:
    path, _ = run.draw(kind)
    with matplotlib.rc_context(
        {"axes.facecolor": "black", "font.size": 30, "text.usetex": True, "image.origin": "lower"}
    ):
        again, _ = run.draw(kind, "again")
        assert matplotlib.rcParams["axes.facecolor"] == "black" and matplotlib.rcParams["font.size"] == 30
    assert path.read_bytes() == again.read_bytes()


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_a_failed_method_is_named_and_the_others_are_drawn(kind: str, run: Run) -> None:
    for number in (3, 4, 5):
        run.fail(number)
    path, missing = run.draw(kind)
    assert path.exists()
    assert "m1" in missing and "diverged: NaN at step 3" in missing and "m0" not in missing and "m2" not in missing


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_where_nothing_can_be_drawn_no_file_is_left(kind: str, run: Run) -> None:
    path, _ = run.draw(kind)
    for number in range(9):
        run.fail(number)
    assert path.exists()
    _, missing = run.draw(kind)
    assert not path.exists() and "diverged" in missing
    run.records.clear()
    assert run.draw(kind)[1] == "there are no records"


@pytest.mark.parametrize("kind", ["samples", "bars", "points"])
def test_a_dataset_that_is_not_there_is_named(kind: str, run: Run) -> None:
    path, missing = run.draw(kind, dataset="lsun")
    assert not path.exists() and missing == "lsun is not part of this scale"
    assert run.draw(kind, dataset="mnist")[1] == ""  # which digits stand in for
    path, missing = run.draw(kind, methods=["m2", "other"])
    assert path.exists() and missing == "other: no such method in this scale"
    path, missing = run.draw(kind, seed=7)
    assert not path.exists() and missing == "seed 7 is not part of this scale"


@pytest.mark.parametrize("kind", ["samples", "pictures"])
@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_are_enlarged_by_a_whole_number_and_neither_blended_nor_turned(
    kind: str, channels: int, tmp_path: Path
) -> None:
    images = torch.rand(12, channels, 8, 8, generator=torch.Generator().manual_seed(1))
    run = Run(tmp_path)
    for method in ("a", "b"):
        record = run.add(method, 0)
        write_sheet(images, run.store.cell_folder(record.cell.key) / "samples.png")
        run.keep(record, {}, {"shown": images})
    drawn = pixels(run.draw(kind)[0])
    native = (images * 255).round().byte().permute(0, 2, 3, 1).expand(-1, -1, -1, 3).numpy()
    scale, room = 5, (WIDTH - 20 - 16) // 2  # 78 pixels across five times
    top = np.flatnonzero((drawn[:, 10 : 10 + 8 * scale] != 255).any((1, 2)))[0]  # of the title
    top = next(row for row in range(top, len(drawn)) if np.array_equal(drawn[row, 10], native[0, 0, 0]))
    for left in (10, 10 + room + 16):
        for number, image in enumerate(native):
            y, x = top + number // 8 * 10 * scale, left + number % 8 * 10 * scale
            found = drawn[y : y + 8 * scale, x : x + 8 * scale]
            assert np.array_equal(found, image.repeat(scale, 0).repeat(scale, 1))
            assert (drawn[y : y + 8 * scale, x + 8 * scale : x + 8 * scale + 2] == 255).all()


def test_sheets_of_grey_images_make_grey_pictures(run: Run) -> None:
    with Image.open(run.draw("samples")[0]) as image:
        assert image.mode == "L"


@pytest.mark.parametrize(
    "shape", [(12, 1, 8, 8), (64, 3, 64, 64), (5, 1, 28, 28), (1, 1, 1, 1), (9, 3, 12, 20), (3, 1, 40, 33)]
)
def test_sheets_are_read_as_they_were_written(shape: tuple[int, ...], tmp_path: Path) -> None:
    images = torch.rand(shape, generator=torch.Generator().manual_seed(2))
    write_sheet(images, tmp_path / "sheet.png")
    found = read_sheet(tmp_path / "sheet.png").images
    n, channels, height, width = shape
    assert found.shape == (-(-n // 8), 8, height, width, channels)
    expected = (images * 255).round().byte().permute(0, 2, 3, 1).numpy()
    assert np.array_equal(found.reshape(-1, height, width, channels)[:n], expected)


def test_a_picture_that_is_no_sheet_is_shown_as_it_is(run: Run) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (31, 47), dtype=np.uint8)
    Image.fromarray(picture).save(run.store.cell_folder("cell0") / "samples.png")
    assert read_sheet(run.store.cell_folder("cell0") / "samples.png").images.shape == (1, 1, 31, 47, 1)
    assert run.draw("samples")[1] == ""


def test_wide_images_lose_columns_and_many_rows_and_the_footnote_says_so(tmp_path: Path) -> None:
    run = Run(tmp_path)
    for number in range(4):
        record = run.add(f"m{number}", 0)
        images = torch.rand(64, 3, 128, 128, generator=torch.Generator().manual_seed(3))
        write_sheet(images, run.store.cell_folder(record.cell.key) / "samples.png")
    figure = parse_figure({"name": "f", "draw": "samples", "caption": "c"})
    from benchsuite.results.figures.material import Material
    from benchsuite.results.figures.page import styled
    from benchsuite.results.figures.sheets import samples

    with styled():
        page = samples(Material.of(figure, run.store, run.records, run.scores()))
    assert page is not None and page.footnote == "Seed 0; the first 1 row of 8; the first 6 columns of 8."


def test_rows_of_sheets_can_be_chosen(run: Run) -> None:
    all_rows, one_row = (Image.open(run.draw("samples", **rows)[0]).height for rows in ({}, {"rows": 1}))
    assert one_row < all_rows


def test_the_documentation_has_the_keys_of_every_kind() -> None:
    documented = {}
    for line in (Path(__file__).parent.parent / "docs" / "papers.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) == 6 and cells[1] in KINDS:
            documented[cells[1]] = {key.strip("`") for text in cells[3:5] for key in text.split(", ") if key}
    everywhere = {"methods", "dataset", "seed"}
    assert documented == {name: {*kind.needed, *kind.optional} - everywhere for name, kind in KINDS.items()}


def test_broken_and_missing_files_are_told(run: Run) -> None:
    (run.store.cell_folder("cell0") / "samples.png").write_bytes(b"no picture")
    (run.store.cell_folder("cell3") / "samples.png").unlink()
    path, missing = run.draw("samples")
    assert path.exists() and missing == "m0: samples.png cannot be read; m1: it kept no sheet of samples"
    next(run.store.cell_folder("cell0").glob("plots/*.npz")).write_bytes(b"PK no arrays")
    assert "the arrays of curve.first cannot be read" in run.draw("points")[1]
    assert "no picture 'other'; there are shown" in run.draw("pictures", picture="other")[1]
    missing = run.draw("distribution", array="other")[1]
    assert "curve has no array 'other'; there are" in missing and "density" in missing
    assert run.draw("distribution", metric="fd")[1] == "m0, m1, m2 (seed 0): fd was not asked for"


def test_bars_are_means_with_students_interval(run: Run, drawn: list[Page]) -> None:
    run.draw("bars", values=["psnr"], reference="psnr[m2] - 1")
    axes = drawn[0].canvas.axes[0]
    assert [bar.get_height() for bar in axes.containers[0]] == pytest.approx([20 + k / 7 for k in (1, 4, 7)])
    reference = next(line for line in axes.lines if line.get_label() == "psnr[m2] - 1")
    assert reference.get_ydata() == pytest.approx([20, 20])
    (low, high) = axes.collections[0].get_segments()[0][:, 1]
    # three values a seventh apart: t(0.975, 2) = 4.302653, standard error 1 / 7 / sqrt(3)
    assert (high - low) / 2 == pytest.approx(4.302653 / 7 / 3**0.5, rel=1e-6)
    assert axes.get_ylabel() == "psnr [dB]"
    run.draw("bars", values=["psnr"], reference=None, error="standard_error")
    (low, high) = drawn[1].canvas.axes[0].collections[0].get_segments()[0][:, 1]
    assert (high - low) / 2 == pytest.approx(1 / 7 / 3**0.5, rel=1e-6)


def test_values_of_unlike_units_have_axes_of_their_own(run: Run, drawn: list[Page]) -> None:
    assert run.draw("bars")[1] == ""
    assert [axes.get_ylabel() for axes in drawn[0].canvas.axes] == ["psnr [dB]", "short"]
    missing = run.draw("bars", reference="psnr[m0]")[1]
    assert missing == "reference: left out, since the values have several units"


def test_lines_go_by_numbers_in_their_order_and_leave_gaps(tmp_path: Path, drawn: list[Page]) -> None:
    run = Run(tmp_path)
    for width, value in ((8, 3.0), (2, 1.0), (4, None), (16, 4.0)):
        run.add(f"w{width}", 0, values={"psnr": value}, width=width)
    missing = run.draw("lines", group=None)[1]
    line = drawn[0].canvas.axes[0].lines[0]
    assert list(line.get_xdata()) == [2, 4, 8, 16]
    assert np.array_equal(np.asarray(line.get_ydata(), dtype=float), [1, np.nan, 3, 4], equal_nan=True)
    assert missing == "psnr (seed 0): w4 on digits: error: ValueError: boom"
    assert all(float(tick).is_integer() for tick in drawn[0].canvas.axes[0].get_xticks())


def test_a_logarithmic_axis_has_numbers_however_little_it_spans(tmp_path: Path, drawn: list[Page]) -> None:
    run = Run(tmp_path)
    for width, value in ((1, 13.0), (2, 17.0), (3, 33.0)):
        run.add(f"w{width}", 0, values={"psnr": value}, width=width)
    run.draw("lines", group=None, logy=True)
    axes = drawn[0].canvas.axes[0]
    drawn[0].canvas.draw_without_rendering()
    low, high = axes.get_ylim()
    ticks = zip(axes.get_yticks(minor=True), axes.get_yticklabels(minor=True), strict=True)
    shown = [label.get_text() for place, label in ticks if low <= place <= high]
    assert [label for label in shown if label] == ["15", "20", "25", "30"]


def test_lines_by_categories_stand_in_the_order_of_methods(run: Run, drawn: list[Page]) -> None:
    missing = run.draw("lines", x="loss", group=None)[1]
    axes = drawn[0].canvas.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["minimax", "kl"]
    assert missing == "m2: m1 has the same loss, kl; tell them apart by methods or group"
    run.draw("lines", x="loss", group="width")
    assert len(drawn[1].canvas.axes[0].get_legend_handles_labels()[1]) == 3
    assert run.draw("lines", x="depth")[1] == "m0, m1, m2: it has no parameter 'depth'"
    assert run.draw("lines", x="latent_dim", group="width")[1] == ""


def test_scatter_has_a_point_for_each_method_and_seed(run: Run, drawn: list[Page]) -> None:
    run.fail(8)
    missing = run.draw("scatter")[1]
    assert [len(points.get_offsets()) for points in drawn[0].canvas.axes[0].collections] == [3, 3, 2]
    assert missing == "psnr, short (seed 2): m2 on digits: diverged: NaN at step 3"


def test_curves_are_means_over_seeds_and_rows_of_an_array(run: Run, drawn: list[Page]) -> None:
    for number, record in enumerate(run.records[:3]):
        run.keep(record, arrays() | {"trained": torch.full((5,), float(number + 1))})
    run.draw("curves", methods=["m0"])
    trained, untrained = drawn[0].canvas.axes[0].lines
    assert list(trained.get_ydata()) == [2] * 5 and list(trained.get_xdata()) == [0, 1, 2, 3, 4]
    assert np.asarray(untrained.get_ydata()) == pytest.approx(arrays()["untrained"].mean(1).numpy())
    run.draw("curves", methods=["m0"], average="median", y="untrained")
    assert np.asarray(drawn[1].canvas.axes[0].lines[0].get_ydata()) == pytest.approx(
        arrays()["untrained"].median(1).values
    )
    run.draw("curves", methods=["m0"], x=None, y="trained", seed=2)
    assert list(drawn[2].canvas.axes[0].lines[0].get_ydata()) == [3] * 5


def test_curves_tell_what_cannot_be_drawn(run: Run) -> None:
    run.keep(run.records[0], arrays() | {"trained": torch.tensor([1.0, float("nan"), 0, 2, float("inf")])})
    run.keep(run.records[1], arrays() | {"steps": torch.arange(5) * 2})
    run.keep(run.records[3], arrays() | {"trained": torch.ones(3, 2, 2)})
    missing = run.draw("curves", y="trained")[1]
    assert "m0 (seed 0): 3 of 5 values of 'trained' cannot be drawn" in missing
    assert "m0 (seed 1): 'trained' stands at other places than those of the first seed" in missing
    assert "m1 (seed 0): 'trained' is no curve, it is (3, 2, 2) for 5 of 'steps'" in missing


def test_a_distribution_has_shared_bins_and_an_area_of_one(run: Run, drawn: list[Page]) -> None:
    values = torch.tensor([1.0, 2, 2, 3, 3, 3, 9, float("inf")])
    run.keep(run.records[0], {"each": values})
    missing = run.draw("distribution", bins=4)[1]
    assert missing == "m0: 1 of 8 values cannot be drawn, 1 being infinite"
    axes = drawn[0].canvas.axes[0]
    for patch in axes.patches:
        heights, edges = patch.get_data()[:2]  # type: ignore[attr-defined]
        assert float((heights * np.diff(edges)).sum()) == pytest.approx(1)
    assert any("median 3" in label for label in axes.get_legend_handles_labels()[1])
    assert axes.get_ylabel() == "density per dB" and axes.get_xlabel() == "each [dB]"


def test_the_median_of_a_distribution_counts_what_is_infinite(run: Run, drawn: list[Page]) -> None:
    values = torch.tensor([1.0, 2, 4, float("inf"), float("inf"), float("nan")])
    run.keep(run.records[0], {"each": values})
    assert run.draw("distribution")[1] == "m0: 3 of 6 values cannot be drawn, 2 being infinite"
    assert "m0, median 4" in drawn[0].canvas.axes[0].get_legend_handles_labels()[1]
    run.keep(run.records[0], {"each": torch.tensor([1.0, 2, float("inf"), float("inf"), float("inf")])})
    run.draw("distribution")
    assert "m0, median inf" in drawn[1].canvas.axes[0].get_legend_handles_labels()[1]


def test_bars_of_a_logarithmic_axis_are_points_and_say_where_an_interval_has_no_lower_end(
    tmp_path: Path, drawn: list[Page]
) -> None:
    run = Run(tmp_path)
    for seed, value in enumerate([1.0, 2.0, 30.0]):
        run.add("wide", seed, values={"psnr": value})
        run.add("narrow", seed, values={"psnr": 10 + value / 30})
    run.draw("bars", values="psnr", logy=True)
    run.draw("bars", values="psnr", logy=True, methods=["narrow"])
    run.draw("bars", values="psnr")
    reaches = "An interval without a lower end reaches 0 or less."
    assert [reaches in page.footnote for page in drawn] == [True, False, False]
    assert [len(page.canvas.axes[0].patches) for page in drawn] == [0, 0, 2]
    assert "Mean and 95% interval over 3 seeds." in drawn[0].footnote


def test_a_fourteenth_kind_of_point_is_told_from_the_first_by_more_than_its_colour(
    tmp_path: Path, drawn: list[Page]
) -> None:
    run = Run(tmp_path)
    for number in range(16):
        run.add(f"m{number}", 0, values={"psnr": 1.0 + number, "sharpness[k=2]": 1.0 + number})
    run.draw("scatter")
    points = drawn[0].canvas.axes[0].collections
    fills = [tuple(one.get_facecolor()[0]) for one in points]  # type: ignore[index]
    assert {fills[n] for n in range(13, 16)} == {(1.0, 1.0, 1.0, 1.0)}
    assert (1.0, 1.0, 1.0, 1.0) not in fills[:13]


def test_a_distribution_of_one_value_or_over_decades_is_drawn(run: Run, drawn: list[Page]) -> None:
    for record in run.records:
        run.keep(record, {"each": torch.full((9,), 3.0)})
    assert run.draw("distribution")[1] == ""
    for record in run.records:
        run.keep(record, {"each": torch.tensor([0, 1e-6, 1e-3, 1e-3, 1.0])})
    assert run.draw("distribution", logx=True)[1] == "m0, m1, m2: 1 of 5 values cannot be drawn"
    heights, edges = drawn[1].canvas.axes[0].patches[0].get_data()[:2]  # type: ignore[attr-defined]
    assert float((heights * np.diff(np.log10(edges))).sum()) == pytest.approx(1)


def test_points_have_a_panel_for_each_method_and_array_and_a_mark_for_each_class(run: Run, drawn: list[Page]) -> None:
    run.draw("points")
    axes = drawn[0].canvas.axes
    assert [one.get_title() for one in axes] == [f"m{k}: {name}" for k in range(3) for name in ("flat", "wide")]
    for one in axes:
        assert len(one.collections) == 10 and sum(len(c.get_offsets()) for c in one.collections) == 40
        outlines = {c.get_paths()[0].vertices.tobytes() for c in one.collections}
        colours = {tuple(c.get_facecolor()[0]) for c in one.collections}  # type: ignore[index]
        assert len(outlines) == len(colours) == 10
    assert {f"class {k}" for k in range(10)} <= set(texts(drawn[0].canvas))
    run.draw("points", labels=None)
    assert all(len(one.collections) == 1 for one in drawn[1].canvas.axes)


def test_points_that_are_none_are_told(run: Run, drawn: list[Page]) -> None:
    run.keep(run.records[0], arrays() | {"flat": torch.ones(40, 3), "wide": torch.full((40, 2), float("nan"))})
    run.keep(run.records[3], arrays() | {"labels": torch.arange(39)})
    missing = run.draw("points")[1]
    assert "m0: flat: points are (n, 2); 'flat' is (40, 3)" in missing
    assert "m0: wide: 40 of 40 points are not finite" in missing
    assert "classes of m1: flat: 'labels' is (39,), not one for each of 40 points" in missing
    run.keep(run.records[3], arrays() | {"labels": torch.arange(40)})
    assert "classes: 'labels' has 40 values; at most 30 finite ones" in run.draw("points", methods=["m1"])[1]


def test_contours_have_the_same_levels_everywhere_and_are_where_the_density_is(run: Run, drawn: list[Page]) -> None:
    grid = torch.linspace(-3, 3, 121)
    law = torch.exp(-((grid - 1).square())[None, :] - ((grid + 1) / 0.5).square()[:, None])  # at x = 1, y = -1
    run.keep(run.records[0], arrays() | {"x": grid, "y": grid, "density": law})
    run.draw("contours", samples=None)
    first, second = (next(c for c in one.collections if hasattr(c, "levels")) for one in drawn[0].canvas.axes[:2])
    assert np.array_equal(first.levels, second.levels)
    for path, level in zip(first.get_paths(), first.levels, strict=True):
        x, y = path.vertices.T
        assert np.exp(-((x - 1) ** 2) - ((y + 1) / 0.5) ** 2) == pytest.approx(level, abs=0.01)
    assert drawn[0].canvas.axes[0].get_aspect() == 1


def test_densities_that_are_none_are_told(run: Run) -> None:
    nan, ones = torch.full((21, 21), float("nan")), torch.ones(21, 20)
    run.keep(run.records[0], arrays() | {"density": ones})
    run.keep(run.records[3], arrays() | {"density": nan})
    run.keep(run.records[6], arrays() | {"flat": torch.full((4, 2), 9.0)})
    path, missing = run.draw("contours")
    assert path.exists()
    assert "m0: 'density' is (21, 20), not (y, x) of grids (21,) and (21,)" in missing
    assert "m1: the density is not finite at 441 of 441 places" in missing
    assert "m2: 4 of 4 points lie outside of the grid" in missing
    run.keep(run.records[6], arrays() | {"density": torch.zeros(21, 21)})
    path, missing = run.draw("contours")
    assert not path.exists() and "no density is above 0" in missing


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_sixteen_methods_with_long_labels_fit(kind: str, tmp_path: Path, drawn: list[Page]) -> None:
    run = Run(tmp_path)
    for number in range(16):
        params = {"width": number, "loss": "kl"}
        run.add(f"subproblem_gan[inversion_steps={number},regression_loss=l2,regression_steps=2]", 0, **params)
    path, missing = run.draw(kind)
    assert missing == ""
    with Image.open(path) as image:
        assert image.width == WIDTH and image.height < 3000
    canvas, boxes = drawn[0].canvas, []
    for text in canvas.texts + [axes.title for axes in canvas.axes]:
        if text.get_text():
            boxes.append(text.get_window_extent())
    for number, one in enumerate(boxes):
        assert one.x0 >= 0 and one.x1 <= WIDTH
        assert not any(one.overlaps(other) for other in boxes[:number])


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_labels_are_no_formulas_and_stay_on_their_line(kind: str, tmp_path: Path, drawn: list[Page]) -> None:
    run = Run(tmp_path)
    label = "gan$\\frac{1}{2}$\n\x1b[31m\u202e雪_x^2"
    run.add(label, 0, width=1, loss="kl")
    run.add("other", 0, width=2, loss="kl")  # since what stands alone is not named
    _, missing = run.draw(kind)
    assert missing == ""
    for text in texts(drawn[0].canvas):
        assert "\x1b" not in text and "\u202e" not in text
    if kind not in ("bars", "lines", "contours"):
        assert any("gan$\\frac{1}{2}$" in text.replace("\n", "") for text in texts(drawn[0].canvas))


def test_wrapping_keeps_every_character_that_fits_and_both_ends_of_what_does_not() -> None:
    text = "subproblem_gan[inversion_steps=3,regression_loss=l2]"
    assert wrapped(text, 200).replace("\n", "") == text
    assert wrapped("one two", 1000) == "one two"
    long = wrapped("a" * 300 + "b" * 300, 100, lines=2)
    assert long.count("\n") == 1 and long.startswith("aaa") and long.endswith("bbb") and "…" in long


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"draw": "bar"}, "no kind of figure named 'bar'; did you mean 'bars'"),
        ({"reference": None, "refrence": "1"}, "no key of bars named 'refrence'; did you mean 'reference'"),
        ({"values": None}, "figure 'f' has no 'values'"),
        ({"caption": None}, "figure 'f' has no 'caption'"),
        ({"name": None}, "a figure has no 'name'"),
        ({"name": "../f"}, "'../f' is no name of a figure"),
        ({"values": []}, r"values = \[\] is not allowed; it is text, or a list of texts"),
        ({"values": [1]}, "it is text, or a list of texts"),
        ({"values": ["a", "a"]}, "each stands once"),
        ({"error": "sd"}, "error = 'sd' is not allowed; it is one of interval, standard_error"),
        ({"reference": "psnr[m0"}, "figure 'f': reference: "),
        ({"logy": 1}, "logy = 1 is not allowed; it is true or false"),
        ({"seed": -1}, "seed = -1 is not allowed; it is a whole number, at least 0"),
        ({"seed": True}, "it is a whole number"),
        ({"dataset": ""}, "dataset = '' is not allowed; it is text"),
    ],
)
def test_what_is_wrong_with_a_figure_is_said(change: Mapping[str, Any], says: str) -> None:
    data = {"name": "f", "draw": "bars", "caption": "c", "values": ["psnr"], "reference": "1"} | change
    with pytest.raises(RecipeError, match=says):
        parse_figure({key: value for key, value in data.items() if value is not None})


def test_a_figure_holds_what_was_given(run: Run) -> None:
    figure = parse_figure({"name": "f", "draw": "bars", "caption": " c\n", "values": "psnr", "methods": ["a", "b"]})
    assert (figure.name, figure.draw, figure.caption) == ("f", "bars", "c")
    assert figure.options == {"values": ("psnr",), "methods": ("a", "b")}


def test_parsing_needs_no_matplotlib() -> None:
    import subprocess
    import sys

    code = "import sys, benchsuite.results.figures; print('matplotlib' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout == "False\n"


PLAN: dict[str, Any] = {"methods": ["m0", "m1", "m2", "m3"], "datasets": ["digits"], "seeds": [0, 1, 2, 3]}


@pytest.mark.parametrize("kind", ["samples", "bars", "lines", "curves", "scatter"])
def test_what_an_interrupted_run_has_not_got_to_is_told(kind: str, run: Run) -> None:
    run.planned = PLAN
    path, missing = run.draw(kind)
    assert path.exists() and "m3" in missing and "no record; it has not been run, or was cut off" in missing
    path, missing = run.draw(kind, methods=["m0", "m3"])
    assert path.exists() and "m3" in missing and "no such method" not in missing
    path, missing = run.draw(kind, seed=3)
    assert not path.exists()
    assert "no record; it has not been run, or was cut off" in missing and "not part of" not in missing


def test_the_plans_first_dataset_is_shown_or_missing(run: Run) -> None:
    run.planned = PLAN | {"datasets": ["patches", "digits"]}
    path, missing = run.draw("scatter", y="psnr")
    assert not path.exists()
    assert "m0 on patches: no record; it has not been run, or was cut off" in missing
    assert run.draw("bars", values="psnr", dataset="digits", methods=["m0"], seed=0)[1] == ""


def test_curves_of_one_seed_name_it_though_more_are_planned(run: Run, drawn: list[Page]) -> None:
    run.planned = PLAN
    for number in (0, 2):
        run.fail(number)
    run.draw("curves", methods=["m0"], y="trained")
    assert [page.footnote for page in drawn] == ["On digits. One seed, 1."]


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_every_footnote_begins_with_the_dataset(kind: str, run: Run, drawn: list[Page]) -> None:
    run.draw(kind)
    run.draw(kind, dataset="mnist")
    assert len(drawn) == 2 and all(page.footnote.startswith("On digits. ") for page in drawn)


HUGE = torch.tensor([[1.0, -1.0]], dtype=torch.float64) * 1e308 * (-1.0) ** torch.arange(40)[:, None]


@pytest.mark.parametrize(
    ("kind", "kept"),
    [
        ("distribution", {"each": torch.tensor([-1e308, 1e308], dtype=torch.float64)}),
        ("points", {"flat": HUGE}),
        ("contours", {"density": torch.full((21, 21), 5e-324, dtype=torch.float64)}),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_numbers_that_no_axis_holds_leave_a_reason_and_no_picture(kind: str, kept: dict[str, Tensor], run: Run) -> None:
    path, _ = run.draw(kind)
    assert path.exists()
    for record in run.records:
        run.keep(record, arrays() | kept)
    path, missing = run.draw(kind)
    assert not path.exists() and "it cannot be drawn: " in missing


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_scores_that_no_axis_holds_leave_a_reason_and_no_picture(tmp_path: Path) -> None:
    run = Run(tmp_path)
    for seed, value in enumerate([1e-300, 1e308, 1.7e308]):
        run.add("m0", seed, values={"psnr": value})
    path, missing = run.draw("scatter", y="psnr")
    assert not path.exists() and missing.startswith("it cannot be drawn: ")


def test_one_panel_of_one_method_has_no_title(run: Run, drawn: list[Page]) -> None:
    run.draw("contours", methods=["m1"])
    run.draw("points", methods=["m1"], points="flat")
    assert [page.canvas.axes[0].get_title() for page in drawn] == ["", ""]
    run.draw("points", methods=["m1"])
    assert [one.get_title() for one in drawn[2].canvas.axes] == ["m1: flat", "m1: wide"]
    for number in (0, 3):
        run.fail(number)
    run.draw("contours")
    assert drawn[3].canvas.axes[0].get_title() == "m2"  # of three, so that it says whose it is


@pytest.mark.parametrize(
    ("kind", "change", "says"),
    [
        ("samples", {"methods": ["gol"]}, "no method named 'gol'; did you mean 'glo'?"),
        ("samples", {"dataset": "mnits"}, "no dataset named 'mnits'; did you mean 'mnist'?"),
        ("bars", {"values": ["psnr", "shrt"]}, "no metric named 'shrt'; did you mean 'short'?"),
        ("bars", {"reference": "psnr[gol]"}, "reference: no method named 'gol'; did you mean 'glo'?"),
        ("lines", {"y": "psrn"}, "no metric named 'psrn'; did you mean 'psnr'?"),
        ("scatter", {"x": "psrn"}, "no metric named 'psrn'; did you mean 'psnr'?"),
        ("curves", {"metric": "cuvre"}, "no metric named 'cuvre'; did you mean 'curve'?"),
        ("curves", {"metric": "seconds"}, "no metric named 'seconds'"),
    ],
)
def test_what_a_figure_misspells_is_found_without_running(kind: str, change: dict[str, Any], says: str) -> None:
    figure = parse_figure({"name": "f", "draw": kind, "caption": "c"} | EVERY_KIND[kind] | change)
    with pytest.raises(RecipeError) as caught:
        _check(figure)
    assert str(caught.value).startswith("figure 'f': ") and says in str(caught.value)


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_a_figure_that_names_what_there_is_passes(kind: str) -> None:
    _check(parse_figure({"name": "f", "draw": kind, "caption": "c"} | EVERY_KIND[kind]))
    change = {"scatter": {"x": "seconds", "y": "psnr.p5"}, "points": {"metric": "curve.first", "dataset": "mnist"}}
    options = EVERY_KIND[kind] | change.get(kind, {"methods": ["vae"]})
    _check(parse_figure({"name": "f", "draw": kind, "caption": "c"} | options))


def _check(figure: Figure) -> None:
    check_figure(
        figure,
        methods=["glo", "vae"],
        metrics=["psnr", "sharpness[k=2]", "curve"],
        names={"short": "sharpness[k=2]"},
        datasets=["digits", "mnist"],
    )
