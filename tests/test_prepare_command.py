"""``benchsuite prepare``, and what runs make of prepared data."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import CommandLine
from PIL import Image

from benchsuite.harness.plan import make_plan
from benchsuite.harness.recipe import recipe_from
from benchsuite.harness.registry import load_registry


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("BENCHSUITE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def photographs(tmp_path: Path) -> str:
    """A selection of a folder with 64 images in two classes."""
    generator = np.random.default_rng(0)
    for number in range(64):
        path = tmp_path / "photographs" / ("night" if number % 2 else "day") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (20, 16, 3), dtype=np.uint8)).save(path)
    return "folder[path=photographs,size=16]"


def test_a_folder_is_prepared_and_run_on(command_line: CommandLine, photographs: str, cache: Path) -> None:
    made = command_line("prepare", photographs, check=0)
    assert f"{photographs} is prepared: 62 for training and 2 for testing, each 3 x 16 x 16" in made.stderr
    assert made.stdout == ""
    printed = command_line(
        "run", "-m", "pca", "-d", photographs, "--latent-dim", "4", "--metrics", "psnr", "--json", check=0
    )
    (row,) = json.loads(printed.stdout)["results"]
    assert row["status"] == "ok" and row["n"] == 2
    again = command_line("prepare", photographs, check=0)
    assert "100%" in made.stderr and "100%" not in again.stderr
    assert not list(cache.glob("sources/*"))


def test_a_run_on_what_is_not_prepared_says_how_to_prepare_it(command_line: CommandLine, photographs: str) -> None:
    planned = command_line("plan", "-m", "pca", "-d", photographs, check=0)
    assert "is not in the cache; run: benchsuite prepare 'folder[path=" in planned.stdout
    ran = command_line("run", "-m", "pca", "-d", f"{photographs},digits", "--metrics", "psnr", check=1)
    assert "is not in the cache; run: benchsuite prepare 'folder[path=" in ran.stdout
    assert "pca on digits, seed 0: ok" in ran.stderr


def test_the_list_says_what_is_there(command_line: CommandLine, photographs: str, cache: Path) -> None:
    empty = command_line("prepare", "--list", check=0)
    assert empty.stdout == f"{cache}: 0 datasets prepared, 0 files fetched\n"
    command_line("prepare", photographs, check=0)
    (cache / "sources" / "svhn").mkdir(parents=True)
    (cache / "sources" / "svhn" / "train_32x32.mat.part").write_bytes(bytes(3 * 2**20))
    listed = json.loads(command_line("prepare", "--list", "--json", check=0).stdout)
    (store,), (file,) = listed["prepared"], listed["fetched"]
    assert (store["images"], store["shape"], store["left_out"]) == (64, [3, 16, 16], 0)
    assert file == {"dataset": "svhn", "file": "train_32x32.mat", "mib": 3.0, "whole": False}
    shown = command_line("prepare", "--list", check=0).stdout
    assert store["fingerprint"] in shown and "train_32x32.mat" in shown and "in part" in shown


def test_bad_images_are_named_and_left_out_only_when_asked(
    command_line: CommandLine, photographs: str, tmp_path: Path
) -> None:
    (tmp_path / "photographs" / "day" / "bad.jpg").write_bytes(b"\xff\xd8 no more than a beginning")
    refused = command_line("prepare", photographs, check=1)
    assert "1 of 65 images, unreadable: day/bad.jpg: it is no image, or none of a known format" in refused.stderr
    assert "--skip-bad" in refused.stderr
    made = command_line("prepare", photographs, "--skip-bad", check=0)
    assert "left out 1 of 65 images, unreadable: day/bad.jpg" in made.stderr
    assert "62 for training and 2 for testing" in made.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "name what to prepare, or give --list alone"),
        (("digits", "--list"), "name what to prepare, or give --list alone"),
        (("mnits",), "no dataset or feature extractor named 'mnits'; did you mean 'mnist'?"),
        (("celeba[crop=200]",), "celeba: crop=200 is not allowed; images have 178 x 218 pixels"),
        (("celeba[size=big]",), "celeba: size='big' is not allowed; size is a whole number"),
        (("lsun[scene=garden]",), "scene='garden' is not allowed; scene is one of bedroom, bridge"),
        (("folder",), "folder needs a value for path: text"),
        (("digits@mine",), "'digits@mine' has a label; labels are for runs"),
        (("npz[path=",), "brackets do not match"),
    ],
)
def test_what_cannot_be_prepared_is_refused_before_anything_is_done(
    command_line: CommandLine, cache: Path, arguments: tuple[str, ...], message: str
) -> None:
    assert message in command_line("prepare", *arguments, check=2).stderr
    assert not cache.exists()


def test_one_dataset_that_fails_does_not_keep_others_from_being_prepared(
    command_line: CommandLine, photographs: str
) -> None:
    result = command_line("prepare", "folder[path=nowhere]", "npz[path=none.npz]", photographs, "--json", check=1)
    first, second, third = json.loads(result.stdout)
    assert "there is no folder" in first["error"] and "none.npz cannot be read" in second["error"]
    assert third["train"] == 62 and third["error"] == ""


def test_a_plugins_own_error_does_not_either(
    command_line: CommandLine, photographs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: object, sources: Path, work: Path) -> None:
        raise EOFError("a plugin's own mistake")

    monkeypatch.setattr("benchsuite_plugins.datasets.npz.Npz.read", fail)
    official = photographs.replace("]", ",split=official]")
    result = command_line("prepare", "npz[path=x.npz]", official, photographs, "--json", check=1)
    first, second, third = json.loads(result.stdout)
    assert first["error"] == "EOFError: a plugin's own mistake"
    assert "has no split of its own; leave it out for every 32nd image" in second["error"]
    assert third["error"] == ""


@pytest.mark.parametrize("broken", ["file", "folder/below/a/file"])
def test_a_cache_that_cannot_be_used_is_named(
    command_line: CommandLine, photographs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("BENCHSUITE_CACHE", str(tmp_path / "file" / "x" if broken != "file" else tmp_path / "file"))
    result = command_line("prepare", photographs, check=1)
    assert f"the cache is {tmp_path / 'file'}" in result.stderr and "BENCHSUITE_CACHE moves it" in result.stderr


def test_litter_in_the_cache_does_not_keep_the_list_from_showing(
    command_line: CommandLine, photographs: str, cache: Path
) -> None:
    command_line("prepare", photographs, check=0)
    (cache / "prepared" / "junk").mkdir()
    (cache / "prepared" / "junk" / "store.json").write_text('{"parts": 3}')
    (cache / "sources" / "mnist").mkdir(parents=True)
    (cache / "sources" / "mnist" / "gone").symlink_to("nothing")
    shown = command_line("prepare", "--list", check=0).stdout
    assert "1 datasets prepared" in shown and "folder[path=" in shown


def test_data_that_need_no_preparation_say_so(command_line: CommandLine) -> None:
    result = command_line("prepare", "digits", "patches", check=0)
    assert "digits needs no preparation: 1740 for training and 57 for testing, each 1 x 16 x 16" in result.stderr
    assert "patches needs no preparation: 5200 for training and 104 for testing, each 3 x 32 x 32" in result.stderr


def fingerprint(selection: str, **recipe: int) -> tuple[str, str]:
    """The dataset's fingerprint and the cell's key."""
    plan = make_plan(recipe_from({"methods": "pca", "datasets": selection, **recipe}), load_registry())
    return plan.cells[0].cell.dataset_fingerprint, plan.cells[0].cell.key


def test_a_cells_identity_covers_the_prepared_images(
    command_line: CommandLine, photographs: str, tmp_path: Path
) -> None:
    command_line("prepare", photographs, check=0)
    before = fingerprint(photographs)
    assert before == fingerprint(photographs)
    Image.new("RGB", (16, 16)).save(tmp_path / "photographs" / "day" / "black.png")
    planned = command_line("plan", "-m", "pca", "-d", photographs, check=0)
    assert "has changed since it was prepared; run: benchsuite prepare" in planned.stdout
    command_line("prepare", photographs, check=0)
    after = fingerprint(photographs)
    assert before[0] != after[0] and before[1] != after[1]


def test_the_same_images_elsewhere_are_the_same_dataset(
    command_line: CommandLine, photographs: str, tmp_path: Path
) -> None:
    command_line("prepare", photographs, check=0)
    before = fingerprint(photographs)[0]
    (tmp_path / "photographs").rename(tmp_path / "moved")
    moved = photographs.replace("photographs", "moved")
    command_line("prepare", moved, check=0)
    assert fingerprint(moved)[0] == before


def test_a_subset_is_the_same_rows_for_every_method_and_seed(command_line: CommandLine) -> None:
    arguments = ("-m", "pca,real", "--seeds", "2", "--subset", "100", "--latent-dim", "2", "--metrics", "fd,psnr_train")
    rows = json.loads(command_line("run", *arguments, "--json", check=0).stdout)["results"]
    scores = {(row["method"], row["seed"], row["metric"]): row for row in rows}
    assert scores["pca", 0, "psnr_train"]["value"] == scores["pca", 1, "psnr_train"]["value"]
    assert scores["pca", 0, "psnr_train"]["n"] == 100
    whole = command_line("run", *arguments[:4], "--latent-dim", "2", "--metrics", "psnr_train", "--json", check=0)
    assert json.loads(whole.stdout)["results"][0]["value"] != scores["pca", 0, "psnr_train"]["value"]
    assert fingerprint("digits", subset=100)[1] != fingerprint("digits")[1]


@pytest.mark.parametrize("value", ["0", "1", "-3"])
def test_a_subset_has_at_least_two_rows(command_line: CommandLine, value: str) -> None:
    result = command_line("run", "-m", "pca", "--subset", value, check=2)
    assert f"subset = {value} is not allowed; subset is a whole number, at least 2" in result.stderr


def test_an_extractor_is_prepared_by_its_name_and_what_was_skipped_is_scored(
    command_line: CommandLine, acme: Path, cache: Path
) -> None:
    run = ("run", "-m", "pca", "--metrics", "fd[features=brewed],psnr", "--samples", "64", "--json")
    skipped = json.loads(command_line(*run, plugins=(acme,), check=0).stdout)["results"]
    assert skipped[0]["status"] == "skipped" and "run: benchsuite prepare brewed" in skipped[0]["reason"]
    made = command_line("prepare", "brewed", plugins=(acme,), check=0)
    assert "brewed is prepared" in made.stderr and (cache / "brew").exists()
    assert "score" in command_line("plan", *run[1:-1], plugins=(acme,), check=0).stdout
    scored = json.loads(command_line(*run, plugins=(acme,), check=0).stdout)["results"]
    assert scored[0]["status"] == "ok" and scored[0]["value"] > 0 and scored[1] == skipped[1]
    (kept,) = json.loads(command_line("prepare", "--list", "--json", plugins=(acme,), check=0).stdout)["features"]
    assert kept["dataset"] == "digits" and kept["features"] == "brewed-1" and kept["mib"] > 0


def test_an_extractor_that_needs_no_preparation_says_so(command_line: CommandLine) -> None:
    result = command_line("prepare", "random_conv", "--json", check=0)
    (made,) = json.loads(result.stdout)
    assert made["features"] == "random_conv" and not made["needed"] and made["fingerprint"]
    assert "random_conv needs no preparation" in result.stderr


def test_a_labelled_folder_is_prepared_with_its_classifier(
    command_line: CommandLine, photographs: str, cache: Path
) -> None:
    command_line("prepare", photographs, check=0)
    run = ("run", "-m", "real", "-d", photographs, "--samples", "30", "--metrics", "fd,classifier_score", "--json")
    rows = json.loads(command_line(*run, check=0).stdout)["results"]
    assert [row["status"] for row in rows] == ["ok", "ok"]
    (weights,) = (cache / "features" / "classifier").glob("*.safetensors")
    damaged, whole = weights.read_bytes()[:-8], weights.read_bytes()
    weights.write_bytes(damaged)
    refused = json.loads(command_line(*run, "--fresh", check=1).stdout)
    assert {row["status"] for row in refused["results"]} == {"error"} and "SHA-256" in refused["results"][0]["reason"]
    weights.write_bytes(whole)
    mended = json.loads(command_line(*run, "--out", refused["folder"], check=0).stdout)["results"]
    assert [row["value"] for row in mended] == [row["value"] for row in rows]
    weights.unlink()
    stands = json.loads(command_line(*run, check=0).stdout)["results"]
    assert [row["value"] for row in stands] == [row["value"] for row in rows]
    again = json.loads(command_line(*run, "--fresh", check=0).stdout)["results"]
    assert {row["status"] for row in again} == {"skipped"} and "run: benchsuite prepare" in again[0]["reason"]
