"""Samples made elsewhere: every row is scored once, as it is, and nothing is claimed of what made them."""

from __future__ import annotations

import json
import os
import pickle
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import CommandLine
from dataset_files import encoded, noise, png_of_16_bits
from numpy.typing import NDArray
from PIL import Image
from pytorch_fid.fid_score import calculate_frechet_distance
from test_datasets import BAD_HEADERS, UNREADABLE, array_file

from benchsuite import Cell, DataMissingError, DataSpec, Model, ParameterError, Record, Run, Samples, UsageError
from benchsuite.harness.plan import make_plan
from benchsuite.harness.recipe import Recipe, recipe_from
from benchsuite.harness.registry import load_registry
from benchsuite.harness.runner import Job, run_job
from benchsuite.harness.store import RunStore
from benchsuite.kit import files
from benchsuite.results.changes import cell_changes, identity_of
from benchsuite.results.costs import rates_tables, seconds_tables
from benchsuite_plugins.methods.samples import SamplesMethod

GREY, COLOUR, VECTORS = (1, 8, 6), (3, 8, 6), (2,)
Array = NDArray[Any]


def pictures(rows: int, *shape: int, seed: int = 0) -> Array:
    """Bytes (N, *shape) of which no two rows are alike."""
    return noise(rows, *(shape or GREY), seed=seed)


def saved(path: Path, **arrays: Any) -> str:
    np.savez(path, **arrays)
    return str(path)


def filled(folder: Path, contents: dict[str, bytes]) -> str:
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return str(folder)


def digits(folder: Path, rows: int, seed: int = 0) -> tuple[str, Array]:
    """A folder of PNGs as large as those of ``digits``, and their bytes in the order of their names."""
    images = noise(rows, 16, 16, seed=seed)
    return filled(folder, {f"{n % 2}/{n:04d}.png": encoded(image) for n, image in enumerate(images)}), images


def fitted(path: str, shape: tuple[int, ...] = GREY) -> Model:
    train = Samples(torch.zeros(20, *shape, dtype=torch.uint8 if len(shape) == 3 else torch.float32))
    method = SamplesMethod(path=path)
    model = method.build(DataSpec(shape, train.kind, len(train), latent_dim=2))
    method.fit(model, train, Run(seed=0, device=torch.device("cpu")))
    return model


def drawn(model: Model, *sizes: int, seed: int = 1) -> Array:
    """As the harness draws: several times from one generator."""
    generator = torch.Generator().manual_seed(seed)
    return torch.cat([model.sample(size, generator) for size in sizes]).numpy()


def in_order(rows: Array) -> Array:
    return rows[np.lexsort(rows.reshape(len(rows), -1).T[::-1])]


def recipe_of(path: Path, samples: int, metrics: str, **others: Any) -> Recipe:
    return recipe_from({"methods": f"samples[path={path}]@s", "samples": samples, "metrics": metrics, **others})


def ran(cells: list[Cell], out: Path, *, score_only: bool = False) -> list[Record]:
    """The records of ``cells``, run in this process, to save the start of others."""
    store = RunStore(out)
    store.create()
    for cell in cells:
        run_job(Job(cell, str(out), True, False, score_only, 1, None), lambda fraction, text: None)
    records = [store.record(cell.key) for cell in cells]
    return [record for record in records if record is not None]


def scored(path: Path, samples: int, metrics: str, **recipe: Any) -> list[Record]:
    plan = make_plan(recipe_of(path, samples, metrics, **recipe), load_registry())
    return ran([planned.cell for planned in plan.cells], path.with_name("out"))


def values(record: Record) -> dict[str, float | None]:
    assert record.status == "ok", record.reason
    return {row.metric: row.value for row in record.metrics}


def test_samples_are_handed_out_once(tmp_path: Path) -> None:
    images = pictures(50)
    model = fitted(saved(tmp_path / "x.npz", samples=images))
    before = torch.get_rng_state()
    drawn(model, 16, seed=3)  # as the harness does first, from another generator
    rows = drawn(model, 20, 20, 10)
    assert np.array_equal(in_order(rows), in_order(images.astype(np.float32) / 255))
    assert not np.array_equal(rows, images.astype(np.float32) / 255)  # in a random order
    assert np.array_equal(rows, drawn(model, 50)) and not np.array_equal(rows, drawn(model, 50, seed=2))
    assert torch.equal(before, torch.get_rng_state())


