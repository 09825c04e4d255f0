"""The whole way of an FID, offline: weights found by path or in the cache, refused when they are others, asked for when
there are none. The weights are random, in the real ones' format."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import CommandLine
from test_inception import random_weights

from benchsuite.kit.files import sha256
from benchsuite_plugins.features.inception import WEIGHTS

RUN = ("run", "-d", "digits", "--subset", "6", "--samples", "5", "--out", "out", "--json", "-m")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save(random_weights(), path)
    return path


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no weights elsewhere."""
    monkeypatch.delenv("BENCHSUITE_INCEPTION", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("BENCHSUITE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def rows(printed: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(printed)["results"]
    return found


def test_without_weights_every_metric_says_how_to_get_them(command_line: CommandLine) -> None:
    metrics = "fid,inception_score,kid[features=inception],fd"
    *lacking, fd = rows(command_line(*RUN, "pca", "--latent-dim", "2", "--metrics", metrics, check=0).stdout)
    assert fd["status"] == "ok" and len(lacking) == 3
    for row in lacking:
        assert row["status"] == "skipped" and row["reason"].endswith("run: benchsuite prepare inception")


def test_other_weights_than_were_asked_for_are_refused(
    command_line: CommandLine, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCHSUITE_INCEPTION", str(file))
    (row,) = rows(command_line(*RUN, "real", "--metrics", "fid", check=1).stdout)
    assert row["status"] == "error" and row["value"] is None  # and not skipped, so that the next run tries again
    assert f"have SHA-256 {sha256(file)}, not 6726825d0af5f729" in row["reason"] and str(file.parent) in row["reason"]


def test_a_path_and_a_checksum_are_all_that_an_fid_needs(command_line: CommandLine, file: Path) -> None:
    chosen = f"inception[weights={file},sha256={sha256(file)}]"
    metrics = f"fid[features={chosen}],inception_score[features={chosen},splits=1]"
    fid, score = rows(command_line(*RUN, "real", "--metrics", metrics, check=0).stdout)
    assert fid["status"] == score["status"] == "ok" and fid["value"] > 0 and 1 <= score["value"] <= 5
    assert "rank" in fid["reason"] and "2048" in fid["reason"]  # of three real images and five samples


def test_weights_in_the_cache_are_found_and_real_features_are_kept(
    command_line: CommandLine, file: Path, cache: Path, tmp_path: Path
) -> None:
    (cache / "sources" / "inception").mkdir(parents=True)
    shutil.copy(file, cache / "sources" / "inception" / WEIGHTS.source.name)
    chosen = f"inception[sha256={sha256(file)}]"
    arguments = ("pca,pca@again", "--latent-dim", "2", "--metrics", f"fid[features={chosen}]", "--jobs", "1")
    first, again = rows(command_line(*RUN, *arguments, check=0).stdout)
    assert first["status"] == "ok" and first["value"] == again["value"]
    records = [json.loads(path.read_text()) for path in tmp_path.glob("out/cells/*/record.json")]
    passes = [[p["items"] for p in r["phases"] if p["phase"] == "features.real"] for r in records]
    assert sorted(passes) == [[], [6]]  # the second cell has them from the first
    (row,) = records[0]["metrics"]
    assert row["protocol"]["features"].startswith("inception-") and row["protocol"]["samples"] == 5
    assert row["protocol"]["n"] == {"real_moments": 6, "generated_moments": 5}


def test_protocols_that_differ_never_share_a_column(command_line: CommandLine, file: Path) -> None:
    given = f"weights={file},sha256={sha256(file)}"
    metrics = ",".join(f"fid[features=inception[{given},preset={p}]]" for p in ("pytorch-fid", "clean"))
    one, other = rows(command_line(*RUN, "real", "--metrics", metrics, check=0).stdout)
    assert one["fingerprint"] != other["fingerprint"] and one["value"] != other["value"]


@pytest.mark.parametrize("metric", ["fid", "inception_score"])
def test_an_fid_of_other_features_is_no_fid(metric: str, command_line: CommandLine) -> None:
    refused = command_line(*RUN, "real", "--metrics", f"{metric}[features=classifier]", check=2)
    assert f"{metric}: features='classifier' is not allowed; features is inception or" in refused.stderr
