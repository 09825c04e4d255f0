"""What only a CUDA device can show; skipped where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchsuite import suite

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
