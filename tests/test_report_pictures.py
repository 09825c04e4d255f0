"""The pictures of a report show what records and cells' files hold, say what they lack, and keep to their limit."""

from __future__ import annotations

import io
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import made_up_runs
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from benchsuite.contracts import PhaseRow, Record
from benchsuite.harness.pictures import write_sheet
from benchsuite.harness.store import RunStore
from benchsuite.reports import Picture
from benchsuite.results.figures.material import Missing
from benchsuite.results.figures.page import styled
from benchsuite.results.gallery import draw
from benchsuite.results.gallery.curves import curves
from benchsuite.results.gallery.fronts import on_front, pareto
from benchsuite.results.gallery.planes import codes
from benchsuite.results.gallery.ranks import alike
from benchsuite.results.gallery.stock import Stock, stocked
from benchsuite.results.gallery.times import phases, timed

NO_RANKS = pd.DataFrame(columns=["metric", "datasets", "method", "rank", "critical_difference", "p"])
SECTIONS = ("ranks", "phases", "pareto", "curves", "samples", "reconstructions", "interpolations", "codes")
PLENTY = 10**9
HOSTILE = "<script>alert(1)</script>|$\\frac{1}{2}$\u202e=cmd()\U0001f600 \\input " + "width=" * 50
SHEET = torch.arange(16 * 8 * 8).view(16, 1, 8, 8) % 251 / 250


