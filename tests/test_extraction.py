"""One pass over the images feeds every metric, and what training images came to is kept between cells."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from made_up_runs import cell
from torch import Tensor

from benchsuite import ContractError, Dataset, FeatureExtractor, NotApplicableError, Samples, run
from benchsuite.harness.binding import BY_EXTRACTOR
from benchsuite.harness.extraction import Extraction
from benchsuite.harness.keeping import kept_features, kept_moments
from benchsuite.harness.plan import cells_of
from benchsuite.harness.recipe import recipe_from
from benchsuite.harness.registry import load_registry
from benchsuite.kit.moments import Moments
from benchsuite.kit.timing import Timings

CPU = torch.device("cpu")
PASSES: Counter[int] = Counter()  # rows that were extracted, by how many samples they belong to
ROWS = {"train": 50, "real": 9, "generated": 20}
PROBED = 2  # rows by which it is found how many features there are, before moments are made


@dataclass(frozen=True)
class Flat(FeatureExtractor):
    """The pixels times a factor, counted."""

    name = "flat"
    factor: float = 1.0

    def fingerprint(self, cache: Path) -> str:
        return f"flat-{self.factor}"

    def load(self, cache: Path, device: torch.device) -> Callable[[Tensor], Tensor]:
        def features(x: Tensor) -> Tensor:
            PASSES["rows"] += len(x)
            return self.factor * x.flatten(1)

        return features


class Unkept(Flat):
    """The same, not kept."""

    kept = False


def samples(name: str) -> Samples:
    generator = torch.Generator().manual_seed(ROWS[name])
    return Samples(torch.rand(ROWS[name], 1, 2, 3, generator=generator))


def extraction(folder: Path, extractor: FeatureExtractor | None = None, **changes: Any) -> Extraction:
    """Of a cell that begins now: nothing is known but what the cache has."""
    known: dict[str, Any] = {}

    def once(key: str, make: Callable[[], Any]) -> Any:
        if key not in known:
            known[key] = make()
        return known[key]

    copied, data = changes.pop("copied", None), changes.pop("data", "data")
    extractor = extractor or Flat()
    return Extraction(
        extractor,
        extractor.fingerprint(folder),
        data=data,
        once=once,
        samples=samples,
        copied=copied,
        cell=replace(cell(), **changes),
        cache=folder / "cache",
        folder=folder,
        device=CPU,
        timings=Timings(CPU),
    )


@pytest.fixture(autouse=True)
def _nothing_counted() -> None:
    PASSES.clear()


def test_one_pass_feeds_every_metric(tmp_path: Path) -> None:
    made = extraction(tmp_path)
    for name in ("real_features", "real_moments", "generated_features", "generated_moments", "test_features") * 2:
        made.get(name)
    assert PASSES["rows"] == sum(ROWS.values()) + PROBED


def test_another_cell_extracts_its_own_samples_only(tmp_path: Path) -> None:
    first, second = extraction(tmp_path), extraction(tmp_path, seed=1)
    expected = first.get("real_features").clone(), first.get("real_moments").covariance
    first.get("generated_features")
    PASSES.clear()
    assert torch.equal(second.get("real_features"), expected[0])
    assert torch.equal(second.get("real_moments").covariance, expected[1])
    second.get("generated_features")
    assert PASSES["rows"] == ROWS["generated"] + PROBED


@pytest.mark.parametrize(
    ("factor", "changes"),
    [
        (2.0, {}),
        (1.0, {"data": "other"}),
        (1.0, {"subset": 50}),
        (1.0, {"threads": 2}),
    ],
    ids=str,
)
def test_what_could_change_a_bit_of_them_makes_them_anew(
    factor: float, changes: dict[str, Any], tmp_path: Path
) -> None:
    extraction(tmp_path).get("real_moments")
    PASSES.clear()
    other = extraction(tmp_path, Flat(factor), **changes)
    assert torch.equal(other.get("real_features"), factor * samples("train")[:].flatten(1))
    torch.testing.assert_close(other.get("real_moments").mean, factor * samples("train")[:].double().mean(0).flatten())
    assert PASSES["rows"] == ROWS["train"] + PROBED


def test_rows_that_a_model_copied_are_left_out_of_the_reference(tmp_path: Path) -> None:
    copied = torch.tensor([0, 3, 49])
    made = extraction(tmp_path, copied=copied)
    rows = [row for row in range(ROWS["train"]) if row not in copied]
    assert torch.equal(made.get("real_features"), samples("train")[rows].flatten(1))
    assert made.get("real_moments").count == len(rows)
    assert extraction(tmp_path).get("real_moments").count == ROWS["train"]  # and others are not told


def test_what_need_not_be_kept_is_not(tmp_path: Path) -> None:
    made = extraction(tmp_path, Unkept())
    assert made.get("real_moments").count == ROWS["train"]
    assert not (tmp_path / "cache").exists()


def test_a_cache_that_cannot_be_written_costs_time_only(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file, not a folder")
    made = extraction(tmp_path)
    assert torch.equal(made.get("real_features"), samples("train")[:].flatten(1))
    assert made.get("real_moments").count == ROWS["train"]


def test_an_extractor_without_classes_has_no_logits(tmp_path: Path) -> None:
    with pytest.raises(NotApplicableError, match="'flat' tells no classes apart"):
        extraction(tmp_path).get("generated_logits")


def test_logits_are_made_of_the_features(tmp_path: Path) -> None:
    class Net:
        def __call__(self, x: Tensor) -> Tensor:
            return x.flatten(1)

        def logits(self, features: Tensor) -> Tensor:
            return features[:, :2] * 3

    class Classifying(Flat):
        def load(self, cache: Path, device: torch.device) -> Callable[[Tensor], Tensor]:
            return Net()

    found = extraction(tmp_path, Classifying()).get("generated_logits")
    assert torch.equal(found, samples("generated")[:].flatten(1)[:, :2] * 3)


def test_moments_of_too_many_features_are_refused_with_the_memory_that_they_would_take(tmp_path: Path) -> None:
    class Wide(Flat):
        def load(self, cache: Path, device: torch.device) -> Callable[[Tensor], Tensor]:
            return lambda x: x.flatten(1).repeat(1, 2048)

    for name in ("real_moments", "generated_moments"):
        with pytest.raises(NotApplicableError, match=r"12288 features takes 1\.1 GiB; .* at most 4096"):
            extraction(tmp_path, Wide()).get(name)


def test_every_artefact_that_goes_by_an_extractor_is_made(tmp_path: Path) -> None:
    made = extraction(tmp_path)
    for name in set(BY_EXTRACTOR) - {"generated_logits"}:
        assert made.get(name) is not None


def keep(folder: Path, value: float = 1.0, rows: int = 4) -> Tensor:
    return kept_features(folder, {}, 4, lambda: [torch.full((rows, 3), value)])


def test_kept_features_are_mapped_and_not_made_again(tmp_path: Path) -> None:
    keep(tmp_path)
    assert float(keep(tmp_path, 2.0).sum()) == 12


def test_a_metric_that_works_in_place_harms_only_its_own_cell(tmp_path: Path) -> None:
    keep(tmp_path).mul_(5)
    assert float(keep(tmp_path).sum()) == 12


@pytest.mark.parametrize("damage", ["empty", "cut", "other rows", "text"])
def test_damaged_features_are_made_anew(damage: str, tmp_path: Path) -> None:
    keep(tmp_path)
    path = tmp_path / "features.npy"
    whole = path.read_bytes()
    if damage == "other rows":
        kept_features(tmp_path / "other", {}, 5, lambda: [torch.zeros(5, 3)])
        whole = (tmp_path / "other" / "features.npy").read_bytes()
    path.write_bytes({"empty": b"", "cut": whole[:-4], "other rows": whole, "text": b"no array" * 20}[damage])
    assert float(keep(tmp_path, 2.0).sum()) == 24


def test_fewer_features_than_samples_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="3 rows of features came of 4 samples"):
        keep(tmp_path, rows=3)
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_of_two_at_once_one_makes_them(tmp_path: Path) -> None:
    made, begun = [], threading.Event()

    def make() -> list[Tensor]:
        made.append(1)
        begun.set()
        second.join(0.5)  # it waits for the lock meanwhile
        return [torch.ones(4, 3)]

    second = threading.Thread(target=lambda: (begun.wait(), kept_features(tmp_path, {}, 4, make)))
    second.start()
    kept_features(tmp_path, {}, 4, make)
    second.join()
    assert len(made) == 1


@pytest.mark.parametrize("damage", [b"", b"\xff" * 64, None], ids=["empty", "no safetensors", "absent"])
def test_damaged_moments_are_made_anew(damage: bytes | None, tmp_path: Path) -> None:
    rows = torch.rand(30, 3, generator=torch.Generator().manual_seed(0))
    if damage is not None:
        (tmp_path / "moments.safetensors").write_bytes(damage)
    made: list[int] = []

    def make() -> Moments:
        made.append(1)
        return Moments.of([rows])

    for _ in range(2):
        torch.testing.assert_close(kept_moments(tmp_path, CPU, make).mean, rows.double().mean(0))
    assert len(made) == 1


def test_moments_of_a_folder_that_cannot_be_written_are_made(tmp_path: Path) -> None:
    found = kept_moments(tmp_path / "absent", CPU, lambda: Moments.of([torch.rand(30, 3)]))
    assert found.count == 30


def test_a_dataset_names_the_extractor_of_its_metrics() -> None:
    class Pictures(Dataset):
        def load(self, split: Any, cache: Path) -> Samples:
            raise NotImplementedError

    class Vectors(Pictures):
        kind = "vector"

    assert Pictures().default_features(Path()) == "random_conv"
    assert Vectors().default_features(Path()) == "pixels"


def test_a_fingerprint_covers_extractor_samples_and_subset() -> None:
    def fingerprint(metrics: str, **values: Any) -> str:
        recipe = recipe_from({"methods": "pca", "metrics": metrics, **values})
        (asked,) = cells_of(recipe, load_registry()).asked
        (bound,) = asked.metrics
        return bound.fingerprint  # type: ignore[union-attr]

    base = fingerprint("fd")
    assert base == fingerprint("fd", seeds=[3], latent_dim=4)
    assert (
        len({base, fingerprint("fd[features=pixels]"), fingerprint("fd", samples=5), fingerprint("fd", subset=9)}) == 4
    )
    assert fingerprint("psnr") == fingerprint("psnr", samples=5) != fingerprint("psnr", subset=9)


def test_metrics_share_what_they_have_in_common_under_the_same_features_only(tmp_path: Path) -> None:
    metrics = "precision,precision[features=classifier],precision[features=pixels],recall"
    (record,) = run({"methods": "pca", "metrics": metrics, "samples": 200}, out=tmp_path / "out").records
    own, named, pixels, _ = (row.value for row in record.metrics)
    assert own == named != pixels


class Odd(Flat):
    """Features that are not (N, D) float32."""

    def __init__(self, change: Callable[[Tensor], Any]) -> None:
        object.__setattr__(self, "change", change)
        object.__setattr__(self, "factor", 1.0)

    def load(self, cache: Path, device: torch.device) -> Callable[[Tensor], Tensor]:
        change = vars(self)["change"]
        return lambda x: change(x.flatten(1))


@pytest.mark.parametrize(
    ("change", "got"),
    [
        (lambda x: x[:, 0], r"\(50,\)"),
        (lambda x: x[:, :, None], r"\(50, 6, 1\)"),
        (lambda x: x[1:], r"\(49, 6\)"),
        (lambda x: x.numpy(), "ndarray"),
    ],
    ids=["no columns", "three axes", "a row less", "no tensor"],
)
def test_features_of_another_shape_are_refused_and_not_kept(change: Any, got: str, tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=rf"extractor 'flat' made {got} of 50 samples, not \(50, D\)"):
        extraction(tmp_path, Odd(change)).get("real_features")
    assert not list(tmp_path.rglob("features.npy"))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_features_of_another_precision_are_made_single_alike_whether_kept_or_not(
    dtype: torch.dtype, tmp_path: Path
) -> None:
    made = extraction(tmp_path, Odd(lambda x: x.to(dtype)))
    assert made.get("real_features").dtype == made.get("generated_features").dtype == torch.float32


def test_what_a_killed_cell_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".features.npy.123.abc.part").write_bytes(b"half")
    keep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "about.json", "features.npy"]


def test_a_cache_that_can_only_be_read_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(tmp_path)

    def refuse(*arguments: Any) -> None:
        raise PermissionError

    monkeypatch.setattr("benchsuite.harness.keeping.locked_in_turn", refuse)
    assert float(keep(tmp_path, 2.0).sum()) == 12


def test_data_that_changed_since_training_are_never_compared_with_what_was_kept_of_others(tmp_path: Path) -> None:
    one, other = (extraction(tmp_path, data=data) for data in ("as it was", "as it is"))
    one.get("real_features")
    PASSES.clear()
    other.get("real_features")
    assert PASSES["rows"] == ROWS["train"]


def test_an_extractor_that_draws_gives_the_same_whether_its_reference_is_kept_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def noisy(self: Any, cache: Path, device: torch.device) -> Callable[[Tensor], Tensor]:
        return lambda x: x.flatten(1)[:, :32] + torch.randn(len(x), 32)

    monkeypatch.setattr("benchsuite_plugins.features.pixels.Pixels.load", noisy)
    monkeypatch.setattr("benchsuite_plugins.features.pixels.Pixels.kept", True)
    monkeypatch.setenv("BENCHSUITE_CACHE", str(tmp_path / "cache"))
    recipe = {"methods": "pca", "metrics": "fd[features=pixels]", "samples": 200}
    monkeypatch.setenv("BENCHSUITE_ISOLATION", "fork")
    found = [run(recipe, out=tmp_path / name).records[0].metrics[0].value for name in ("cold", "warm")]
    assert found[0] == found[1] is not None