def test_two_generators_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    model = fitted(saved(tmp_path / "x.npz", samples=pictures(30)))
    one, other = torch.Generator().manual_seed(1), torch.Generator().manual_seed(1)
    parts = [(model.sample(10, one), model.sample(10, other)) for _ in range(3)]
    assert all(torch.equal(a, b) for a, b in parts)
    assert np.array_equal(torch.cat([a for a, _ in parts]).numpy(), drawn(model, 30))


def test_a_generator_that_is_seeded_again_begins_anew(tmp_path: Path) -> None:
    model = fitted(saved(tmp_path / "x.npz", samples=pictures(30)))
    generator = torch.Generator()
    first = model.sample(20, generator.manual_seed(4))
    assert torch.equal(first, model.sample(20, generator.manual_seed(4)))


def test_more_rows_than_there_are_is_an_error(tmp_path: Path) -> None:
    model = fitted(saved(tmp_path / "x.npz", samples=pictures(30)))
    assert len(drawn(model, 16, 14)) == 30
    with pytest.raises(UsageError, match="samples has 30 rows, and more are asked for; run with --samples 30"):
        drawn(model, 16, 15)


def test_a_run_that_asks_for_more_is_refused_before_anything_runs(command_line: CommandLine, tmp_path: Path) -> None:
    digits(tmp_path / "fakes", 40)
    arguments = ("run", "-m", "samples[path=fakes],pca", "--metrics", "fd,psnr", "--out", "out")
    said = command_line(*arguments, check=2).stderr
    assert "samples[path=fakes] has 40 samples, and 4000 are asked for; run with --samples 40" in said
    assert not Path("out").exists()
    command_line(*arguments, "--samples", "40", check=0)
    plan = json.loads(command_line("plan", *arguments[1:], "--samples", "40", "--json", check=0).stdout)
    assert [cell["action"] for cell in plan["cells"]] == ["done"] * 2


@pytest.mark.parametrize("metric", ["sharpness", "psnr"])  # which asks for samples, and does not
@pytest.mark.parametrize("rows", [2, 40])
def test_sets_smaller_than_a_sheet_of_pictures_are_scored(rows: int, metric: str, tmp_path: Path) -> None:
    digits(tmp_path / "fakes", rows)
    (record,) = scored(tmp_path / "fakes", rows, metric)
    assert record.status == "ok" and list(tmp_path.glob("out/cells/*/samples.png"))