class WatchedStore(RunStore):
    """Remembers whose files were looked for."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.asked: set[str] = set()

    def cell_folder(self, key: str) -> Path:
        self.asked.add(key)
        return super().cell_folder(key)


@dataclass
class Made:
    """Made-up cells of two datasets, with or without files."""

    folder: Path
    cells: list[tuple[RunStore, Record]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = WatchedStore(self.folder)

    def add(self, method: str, seed: int = 0, dataset: str = "digits", files: bool = False, **changes: Any) -> Path:
        number = len(self.cells)
        made = made_up_runs.cell(method, seed, dataset, ["psnr"])
        cell = replace(made, key=f"cell{number}", method_name="m", params={})
        seconds = {"load": 0.5, "fit": 2.0 + number, "fit.second": 1.0, "train": 1.5, "sample": 0.25}
        record = Record(cell, "ok", phases=timings(seconds), environment="e1")
        self.cells.append((self.store, replace(record, **changes)))
        folder = self.folder / "cells" / cell.key
        if files:
            folder.mkdir(parents=True)
            keep(folder, number)
        return folder

    def stock(self) -> Stock:
        return stocked(self.cells)[0]

    def summary(self, titles: tuple[str, ...] = ("psnr [dB] ↑",), direction: str = "max") -> pd.DataFrame:
        pairs = dict.fromkeys((r.cell.dataset, r.cell.method) for _, r in self.cells)
        rows = [
            {"dataset": d, "metric": t, "column": t, "unit": "", "direction": direction, "method": m, "n": 3}
            | {"mean": 20.0 + k, "low": 19.0 + k, "high": 21.0 + k, "contends": True}
            for t in titles
            for k, (d, m) in enumerate(pairs)
        ]
        return pd.DataFrame(rows)

    def draw(self, limit: int = PLENTY, ranks: pd.DataFrame = NO_RANKS) -> list[Picture]:
        return draw(self.cells, self.summary(), ranks, limit)


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(tmp_path)


def timings(seconds: Mapping[str, float]) -> tuple[PhaseRow, ...]:
    return tuple(PhaseRow(name, value, value, 1, None, None) for name, value in seconds.items())


def keep(folder: Path, number: int = 0) -> None:
    """All that a cell may keep to be looked at."""
    rows = [f"{step},0,,loss,{(step + number) / 10}\n" for step in range(1, 9)]
    (folder / "curve.csv").write_text("step,epoch,stage,name,value\n" + "".join(rows))
    for name in ("samples", "reconstructions", "interpolations"):
        write_sheet(SHEET, folder / f"{name}.png")
    random = np.random.default_rng(number)
    codes = random.normal(size=(30, 3)).astype(np.float32)
    np.savez(folder / "codes.npz", codes=codes, labels=np.arange(30) % 3, prior=codes[::-1])


def ranks(places: Mapping[str, float], difference: float = 1.0) -> pd.DataFrame:
    rows = [{"metric": "fd ↓", "datasets": 7, "method": m, "rank": r} for m, r in places.items()]
    return pd.DataFrame(rows).assign(critical_difference=difference, p=0.01)


def test_every_section_is_drawn_in_order_alike_each_time_and_900_pixels_wide(made: Made) -> None:
    for dataset, method, seed in itertools.product(("digits", "patches"), ("a", "b"), (0, 1)):
        made.add(method, seed, dataset, files=True)
    pictures = made.draw(ranks=ranks({"a": 1.2, "b": 1.8}))
    assert [picture.section for picture in pictures] == ["ranks", *(s for s in SECTIONS[1:] for _ in range(2))]
    assert [picture.title for picture in pictures] == ["fd ↓", *["digits", "patches"] * 7]
    assert all(Image.open(io.BytesIO(picture.png)).width == 900 for picture in pictures)
    assert all(picture.caption.endswith(".") and not picture.missing for picture in pictures)
    assert pictures == made.draw(ranks=ranks({"a": 1.2, "b": 1.8}))


def test_a_run_without_files_or_scores_has_its_times_only(made: Made) -> None:
    made.add("a")
    assert [picture.section for picture in draw(made.cells, made.summary()[:0], NO_RANKS, PLENTY)] == ["phases"]
    assert draw([], made.summary()[:0], NO_RANKS, PLENTY) == []


def test_bars_are_mean_seconds_over_seeds_and_what_lies_inside_fit_is_not_added(made: Made) -> None:
    made.add(
        "a", 0, phases=timings({"load": 1.0, "load.test": 0.5, "build": 0.5, "fit": 4.0, "fit.s": 3.0, "train": 9.0})
    )
    made.add(
        "a", 1, phases=timings({"fit": 6.0, "metric.fd[n=3.5]": 1.0, "warm_up.encode.test": 0.5, "encode.test": 2.0})
    )
    (group,) = timed(made.stock())
    with styled():
        axes = phases(group).page.canvas.axes[0]
    widths = {str(bar.get_label()): bar.patches[0].get_width() for bar in axes.containers}  # type: ignore[attr-defined]
    assert widths == {"set-up": 1.0, "fit": 5.0, "encoding": 1.0, "metrics": 0.5, "warm-up": 0.25}
    assert [text.get_text() for text in axes.texts] == ["7.75 s"]


def test_times_that_cannot_be_compared_stand_in_pictures_of_their_own(made: Made) -> None:
    made.add("a")
    made.add("b", contended=True)
    made.add("c", environment="e2")
    made.add("d", phases=())
    groups = {group.title: list(group.stock.methods) for group in timed(made.stock())}
    assert groups == {"digits on e1": ["a"], "digits on e2": ["c"], "digits on e1, contended": ["b"]}


def test_the_front_is_what_nothing_else_dominates() -> None:
    random = np.random.default_rng(0)
    cost, loss = random.integers(0, 6, 40).astype(float), random.integers(0, 6, 40).astype(float)
    points = set(zip(cost, loss, strict=True))
    best = {(c, v) for c, v in points if not any((a <= c and b <= v) and (a, b) != (c, v) for a, b in points)}
    found = on_front(cost, loss)
    assert [(cost[i], loss[i]) for i in found] == sorted(best)


def test_points_are_scores_against_seconds_of_training_without_references_and_other_machines(made: Made) -> None:
    for method in ("slow", "fast", "real", "elsewhere", "beside"):
        for seed in (0, 1):
            made.add(method, seed)
    changes: dict[str, dict[str, Any]] = {
        "real": {"reference": True},
        "elsewhere": {"environment": "e2"},
        "beside": {"contended": True},
    }
    made.cells = [(store, replace(r, **changes.get(r.cell.method, {}))) for store, r in made.cells]
    with styled():
        drawing = pareto(made.stock(), made.summary())
    assert drawing is not None
    axes = drawing.page.canvas.axes[0]
    points = {str(line.get_label()): np.asarray(line.get_xydata())[0].tolist() for line in axes.lines}
    marked = {name: place for name, place in points.items() if not name.startswith("_")}
    assert marked == {"slow": [2.5, 20.0], "fast": [4.5, 21.0]}  # fit takes 2 s and one more for each cell before
    assert axes.get_ylabel() == "higher is better"
    told = str(drawing.missing)
    assert "real: training data by design" in told
    assert "elsewhere, beside: timed on another machine than most" in told and "hollow" not in drawing.page.footnote


def test_where_no_cell_ran_alone_points_are_hollow_and_it_is_said(made: Made) -> None:
    for method in ("a", "b"):
        made.add(method, contended=True)
    with styled():
        drawing = pareto(made.stock(), made.summary())
    assert drawing is not None and "no cell ran alone" in drawing.page.footnote
    marks = [line for line in drawing.page.canvas.axes[0].lines if line.get_label() in ("a", "b")]
    assert [line.get_markerfacecolor() for line in marks] == ["white", "white"]


def test_at_most_six_metrics_with_a_direction_are_shown_copies_apart(made: Made) -> None:
    made.add("a")
    made.add("copy")
    summary = made.summary(tuple(f"m{k} ↑" for k in range(8)))
    summary.loc[summary["method"] == "copy", "contends"] = False
    summary.loc[summary["metric"] == "m0 ↑", "direction"] = "none"
    with styled():
        drawing = pareto(made.stock(), summary)
    assert drawing is not None
    assert [axes.get_title() for axes in drawing.page.canvas.axes] == [f"m{k} ↑" for k in range(1, 7)]
    assert str(drawing.missing).startswith("copy: copies of training data") and "m7 ↑: left out" in str(drawing.missing)


def test_lines_are_means_over_seeds_with_their_range_thinned(made: Made) -> None:
    values = np.random.default_rng(0).normal(size=(3, 1200)) + 5
    for seed in range(3):
        folder = made.add("a", seed, files=True)
        rows = [f"{step},0,two,loss,{float(v)!r}\n" for step, v in enumerate(values[seed])]
        (folder / "curve.csv").write_text("step,epoch,stage,name,value\n" + "".join(rows) + f"{seed},0,one,loss,1\n")
    with styled():
        drawing = curves(made.stock())
    assert drawing is not None
    two, one = drawing.page.canvas.axes
    assert [two.get_title(), one.get_title()] == ["loss (two)", "loss (one)"]
    steps, means = (np.asarray(data) for data in two.lines[0].get_data())
    assert len(steps) == 500 and steps[0] == 0 and steps[-1] == 1199
    np.testing.assert_allclose(means, values.mean(0)[steps], rtol=1e-12)
    band = np.asarray(two.collections[0].get_paths()[0].vertices)
    for place in (0, 77, 499):
        at = band[band[:, 0] == steps[place]][:, 1]
        np.testing.assert_allclose(
            [at.min(), at.max()], [values[:, steps[place]].min(), values[:, steps[place]].max()], rtol=1e-12
        )
    assert drawing.page.footnote == "Means over 3 seeds, with their range as a band."
    assert "seeds have no step of loss in common" in str(drawing.missing)  # in stage one


def test_codes_are_shown_in_their_principal_directions_with_the_share_of_variance(made: Made) -> None:
    random = np.random.default_rng(0)
    scales = np.array([3.0, 0.1, 2.0, 0.5])
    z, prior = random.normal(size=(400, 4)) * scales, random.normal(size=(400, 4))
    folder = made.add("a", files=True)
    np.savez(folder / "codes.npz", codes=z, prior=prior)
    with styled():
        drawing = codes(made.stock())
    assert drawing is not None
    (axes,) = drawing.page.canvas.axes
    values, vectors = np.linalg.eigh(np.cov(z.T))
    first, second = (values[[-1, -2]] / values.sum() * 100).round().astype(int)
    assert (axes.get_xlabel(), axes.get_ylabel()) == (f"direction 1 ({first}%)", f"direction 2 ({second}%)")
    for points, given in zip(axes.collections, (prior, z), strict=True):  # those of the prior below
        expected = (given - z.mean(0)) @ vectors[:, [-1, -2]]
        np.testing.assert_allclose(np.abs(points.get_offsets()), np.abs(expected), atol=1e-6)


def test_codes_of_two_dimensions_are_shown_as_they_are_by_class(made: Made) -> None:
    z = np.random.default_rng(0).normal(size=(30, 2)) + 7
    folder = made.add("a", files=True)
    np.savez(folder / "codes.npz", codes=z, labels=np.arange(30) % 3)
    with styled():
        drawing = codes(made.stock())
    assert drawing is not None
    classes = drawing.page.canvas.axes[0].collections
    for number, points in enumerate(classes):
        np.testing.assert_allclose(np.asarray(points.get_offsets()), z[number::3])
    assert [points.get_label() for points in classes] == ["class 0", "class 1", "class 2"]


def test_sheets_show_the_first_seed_that_finished_in_its_own_pixels(made: Made) -> None:
    made.add("a", 0, files=True, status="diverged", reason="NaN at step 3")
    made.add("a", 1, files=True)
    made.add("b", 0, files=True)
    (picture,) = [picture for picture in made.draw() if picture.section == "samples"]
    assert "Seeds 0 and 1 (of each method the first that finished)" in picture.caption
    assert picture.missing == "a (seed 0): diverged"
    pixels = np.asarray(Image.open(io.BytesIO(picture.png)).convert("L"))
    scale = int(picture.caption.split("enlarged ")[1].split()[0])
    first = np.round(SHEET[0, 0].numpy() * 255).astype(np.uint8).repeat(scale, 0).repeat(scale, 1)
    height, width = first.shape
    windows = np.lib.stride_tricks.sliding_window_view(pixels, width, axis=1)
    places = zip(*np.nonzero((windows == first[0]).all(-1)), strict=True)
    found = {int(left) for top, left in places if np.array_equal(pixels[top:, left:][:height, :width], first)}
    assert len(found) == 2  # one for each method, side by side


def test_vectors_are_shown_where_there_are_no_images(made: Made) -> None:
    folder = made.add("a")
    folder.mkdir(parents=True)
    np.savez(folder / "vectors.npz", samples=np.ones((5, 3)), real=np.zeros((7, 3)))
    (picture,) = [picture for picture in made.draw() if picture.section == "samples"]
    assert "first two dimensions of samples" in picture.caption


@pytest.mark.parametrize("difference", [0.5, 1.0, 3.0])
def test_thick_lines_join_the_largest_groups_within_the_critical_difference(difference: float) -> None:
    places = sorted(np.random.default_rng(3).uniform(1, 8, 9))
    close = [(i, j) for i in range(9) for j in range(i + 1, 9) if places[j] - places[i] <= difference]
    largest = [(i, j) for i, j in close if not any(a <= i and j <= b and (a, b) != (i, j) for a, b in close)]
    assert alike(places, difference) == largest


def test_an_unknown_critical_difference_joins_nothing_and_one_method_is_not_ranked(made: Made) -> None:
    made.add("a")
    drawn = made.draw(ranks=ranks({"a": 1.2, "b": 1.8}, float("nan")))
    assert drawn[0].section == "ranks" and "thick lines" not in drawn[0].caption
    assert [picture.section for picture in made.draw(ranks=ranks({"a": 1.0}))] == ["phases"]


def test_pictures_keep_to_the_limit_fairly_and_say_what_is_left_out(made: Made) -> None:
    for dataset, method in itertools.product(("d0", "d1", "d2"), ("a", "b")):
        for path in made.add(method, 0, dataset, files=True).iterdir():
            if path.name not in ("curve.csv", "samples.png"):
                path.unlink()
    first = draw(made.cells[:2], made.summary(), NO_RANKS, PLENTY)
    sections = ["phases", "pareto", "curves", "samples"]
    assert [picture.section for picture in first] == sections
    pictures = made.draw(limit=sum(len(picture.png) for picture in first))
    assert [picture.section for picture in pictures] == sections
    assert {picture.title for picture in pictures} == {"d0"}
    assert all("2 more pictures left out" in p.missing and "(d1, d2)" in p.missing for p in pictures)
    only = len(first[0].png)
    few = made.draw(limit=only)
    assert sum(len(picture.png) for picture in few) <= only
    assert [picture.section for picture in few] == ["phases"] and "curves: 3 more pictures left out" in few[0].missing
    assert made.draw(limit=0) == []


def test_files_of_cells_that_are_not_drawn_are_not_looked_for(made: Made) -> None:
    for number in range(30):
        for seed in range(210):
            made.add(f"m{number}", seed, phases=())
    pictures = made.draw()
    numbers = {int(key.removeprefix("cell")) // 210 for key in made.store.asked}
    assert numbers == set(range(24)) and not pictures  # a picture of lines has 24


def test_what_there_is_no_room_for_in_a_picture_is_named(made: Made) -> None:
    for number in range(26):
        made.add(f"m{number}", files=True)
    told = {picture.section: picture.missing for picture in made.draw()}
    for section in ("phases", "pareto", "curves"):
        assert told[section] == "m24, m25: left out, a picture shows 24 methods"
    for section in SECTIONS[4:]:
        assert told[section] == (
            "m12, m13, m14, m15, m16, m17, m18, m19 and 6 more: left out, a picture shows 12 methods"
        )


def test_files_that_are_damaged_are_told_and_the_others_drawn(made: Made) -> None:
    made.add("good", files=True)
    folder = made.add("bad", files=True)
    for path in folder.iterdir():
        path.write_bytes(b"\x00damaged")
    told = {picture.section: picture.missing for picture in made.draw()}
    assert set(told) == set(SECTIONS[1:])
    for section in SECTIONS[3:]:
        assert told[section].startswith("bad") and "cannot be read" in told[section]


def test_labels_from_strangers_are_drawn_as_they_are_and_told_in_short(made: Made) -> None:
    made.add(HOSTILE, files=True)
    made.add("\u202e" + "x" * 10_000, status="error", reason="<b>\u202e" + "y" * 10_000)
    pictures = made.draw(ranks=ranks({HOSTILE: 1.0, "b": 2.0}))
    assert {picture.section for picture in pictures} == {*SECTIONS} - {"pareto"}
    for picture in pictures:
        assert "\u202e" not in picture.missing + picture.caption and len(picture.missing) < 500


def test_what_no_axis_has_a_place_for_is_told_by_another_picture(made: Made) -> None:
    made.add("a", phases=timings({"fit": float("inf")}), files=True)
    pictures = made.draw()
    assert "phases" not in {picture.section for picture in pictures}
    assert "phases: digits cannot be drawn" in pictures[-1].missing


def test_all_that_failed_is_told_of_what_is_shown(made: Made) -> None:
    missing = Missing()
    made.add("a")
    made.add("a", 1, status="oom", reason="out of memory")
    made.add("b", status="timeout")
    assert list(made.stock().finished(24, missing)) == ["a"]
    assert str(missing) == "a (seed 1): oom; b (seed 0): timeout"
