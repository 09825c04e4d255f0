"""What only a CUDA device can show; skipped where there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchsuite import DataSpec, Run, Samples, suite
from benchsuite.harness.registry import load_registry

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(torch.cuda.device_count() == 0, reason="no CUDA device"),
]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> suite.Outcome:
    """Each method, briefly, on the GPU and in every precision."""
    methods = (
        "pca,vae[epochs=5],vae[likelihood=bernoulli,epochs=5],dcgan[epochs=5],glo[epochs=5],glo[loss=l2_lap1,epochs=5],"
        "subproblem_gan[epochs=5],pgan[epochs=5,retraining_epochs=5,prior_epochs=5],avb[epochs=5],ali[epochs=5]"
    )
    recipe = {"methods": methods, "device": "cuda", "samples": 500}
    return suite.run(recipe, out=tmp_path_factory.mktemp("runs") / "gpu")


def test_every_method_runs_there(outcome: suite.Outcome) -> None:
    assert outcome.exit_code == 0, [r.reason for r in outcome.records]
    assert {r.device for r in outcome.records} == {"cuda"}


def test_device_memory_is_measured(outcome: suite.Outcome) -> None:
    fits = [p for r in outcome.records for p in r.phases if p.phase == "fit"]
    assert all(p.peak_device_mib and p.peak_device_mib > 0 for p in fits)


def test_scores_agree_with_the_processors(outcome: suite.Outcome, tmp_path: Path) -> None:
    """PCA is exact on both, up to rounding."""
    cpu = suite.run({"methods": "pca", "device": "cpu", "samples": 500}, out=tmp_path / "cpu")
    on_gpu = {row.metric: row.value for row in outcome.records[0].metrics}
    for row in cpu.records[0].metrics:
        assert on_gpu[row.metric] == pytest.approx(row.value, rel=1e-3)


def test_metrics_of_latent_space_recovery_and_cost_run_there(tmp_path: Path) -> None:
    names = "pag,gaussianity,prior_disagreement,cluster_ratio,path_length,path_from_average,parameters,flops"
    searches = "recovery_success,psnr_generated,recovery_consistency,noise_slope,reconstruction_curve"
    metrics = f"{names},{searches},pag[codes_by=reversal],psnr[codes_by=lap1]"
    recipe = {"methods": "pca,vae[epochs=2],dcgan[epochs=2],glo[epochs=2]", "device": "cuda", "metrics": metrics}
    outcome = suite.run(recipe, out=tmp_path / "latent")
    assert outcome.exit_code == 0, [row.reason for r in outcome.records for row in r.metrics if row.status == "error"]


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_lower_precisions_train(precision: str, tmp_path: Path) -> None:
    methods = (
        "vae[epochs=2],vae[likelihood=bernoulli,epochs=2],dcgan[epochs=2],subproblem_gan[epochs=2],avb[epochs=2],"
        "glo[epochs=2],glo[loss=l2_lap1,epochs=2],pgan[epochs=2,retraining_epochs=2,prior_epochs=2]"
    )
    recipe = {"methods": methods, "device": "cuda", "precision": precision}
    assert suite.run(recipe | {"samples": 100, "metrics": "fd"}, out=tmp_path / precision).exit_code == 0


def test_a_cell_that_is_cut_off_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCHSUITE_CHECKPOINT_SECONDS", "0")
    recipe = {"methods": "dcgan[epochs=400]", "device": "cuda", "samples": 100, "metrics": "fd"}
    cut = suite.run(recipe | {"timeout": 20}, out=tmp_path / "run")
    assert cut.records[0].status == "timeout"
    again = suite.run(recipe | {"timeout": 200}, out=tmp_path / "run")
    assert again.records[0].status == "ok" and "resumed at batch" in again.records[0].notes[0]


@pytest.fixture
def images() -> torch.Tensor:
    """256 images of bytes."""
    return torch.randint(256, (256, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("fits", [True, False])
def test_samples_come_out_there_wherever_they_lie(
    images: torch.Tensor, fits: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not fits:
        monkeypatch.setattr("benchsuite.kit.samples._SHARE", 0.0)
    np.save(tmp_path / "images.npy", images.numpy())
    mapped = torch.from_numpy(np.load(tmp_path / "images.npy", mmap_mode="c"))
    rows = torch.randperm(256)[:200]
    on_cpu = Samples(images[rows], rows % 7)
    on_gpu = Samples(mapped, torch.arange(256) % 7, mapped=True).subset(rows).to(torch.device("cuda"))
    assert on_gpu.streamed is not fits
    assert on_gpu.labels is not None and on_gpu.labels.is_cuda and on_gpu[3:9].is_cuda
    for index in (slice(3, 90, 7), [5, 5, 0], torch.tensor([199, 2]), torch.tensor([1, 2], device="cuda")):
        expected = on_cpu[index.cpu() if isinstance(index, torch.Tensor) else index]
        assert torch.equal(on_gpu[index].cpu(), expected)
    assert torch.equal(torch.cat(list(on_gpu.batches(33))).cpu(), on_cpu[:])
    run = Run(seed=0, device=torch.device("cuda"))
    for batch in run.batches(on_gpu, batch_size=64, epochs=2):
        assert batch.x.is_cuda and batch.labels is not None
        assert torch.equal(batch.x.cpu(), on_cpu[batch.index.cpu()])
        assert torch.equal(batch.labels.cpu(), rows[batch.index.cpu()] % 7)


def test_a_streamed_run_ends_like_a_resident_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PCA goes through all batches in order, and is exact."""
    scores = []
    for share in ("resident", "streamed"):
        if share == "streamed":
            monkeypatch.setattr("benchsuite.kit.samples._SHARE", 0.0)
        method = load_registry().get("methods", "pca")(latent_dim=4)
        train = load_registry().get("datasets", "digits")().load("train", tmp_path).to(torch.device("cuda"))
        assert train.streamed is (share == "streamed")
        model = method.build(DataSpec(train.shape, train.kind, len(train), 4)).to("cuda")
        method.fit(model, train, Run(seed=0, device=torch.device("cuda")))
        scores.append(model.axes.detach().cpu())
    torch.testing.assert_close(scores[0], scores[1])