LAYOUTS = {
    "(N, H, W)": lambda x: x[:, 0],
    "(N, H, W, C)": lambda x: x.transpose(0, 2, 3, 1),
    "(N, C, H, W)": lambda x: x,
    "three equal channels": lambda x: x.repeat(3, 1),
    "int64": lambda x: x.astype(np.int64),
    "big-endian": lambda x: x.astype(">u2"),
    "floats": lambda x: x.astype(np.float32) / np.float32(255),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_one_set_of_images_is_the_same_rows_in_every_layout(layout: str, tmp_path: Path) -> None:
    images = pictures(30)
    rows = drawn(fitted(saved(tmp_path / "x.npz", images=LAYOUTS[layout](images))), 30)
    assert np.array_equal(in_order(rows), in_order(images.astype(np.float32) / 255))


def test_a_folder_an_archive_and_an_array_are_the_same_rows(tmp_path: Path) -> None:
    images = pictures(30, *COLOUR)
    pngs = {f"{n % 3}/{n:03d}.png": encoded(image.transpose(1, 2, 0)) for n, image in enumerate(images)}
    folder = filled(tmp_path / "folder", pngs | {"readme.txt": b"no image"})
    by_name = np.stack([images[int(name[-7:-4])] for name in sorted(pngs)])
    archive = saved(tmp_path / "x.npz", arr_0=by_name.transpose(0, 2, 3, 1), arr_1=np.arange(30))
    np.save(tmp_path / "x.npy", by_name)
    expected = drawn(fitted(folder, COLOUR), 30)
    assert np.array_equal(in_order(expected), in_order(images.astype(np.float32) / 255))
    for path in (archive, str(tmp_path / "x.npy")):
        assert np.array_equal(drawn(fitted(path, COLOUR), 30), expected)


def test_floats_are_kept_as_they_are(tmp_path: Path) -> None:
    images = np.random.default_rng(0).random((20, *GREY))
    rows = drawn(fitted(saved(tmp_path / "x.npz", data=images)), 20)
    assert np.array_equal(in_order(rows), in_order(images.astype(np.float32)))


def shades(mode: str, **options: Any) -> bytes:
    """An image file of 6 x 8 pixels that grey or RGB of 8 bits holds, kept in another ``mode``."""
    grey = Image.fromarray(noise(8, 6))
    return encoded(grey.convert("RGB").quantize(16) if mode == "P" else grey.convert(mode), **options)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA", "P"])
def test_a_mode_that_loses_nothing_is_read_as_pillow_shows_it(mode: str, tmp_path: Path) -> None:
    content = shades(mode)
    with Image.open(Path(filled(tmp_path / "x", {"a.png": content, "b.png": content})) / "a.png") as image:
        shown = np.asarray(image.convert("RGB")).transpose(2, 0, 1)
    rows = drawn(fitted(str(tmp_path / "x")), 2)
    assert np.array_equal(rows, np.stack([shown[:1]] * 2).astype(np.float32) / 255)


def transparent() -> bytes:
    return encoded(Image.fromarray(noise(8, 6, 4)))


def animated() -> bytes:
    first, second = (Image.fromarray(noise(8, 6, seed=seed)) for seed in (0, 1))
    return encoded(first, "GIF", save_all=True, append_images=[second])


def deep(*channels: int) -> bytes:
    values = noise(8, 6, *channels).astype(np.uint16) * 200
    return png_of_16_bits(values) if channels else encoded(Image.fromarray(values))


BAD_FILES = {
    "another size": (encoded(noise(8, 8)), GREY, "b.png: it has 8 x 8 pixels; the dataset needs images of 6 x 8"),
    "grey for colour": (
        encoded(noise(8, 6)),
        COLOUR,
        "b.png: it is grey; the dataset needs .* pixels, RGB; nothing is",
    ),
    "colour for grey": (
        encoded(noise(8, 6, 3)),
        GREY,
        "b.png: it is in colour; the dataset needs .* pixels, grey; not",
    ),
    "transparent": (transparent(), COLOUR, "b.png: it is transparent in parts"),
    "16 bits": (deep(), GREY, "b.png: it has more than 8 bits a channel"),
    "16 bits a channel": (deep(3), COLOUR, "b.png: it has more than 8 bits a channel"),
    "CMYK": (
        encoded(Image.fromarray(noise(8, 6, 3)).convert("CMYK"), "JPEG"),
        COLOUR,
        "it is neither grey nor RGB but CMYK",
    ),
    "animated": (animated(), GREY, "b.png: it holds 2 frames; save each as a file of its own"),
    "cut off": (encoded(noise(8, 6))[:60], GREY, "b.png: "),
    "text": (b"words", GREY, "b.png: it is no image"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_file_that_would_have_to_be_changed_is_refused_by_name(case: str, tmp_path: Path) -> None:
    content, shape, message = BAD_FILES[case]
    good = encoded(noise(8, 6) if shape == GREY else noise(8, 6, 3))
    path = filled(tmp_path / "x", {"a.png": good, "b.png": content, "c.png": good})
    with pytest.raises(ParameterError, match=f"samples: path='{path}' cannot be used: .*{message}"):
        fitted(path, shape)


BAD_ARRAYS: dict[str, tuple[dict[str, Array], tuple[int, ...], str]] = {
    "another size": (
        {"x": pictures(9, 1, 8, 8)},
        GREY,
        r"x has shape \(9, 1, 8, 8\); the dataset needs images of 6 x 8",
    ),
    "grey for colour": ({"x": pictures(9)}, COLOUR, "6 x 8 pixels, RGB; nothing is resized or converted"),
    "colour for grey": ({"x": pictures(9, *COLOUR)}, GREY, "x has images in colour; .* grey"),
    "floats above 1": ({"x": pictures(9) * 1.0}, GREY, r"x holds values from .*; floats are in \[0, 1\]; scale them"),
    "below 0": ({"x": -pictures(9).astype(int)}, GREY, "whole numbers are 0 to 255"),
    "NaN": ({"x": np.full((9, *GREY), np.nan)}, GREY, r"floats are in \[0, 1\]"),
    "images for vectors": (
        {"x": pictures(9)},
        VECTORS,
        r"x holds uint8 of shape .*; the dataset needs floats of .*, 2\)",
    ),
    "vectors for images": ({"x": np.zeros((9, 48))}, GREY, r"x has shape \(9, 48\)"),
    "other vectors": (
        {"x": np.zeros((9, 3))},
        VECTORS,
        r"of shape \(9, 3\); the dataset needs floats of shape \(N, 2\)",
    ),
    "whole vectors": ({"x": np.zeros((9, 2), int)}, VECTORS, "x holds int64"),
    "infinite vectors": (
        {"x": np.full((9, 2), 1e99)},
        VECTORS,
        "x holds NaN, infinity, or numbers that float32 does not",
    ),
    "no such name": (
        {"fakes": pictures(9)},
        GREY,
        "its arrays are fakes; exactly one has to be named samples, images, x",
    ),
    "two names": ({"x": pictures(9), "data": pictures(9)}, GREY, "its arrays are x, data; exactly one has to be"),
    "one row": ({"x": pictures(1)}, GREY, "it has 1 samples; at least 2 are needed"),
    "a number": ({"x": np.array(1.0)}, GREY, "it has 0 samples"),
    "by columns": ({"x": np.asfortranarray(pictures(9))}, GREY, "is stored by columns; save it with np.ascontiguous"),
}


@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_an_array_that_would_have_to_be_changed_is_refused(case: str, tmp_path: Path) -> None:
    arrays, shape, message = BAD_ARRAYS[case]
    with pytest.raises(ParameterError, match=f"samples: path='.*x.npz' cannot be used: .*{message}"):
        fitted(saved(tmp_path / "x.npz", **arrays), shape)


@pytest.mark.parametrize("case", UNREADABLE)
def test_a_damaged_archive_is_refused_before_anything_is_believed_of_it(case: str, tmp_path: Path) -> None:
    damage, message = UNREADABLE[case]
    path = saved(tmp_path / "x.npz", x=pictures(70, 9, 7))
    damage(tmp_path / "x.npz")
    for ask in questions(path):
        with pytest.raises(ParameterError, match=f"samples: path='{path}' cannot be used: .*({message})"):
            ask()


@pytest.mark.parametrize("header", BAD_HEADERS)
def test_a_damaged_array_is_refused_before_anything_is_believed_of_it(header: str, tmp_path: Path) -> None:
    path = str(tmp_path / "x.npy")
    Path(path).write_bytes(array_file(header))
    for ask in questions(path):
        with pytest.raises(ParameterError, match=f"samples: path='{path}' cannot be used: .*({BAD_HEADERS[header]})"):
            ask()


def questions(path: str) -> list[Callable[[], object]]:
    """Whatever looks at the files of the method."""
    method = SamplesMethod(path=path)
    return [method.content, method.most_samples, lambda: fitted(path, (1, 9, 7))]


class Hostile:
    """Leaves a file behind where it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.trace),)


def test_no_pickle_is_opened(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    hostile = np.array([Hostile(trace)] * 9, dtype=object)
    np.savez(tmp_path / "x.npz", samples=hostile)
    np.save(tmp_path / "x.npy", hostile)
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(Hostile(trace)))
    for name in ("x.npz", "x.npy", "x.pkl"):
        with pytest.raises(ParameterError, match="holds object; images are whole numbers|no archive of arrays"):
            fitted(str(tmp_path / name))
    assert not trace.exists()
    pickle.loads((tmp_path / "x.pkl").read_bytes())
    assert trace.exists()  # it would have


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nowhere", "there is no such file or folder; give a folder of images, an .npz or an .npy"),
        ("empty", "it has no images, no files; known are .png"),
        ("texts", "it has no images, only 2 files of other kinds"),
        ("texts/a.txt", "it is no archive of arrays; make one with np.savez"),
    ],
)
def test_a_path_without_samples_stops_a_run_at_once(
    path: str, message: str, command_line: CommandLine, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    filled(tmp_path / "texts", {"a.txt": b"words", "b.txt": b"words"})
    said = command_line("run", "-m", f"samples[path={path}],pca", "--out", "out", check=2).stderr
    assert f"samples: path='{path}' cannot be used: {message}" in said and not Path("out").exists()


def test_images_are_no_vectors(tmp_path: Path) -> None:
    path, _ = digits(tmp_path / "x", 3)
    with pytest.raises(ParameterError, match="it is a folder of images, and the dataset's samples are vectors of 2"):
        fitted(path, VECTORS)


def test_a_path_that_no_selection_can_hold_is_refused() -> None:
    with pytest.raises(ParameterError, match=r"samples: path='a,b' is not allowed; a selection cannot hold its commas"):
        SamplesMethod(path="a,b")


def test_fd_of_a_folder_is_what_pytorch_fid_says_of_the_same_files(tmp_path: Path) -> None:
    _, images = digits(tmp_path / "fakes", 300)
    (record,) = scored(tmp_path / "fakes", 300, "fd[features=pixels]")
    train = load_registry().get("datasets", "digits")().load("train", tmp_path)[:].double().flatten(1).numpy()
    generated = images.reshape(300, -1) / 255
    moments = [part for x in (generated, train) for part in (x.mean(0), np.cov(x, rowvar=False))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a covariance that is singular, as the border of digits makes it
        expected = calculate_frechet_distance(*moments)
    assert values(record)["fd[features=pixels]"] == pytest.approx(expected, rel=1e-4)


def test_vectors_have_the_moments_of_the_file(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal([1, -2], [0.5, 3], (700, 2))
    saved(tmp_path / "x.npz", samples=rows)
    (record,) = scored(tmp_path / "x.npz", 700, "moments", datasets="bivariate_normal")
    expected = {f"moments.mean.{i}": value for i, value in enumerate(rows.mean(0))}
    expected |= {f"moments.std.{i}": value for i, value in enumerate(rows.std(0, ddof=1))}
    assert values(record) == pytest.approx(expected, rel=1e-5)


def test_coordinates_alone_are_vectors_of_one(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=20)
    np.save(tmp_path / "x.npy", values)
    rows = drawn(fitted(str(tmp_path / "x.npy"), (1,)), 20)
    assert np.array_equal(np.sort(rows[:, 0]), np.sort(values.astype(np.float32)))


def test_each_seed_scores_all_rows_or_other_ones(tmp_path: Path) -> None:
    digits(tmp_path / "fakes", 120)

    def fd(samples: int) -> list[Any]:
        return [values(record)["fd"] for record in scored(tmp_path / "fakes", samples, "fd", seeds=3)]

    all_rows, some = fd(120), fd(60)
    assert all_rows == pytest.approx([all_rows[0]] * 3, rel=1e-5)
    assert len(set(some)) == 3 and np.std(some) > 1e-3 * np.mean(some)


def test_every_metric_scores_or_says_why_it_does_not(tmp_path: Path) -> None:
    digits(tmp_path / "fakes", 100)
    saved(tmp_path / "x.npz", samples=np.random.default_rng(0).normal(size=(100, 2)))
    metrics = ",".join(load_registry().names("metrics"))
    for path, dataset in (("fakes", "digits"), ("x.npz", "bivariate_normal")):
        (record,) = scored(tmp_path / path, 100, metrics, datasets=dataset)
        assert record.status == "ok"
        assert {"fd", "kid", "precision", "authpct"} <= {row.metric for row in record.metrics if row.status == "ok"}
        reasons = {row.metric: row.reason for row in record.metrics if row.status != "ok"}
        assert {row.status for row in record.metrics} == {"ok", "skipped"} and all(reasons.values())
        for name in ("psnr", "recovery_success", "pag", "ssim", "interpolations"):
            assert reasons[name] == "the method has no decode"


def test_nothing_is_claimed_of_what_made_them(tmp_path: Path) -> None:
    digits(tmp_path / "fakes", 100)
    (record,) = scored(tmp_path / "fakes", 100, "fd,parameters,flops")
    unknown = "its samples were made elsewhere, by a model of unknown size"
    assert [(row.status, row.reason) for row in record.metrics] == [("ok", ""), *[("skipped", unknown)] * 2]
    assert record.notes == ("its samples were made elsewhere, at a cost that is not known",) and not record.reference
    cell = replace(record.cell, metrics=("kid",))
    for told in (record, *ran([cell], tmp_path / "out", score_only=True)):
        assert told.parameters is None and told.codes is None
        assert not {"fit", "sample", "warm_up.sample"} & {phase.phase for phase in told.phases}
        (seconds,), (rates,) = seconds_tables([told]).values(), rates_tables([told]).values()
        assert not {"fit [s]", "sample [s]"} & set(seconds) and "features [s]" in seconds
        assert not {"sample [1/s]", "parameters"} & set(rates)
    assert "kid" in values(told)


def test_a_changed_file_runs_its_cell_again_and_no_other(tmp_path: Path) -> None:
    folder, _ = digits(tmp_path / "fakes", 40)
    first, recipe = Path(folder, "0", "0000.png"), recipe_of(tmp_path / "fakes", 40, "fd", seeds=2)
    before, store = first.read_bytes(), RunStore(tmp_path / "out")

    def actions() -> list[tuple[str, str]]:
        return [(one.action, one.why) for one in make_plan(recipe, load_registry(), store).cells]

    finished = [("done", "finished")] * 2
    scored(tmp_path / "fakes", 40, "fd", seeds=2)
    assert actions() == finished
    os.utime(first, (1, 1))  # another time, the same bytes
    assert actions() == finished
    first.write_bytes(encoded(noise(16, 16, seed=9)))
    assert actions() == [("run", "method_content changed since it was run")] * 2
    scored(tmp_path / "fakes", 40, "fd", seeds=2)
    assert actions() == finished
    first.rename(first.with_name("zzzz.png"))
    assert [action for action, _ in actions()] == ["run"] * 2
    first.with_name("zzzz.png").unlink()
    first.write_bytes(before)
    assert actions() == finished  # by the records of before


def test_what_identifies_files_is_what_is_in_them_not_where_they_lie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, _ = digits(tmp_path / "here", 5)
    there, _ = digits(tmp_path / "there", 5)
    assert SamplesMethod(path=here).content() == SamplesMethod(path=there).content()
    monkeypatch.setattr(files, "_READ_BYTES", 100)  # what is larger goes by size and time
    before = SamplesMethod(path=here).content()
    image = Path(here, "0", "0000.png")
    os.utime(image, ns=(1, image.stat().st_mtime_ns))
    assert SamplesMethod(path=here).content() == before
    os.utime(image, ns=(1, 1))
    assert SamplesMethod(path=here).content() != before


def test_what_changed_in_the_files_is_told_where_runs_are_compared(tmp_path: Path) -> None:
    folder, _ = digits(tmp_path / "fakes", 40)
    before = scored(tmp_path / "fakes", 40, "fd")
    Path(folder, "0", "0000.png").write_bytes(encoded(noise(16, 16, seed=9)))
    sides = [{identity_of(record): record for record in found} for found in (before, scored(Path(folder), 40, "fd"))]
    assert list(cell_changes(*sides)["what"]) == ["files read"]


def test_files_that_change_between_plan_and_cell_are_refused(tmp_path: Path) -> None:
    folder, _ = digits(tmp_path / "fakes", 40)
    (planned,) = make_plan(recipe_of(tmp_path / "fakes", 40, "fd"), load_registry()).cells
    Path(folder, "0", "0000.png").write_bytes(encoded(noise(16, 16, seed=9)))
    (record,) = ran([planned.cell], tmp_path / "out")
    assert (record.status, record.reason) == ("error", "what s reads has changed meanwhile; run the same command again")


def test_a_method_that_cannot_say_what_it_reads_breaks_its_own_cells_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = digits(tmp_path / "fakes", 40)

    def fails(self: SamplesMethod) -> str:
        raise DataMissingError("its files are on a tape")

    monkeypatch.setattr(SamplesMethod, "content", fails)
    recipe = recipe_from({"methods": f"samples[path={folder}],pca", "samples": 40})
    broken, other = make_plan(recipe, load_registry()).cells
    assert (broken.action, broken.why) == ("broken", "its files are on a tape") and other.action == "run"
