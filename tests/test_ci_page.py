"""What docs/ci.md and the action promise works as printed."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import CommandLine

from benchsuite import suite
from benchsuite.harness.store import RunStore
from benchsuite.results.baseline import baseline_of, read_baseline, write_baseline
from benchsuite.results.detection import looks, power, smallest_loss
from benchsuite.results.rules import Rules, rules_from

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "ci.md").read_text()
ACTION = ROOT / ".github" / "actions" / "gate" / "action.yml"
TINY = "pca[latent_dim=4]@m"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_three_commands_work_as_printed_but_for_their_size(command_line: CommandLine) -> None:
    for line in blocks("bash")[0].splitlines():
        words = shlex.split(line.replace("vae[epochs=6]@vae", TINY).replace("--seeds 20", "--seeds 3 --samples 100"))
        assert words[0] == "benchsuite"
        done = command_line(*words[1:], check=0)
    assert done.stdout.rstrip().endswith("Gate open: 2 pass")


def test_the_printed_rules_are_rules() -> None:
    import tomllib

    rules = rules_from(tomllib.loads(blocks("toml")[0]))
    assert rules.direction["authpct"] == "max" and rules.tolerance["psnr"].of(25.0) == 0.1
    assert (rules.alarm, rules.screen, rules.seeds, rules.time) == (
        Rules().alarm,
        Rules().screen,
        Rules().seeds,
        Rules().time,
    )
    assert str(rules.tolerance["default"]) == str(Rules().tolerance_of("x", "x"))
    assert str(rules.smoke_tolerance["default"]) == str(Rules().smoke_tolerance_of("x", "x", ""))


def test_the_printed_power_is_what_the_closed_form_says() -> None:
    header = next(line for line in PAGE.splitlines() if line.startswith("| seeds |"))
    comparisons = [int(number) for number in re.findall(r"(\d+) comparison", header)]
    tables = re.findall(r"\| +seeds \|.*?\n\n", PAGE + "\n\n", re.DOTALL)
    rules, rows = Rules(), 0
    for table, of in zip(tables, (smallest_loss, power), strict=True):
        for line in table.splitlines()[2:-1]:
            seeds, *values = [cell.strip() for cell in line.strip("|").split("|")]
            steps = looks(int(seeds), min(int(seeds), rules.seeds))
            for count, text in zip(comparisons, values, strict=True):
                given = {"alarm": rules.alarm, "screen": rules.screen, "comparisons": count}
                known = (
                    f"{smallest_loss(steps, **given):.1f}"
                    if of is smallest_loss
                    else f"{100 * power(steps, 2.0, **given):.0f}%"
                )
                assert text == known
            rows += 1
    assert rows == 18


def action_step(name: str) -> dict[str, Any]:
    content = yaml.safe_load(ACTION.read_text())
    assert content["runs"]["using"] == "composite"
    return next(step for step in content["runs"]["steps"] if step["name"] == name)


def run_step(name: str, folder: Path, inputs: dict[str, str], **extra: str) -> subprocess.CompletedProcess[str]:
    """The step's script under bash, as GitHub runs it, with its environment filled in."""
    step = action_step(name)
    defaults = {
        key: str(value.get("default", "")) for key, value in yaml.safe_load(ACTION.read_text())["inputs"].items()
    }
    values = {f"inputs.{key}": value for key, value in (defaults | inputs).items()}
    values |= {"runner.temp": str(folder), "github.event.pull_request.number": "7"}

    def filled(text: str) -> str:
        return re.sub(r"\$\{\{ *(.*?) *\}\}", lambda found: values[found[1]], text)

    assert "${{" not in step["run"]  # what users write is never part of a script
    variables = {key: filled(value) for key, value in step["env"].items()}
    path = f"{folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {**os.environ, **variables, "PATH": path, "GITHUB_STEP_SUMMARY": str(folder / "summary.md"), **extra}
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=240)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a run, its baseline, and a ``gh`` that writes down what it is asked."""
    suite.run({"methods": TINY, "metrics": "psnr,fd", "samples": 100, "seeds": 3}, out=tmp_path / "main")
    write_baseline(baseline_of(RunStore(tmp_path / "main")), tmp_path / "b.json")
    (tmp_path / "bin").mkdir()
    gh = tmp_path / "bin" / "gh"
    gh.write_text('#!/usr/bin/env bash\necho "$@" >> gh.txt\ncase "$*" in *--paginate*) cat known.txt;; esac\n')
    gh.chmod(0o755)
    (tmp_path / "known.txt").touch()
    benchsuite = tmp_path / "bin" / "benchsuite"
    benchsuite.write_text(f'#!/usr/bin/env bash\nexec {shlex.quote(sys.executable)} -m benchsuite "$@"\n')
    benchsuite.chmod(0o755)
    return tmp_path


def test_the_actions_steps_gate_summarise_and_comment_once(project: Path) -> None:
    done = run_step("Gate", project, {"baseline": "b.json", "run": "main"})
    assert done.returncode == 0, done.stderr
    assert "Gate open: 2 pass" in (project / "summary.md").read_text()
    assert (project / "benchsuite-gate.xml").exists() and (project / "benchsuite-comment.md").exists()
    repository = {"GITHUB_REPOSITORY": "someone/project"}
    assert run_step("Comment", project, {"comment": "true", "token": "t"}, **repository).returncode == 0
    mark = (project / "benchsuite-comment.md").read_text().splitlines()[0]
    (project / "known.txt").write_text(f"41 something else\n42 {mark}\r\n43 {mark}\n")
    assert run_step("Comment", project, {"comment": "true", "token": "t"}, **repository).returncode == 0
    calls = [line for line in (project / "gh.txt").read_text().splitlines() if "--method" in line]
    (project / "bin" / "gh").write_text("#!/usr/bin/env bash\nexit 1\n")
    refused = run_step("Comment", project, {"comment": "true", "token": "t"}, **repository)
    assert refused.returncode == 0 and "::warning::the comment could not be written" in refused.stdout
    assert calls[0].startswith("api --method POST repos/someone/project/issues/7/comments -F body=@")
    assert calls[1].startswith("api --method PATCH repos/someone/project/issues/comments/42 -F body=@")


def test_the_action_fails_as_the_gate_does_and_takes_all_its_inputs(project: Path) -> None:
    assert run_step("Gate", project, {"baseline": "no.json", "run": "main"}).returncode == 4
    allowed = {"baseline": "no.json", "run": "main", "allow-missing-baseline": "true"}
    assert run_step("Gate", project, allowed).returncode == 0
    (project / "rules.toml").write_text("seeds = 2\n")
    given = {"baseline": "b.json", "rules": "rules.toml", "strict": "true", "junit": "out.xml"}
    done = run_step("Gate", project, given)  # without a run it makes one
    assert done.returncode == 0, done.stderr
    (run,) = (project / "runs").iterdir()
    assert len(RunStore(run).records()) == 2 and (project / "out.xml").exists()


def test_the_printed_workflows_parse_and_name_inputs_and_flags_that_exist() -> None:
    workflow, gitlab = (yaml.safe_load(text) for text in blocks("yaml"))
    (step,) = (s for s in workflow["jobs"]["gate"]["steps"] if s.get("uses") == "./.github/actions/gate")
    assert set(step["with"]) <= set(yaml.safe_load(ACTION.read_text())["inputs"])
    (command,) = (line for line in gitlab["gate"]["script"] if line.startswith("benchsuite"))
    from benchsuite.cli.gate import command as gate

    flags = {flag for option in gate.params for flag in option.opts}
    assert {word for word in shlex.split(command) if word.startswith("--")} <= flags
    assert gitlab["gate"]["artifacts"]["reports"]["junit"] == "gate.xml"


def test_this_projects_own_baseline_can_be_read_and_has_twenty_seeds() -> None:
    baseline = read_baseline(ROOT / "benchmarks" / "baselines" / "smoke.json")
    assert {len(entry.seeds) for entry in baseline.entries} == {20}
    assert {entry.method for entry in baseline.entries} == {"pca", "vae", "glo", "dcgan"}
    assert "benchmarks/baselines/smoke.json" in (ROOT / ".ci" / "run").read_text()
