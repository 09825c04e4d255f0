"""``benchsuite baseline`` and ``benchsuite gate`` on real runs: exit codes, more seeds, and what they write."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from conftest import CommandLine

from benchsuite import gating, suite
from benchsuite.errors import BaselineError
from benchsuite.harness.store import RunStore

PCA = ("-m", "pca[latent_dim=4]@m", "--metrics", "psnr,fd", "--samples", "100", "--keep", "none")


@pytest.fixture(scope="module")
def run_of_eight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """PCA with eight seeds, whose ``fd`` of a hundred samples varies, and whose ``psnr`` does not."""
    folder = tmp_path_factory.mktemp("gate") / "run"
    methods = {"methods": PCA[1], "metrics": PCA[3], "samples": 100, "keep": "none"}
    suite.run({**methods, "seeds": 8}, out=folder)
    return folder


def set_baseline(command_line: CommandLine, run: Path, file: str = "b.json") -> Path:
    command_line("baseline", "set", str(run), "--baseline", file, check=0)
    return Path(file)


def shifted(run: Path, to: Path, by: float) -> Path:
    """A copy of ``run`` whose ``fd`` is lower by so many of its standard deviations, as if the code had been better."""
    import shutil

    import numpy as np

    shutil.copytree(run, to)
    records = RunStore(to).records()
    values = [row.value for record in records for row in record.metrics if row.metric == "fd"]
    sd = float(np.std(values, ddof=1))
    for record in records:
        path = to / "cells" / record.cell.key / "record.json"
        content = json.loads(path.read_text())
        for row in content["metrics"]:
            row["value"] -= by * sd if row["metric"] == "fd" else 0.0
        path.write_text(json.dumps(content))
    return to


def verdicts(output: str) -> dict[str, str]:
    return {row["metric"]: row["verdict"] for row in json.loads(output)["rows"]}


def test_three_commands_from_nothing_to_a_gate(command_line: CommandLine, tmp_path: Path) -> None:
    command_line("run", *PCA, "--seeds", "4", "--out", "main", check=0)
    said = command_line("baseline", "set", "main", "--baseline", "bases/pca.json", check=0)
    assert "Wrote bases/pca.json: m on digits, 4 seeds, 2 scores" in said.stdout
    assert "benchsuite gate --run --baseline bases/pca.json" in said.stdout
    assert "a baseline of 4 seeds finds large losses only; 20 are advised" in said.stderr
    found = command_line("gate", "--run", "--baseline", "bases/pca.json", "--seeds", "2", check=0)
    assert "2 scores with the very bits of the baseline: of m on digits." in found.stdout
    assert found.stdout.rstrip().endswith("Gate open: 2 pass")
    (folder,) = (tmp_path / "runs").glob("gate-pca-*")
    assert [record.cell.seed for record in RunStore(folder).records()] == [0, 1]
    again = command_line("gate", "--run", "--baseline", "bases/pca.json", "--seeds", "2", check=0)
    assert "0 to run, 2 done already" in again.stderr


def test_a_worse_method_closes_the_gate_and_is_written_where_it_was_asked_for(
    command_line: CommandLine, run_of_eight: Path
) -> None:
    set_baseline(command_line, run_of_eight)
    command_line("run", "-m", "pca[latent_dim=2]@m", *PCA[2:], "--seeds", "5", "--out", "worse", check=0)
    files = ("--junit", "gate.xml", "--summary", "summary.md", "--comment", "comment.md")
    found = command_line("gate", "worse", "-b", "b.json", *files, check=3)
    assert "If this is meant, set the baseline again" in found.stdout
    assert "Gate closed: 2 regressions" in found.stdout and "m: latent_dim 4 -> 2" in found.stdout
    suite_ = ElementTree.parse("gate.xml").getroot().find("testsuite")
    assert suite_ is not None and (suite_.get("tests"), suite_.get("failures")) == ("2", "2")
    case = suite_.find("testcase")
    assert case is not None and (case.get("classname"), case.get("name")) == ("digits.m", "psnr")
    failure = case.find("failure")
    assert failure is not None and failure.get("type") == "regression" and "worse by" in (failure.text or "")
    assert Path("comment.md").read_text().startswith("<!-- benchsuite gate b.json -->\n")
    command_line("gate", "worse", "-b", "b.json", *files, check=3)
    assert Path("summary.md").read_text().count("## Gate closed: 2 regressions") == 2
    assert Path("comment.md").read_text().count("Gate closed") == 1
    assert verdicts(command_line("gate", "worse", "-b", "b.json", "--json", check=3).stdout) == {
        "psnr": "regression",
        "fd": "regression",
    }


@pytest.mark.parametrize(("by", "verdict", "code"), [(1.3, "inconclusive", 0), (2.5, "regression", 3)])
def test_suspects_get_the_rest_of_the_baselines_seeds(
    by: float, verdict: str, code: int, command_line: CommandLine, run_of_eight: Path, tmp_path: Path
) -> None:
    """With two seeds nothing can be said of either; with eight the larger loss is proven."""
    set_baseline(command_line, shifted(run_of_eight, tmp_path / "better", by))
    first = command_line("run", *PCA, "--seeds", "2", "--out", "now", check=0)
    assert "m on digits" in first.stderr
    looked = command_line("gate", "now", "-b", "b.json", "--json", check=0)
    assert verdicts(looked.stdout) == {"fd": "inconclusive", "psnr": "pass"}
    assert command_line("gate", "now", "-b", "b.json", "--strict").returncode == 3
    found = command_line("gate", "now", "--run", "-b", "b.json", "--json", check=code)
    row = next(row for row in json.loads(found.stdout)["rows"] if row["metric"] == "fd")
    assert (row["verdict"], row["seeds"], row["look"]) == (verdict, 8, "last")
    assert {record.cell.seed for record in RunStore(tmp_path / "now" / "more-seeds").records()} == {2, 3, 4, 5, 6, 7}
    said = command_line("baseline", "set", "now", "-b", "again.json", check=0).stdout
    assert "m on digits, 8 seeds" in said  # those that the gate has added too
    afterwards = command_line("gate", "now", "-b", "b.json", "--json", check=code)
    assert verdicts(afterwards.stdout) == verdicts(found.stdout)


def test_more_seeds_of_other_cells_are_not_taken_for_those_of_this_run(
    command_line: CommandLine, run_of_eight: Path, tmp_path: Path
) -> None:
    set_baseline(command_line, shifted(run_of_eight, tmp_path / "better", 2.5))
    command_line("gate", "now", "--run", "--seeds", "2", "-b", "b.json", check=3)
    command_line("run", "-m", "pca[latent_dim=5]@m", *PCA[2:], "--seeds", "2", "--out", "now", check=0)
    rows = json.loads(command_line("gate", "now", "-b", "b.json", "--json").stdout)["rows"]
    assert {row["seeds"] for row in rows} == {2}


def test_the_exit_code_tells_no_baseline_from_an_unreadable_one(
    command_line: CommandLine, run_of_eight: Path, tmp_path: Path
) -> None:
    run = str(run_of_eight)
    said = command_line("gate", run, "--baseline", "none.json", check=4).stderr
    assert (
        "there is no baseline none.json; set one from a run: benchsuite baseline set RUN --baseline none.json" in said
    )
    said = command_line("gate", run, "--baseline", "none.json", "--allow-missing-baseline", check=0).stderr
    assert said.startswith("Warning: there is no baseline none.json")
    (tmp_path / "broken.json").write_text('{"benchsuite_baseline": 1')
    files = ("--junit", "new/gate.xml", "--summary", "s.md", "--comment", "c.md")
    (tmp_path / "c.md").write_text("Gate open: of yesterday")
    command_line("gate", run, "--baseline", "broken.json", *files, check=2)
    root = ElementTree.parse("new/gate.xml").getroot()
    assert root.find("testsuite/testcase/error") is not None
    assert "broken.json is damaged" in Path("s.md").read_text() and "could not decide" in Path("c.md").read_text()
    command_line("gate", run, "--baseline", "none.json", *files, check=4)
    assert "there is no baseline none.json" in Path("c.md").read_text()
    command_line("gate", run, "--baseline", "broken.json", "--allow-missing-baseline", check=2)
    assert "name what to compare with: --baseline FILE, or --against" in command_line("gate", run, check=2).stderr
    set_baseline(command_line, run_of_eight)
    assert "name a run, or let the gate make one with --run" in command_line("gate", "-b", "b.json", check=2).stderr
    for flags in (("--jobs", "2"), ("--device", "cpu"), ("--seeds", "3")):
        assert "add --run" in command_line("gate", run, "-b", "b.json", *flags, check=2).stderr
    for flags in (("--run",), ("--timing",), ("--jobs", "1")):
        said = command_line("gate", run, "--against", "HEAD", *flags, check=2).stderr
        assert "drop --run, --timing and --jobs" in said
    assert "drop one" in command_line("gate", run, "-b", "b.json", "--against", "HEAD", check=2).stderr
    empty = command_line("gate", run, "-b", "none.json", "--allow-missing-baseline", "--json", check=0).stdout
    assert json.loads(empty)["exit_code"] == 0 and json.loads(empty)["rows"] == []
    (tmp_path / "package.json").write_text("{}")
    said = command_line("baseline", "set", run, "--baseline", "package.json", check=2).stderr
    assert "package.json is there, and is no baseline" in said and (tmp_path / "package.json").read_text() == "{}"
    said = command_line("gate", run, "-b", "b.json", "--junit", "/proc/x/gate.xml", check=1)
    assert "/proc/x" in said.stderr and not said.stdout
    assert "is no run directory" in command_line("gate", "absent", "-b", "b.json", check=2).stderr
    (tmp_path / "rules.toml").write_text("alarm = 7")
    assert (
        "alarm = 7 is not allowed" in command_line("gate", run, "-b", "b.json", "--rules", "rules.toml", check=2).stderr
    )


def test_baselines_are_shown_and_listed_damaged_ones_with_what_is_wrong(
    command_line: CommandLine, run_of_eight: Path, tmp_path: Path
) -> None:
    set_baseline(command_line, run_of_eight, "bases/one.json")
    (tmp_path / "bases" / "cut.json").write_text((tmp_path / "bases" / "one.json").read_text()[:400])
    (tmp_path / "bases" / "package.json").write_text("{}")
    shown = command_line("baseline", "show", "bases/one.json", check=0).stdout
    assert "m on digits, 8 seeds, 2 scores" in shown and "fd ↓" in shown and "finds losses from" in shown
    content = json.loads(command_line("baseline", "show", "bases/one.json", "--json", check=0).stdout)
    assert [row["metric"] for row in content["scores"]] == ["psnr", "fd"] and content["seeds"] == [*range(8)]
    listed = command_line("baseline", "list", check=0).stdout.splitlines()
    assert listed[0].startswith("bases/cut.json is damaged") and len(listed) == 2
    assert listed[1].startswith("bases/one.json: m on digits, 8 seeds")
    rows = json.loads(command_line("baseline", "list", "bases", "--json", check=0).stdout)["baselines"]
    assert [bool(row["problem"]) for row in rows] == [True, False]
    (tmp_path / "empty").mkdir()
    assert "no baseline in empty" in command_line("baseline", "list", "empty", check=0).stdout
    assert "cannot read the baseline" in command_line("baseline", "show", "absent.json", check=2).stderr
    said = command_line("baseline", "set", str(run_of_eight), "--baseline", "/proc/no/where.json", check=2).stderr
    assert "cannot write /proc/no/where.json" in said


def test_one_seed_is_labelled_a_smoke_gate(command_line: CommandLine, tmp_path: Path) -> None:
    command_line("run", *PCA, "--seeds", "1", "--out", "main", check=0)
    said = command_line("baseline", "set", "main", "--baseline", "b.json", check=0).stderr
    assert "allows tolerances alone, and no test" in said
    command_line("run", "-m", "pca[latent_dim=2]@m", *PCA[2:], "--seeds", "1", "--out", "worse", check=0)
    found = command_line("gate", "worse", "-b", "b.json", check=3).stdout
    assert "smoke gate: 2 scores compared at 1 seed, by tolerance alone and without a test" in found


def test_times_are_gated_only_where_that_is_asked(command_line: CommandLine, run_of_eight: Path) -> None:
    set_baseline(command_line, run_of_eight)
    found = command_line("gate", str(run_of_eight), "-b", "b.json", "--timing", "--json", check=0).stdout
    row = next(row for row in json.loads(found)["rows"] if row["metric"] == "training_seconds")
    assert row["verdict"] == "ungated" and "ran beside other cells" in row["reason"]
    without = command_line("gate", str(run_of_eight), "-b", "b.json", "--json", check=0).stdout
    assert "training_seconds" not in verdicts(without)


def test_an_interrupted_run_has_no_verdict(command_line: CommandLine, run_of_eight: Path, monkeypatch) -> None:
    set_baseline(command_line, run_of_eight)

    def cut_off(recipe: object, *, out: Path, observer: object) -> suite.Outcome:
        return suite.Outcome(RunStore(out), None, (), interrupted=True)  # type: ignore[arg-type]

    monkeypatch.setattr(suite, "run", cut_off)
    assert "interrupted" in command_line("gate", "--run", "-b", "b.json", check=130).stderr


def test_a_sweep_is_run_as_a_whole_for_any_of_its_labels(run_of_eight: Path) -> None:
    from benchsuite.harness.recipe import parse_selections

    def labels(texts: Iterable[str]) -> list[str]:
        chosen = gating._selecting("methods", parse_selections("pca[latent_dim=[2,4]]@p,vae,glo@g"), set(texts))
        return [str(selection) for selection in chosen]

    assert labels(["p[latent_dim=4]"]) == ["pca[latent_dim=[2,4]]@p"]
    assert labels(["vae", "g"]) == ["vae", "glo@g"]


def test_a_run_is_found_by_its_name_with_and_without_running(command_line: CommandLine, run_of_eight: Path) -> None:
    set_baseline(command_line, run_of_eight)
    command_line("run", "-m", "pca[latent_dim=2]@m", *PCA[2:], "--seeds", "3", "--out", "runs/worse", check=0)
    for flags in ((), ("--run",)):
        found = command_line("gate", "worse", "-b", "b.json", "--json", *flags, check=3)
        assert set(verdicts(found.stdout).values()) == {"regression"}
    assert not Path("worse").exists()


def test_a_recipe_that_is_given_goes_before_that_of_the_run(run_of_eight: Path, tmp_path: Path) -> None:
    from benchsuite.harness.recipe import recipe_from
    from benchsuite.results.baseline import baseline_of, write_baseline

    write_baseline(baseline_of(RunStore(run_of_eight)), tmp_path / "b.json")
    codes = []
    for dim in (4, 2):
        recipe = recipe_from({"methods": f"pca[latent_dim={dim}]@m", "metrics": "psnr", "samples": 100})
        outcome = gating.run_and_gate(tmp_path / "b.json", tmp_path / "run", recipe=recipe)
        assert outcome.gate is not None
        codes.append({row.metric: row.verdict for row in outcome.gate.rows}["psnr"])
    assert codes == ["pass", "regression"]


def test_a_baseline_that_gates_nothing_is_refused_and_scores_that_are_not_gated_are_named(
    command_line: CommandLine, run_of_eight: Path
) -> None:
    set_baseline(command_line, run_of_eight)
    Path("none.toml").write_text('[direction]\nfd = "none"\npsnr = "none"\n')
    said = command_line("gate", str(run_of_eight), "-b", "b.json", "--rules", "none.toml", check=2).stderr
    assert "b.json has no score that can be gated" in said
    command_line("run", "-m", "pca", "--metrics", "fid,psnr", "--samples", "100", "--out", "skipped", check=0)
    said = command_line("baseline", "set", "skipped", "--baseline", "s.json", check=0).stderr
    assert "scores without a value are not gated: fid of pca on digits (skipped:" in said


def test_rules_for_scores_that_nobody_has_are_named(command_line: CommandLine, run_of_eight: Path) -> None:
    set_baseline(command_line, run_of_eight)
    Path("rules.toml").write_text('[tolerance]\nfdd = "5%"\nfd = "5%"\n')
    found = command_line("gate", str(run_of_eight), "-b", "b.json", "--rules", "rules.toml", check=0).stdout
    assert "the rules name scores that neither side has: fdd" in found


def test_an_empty_baseline_cannot_be_run(tmp_path: Path) -> None:
    from benchsuite.results.baseline import Baseline, _sealed, write_baseline

    write_baseline(_sealed(Baseline(1, {"methods": ["pca"]}, {}, [], {})), tmp_path / "b.json")
    with pytest.raises(BaselineError, match="the baseline has no cells"):
        gating.run_and_gate(tmp_path / "b.json", tmp_path / "run")
