"""The command line answers at once, says what is wrong, and exits with the code that it promises."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import CommandLine

HEAVY = ("torch", "torchvision", "pandas", "matplotlib", "sklearn", "scipy", "numpy", "torchmetrics")
LIGHT = [
    ["--help"],
    ["--version"],
    ["rnu"],
    ["--no-such-flag"],
    ["run", "--help"],
    ["run"],
    ["run", "--no-such-flag"],
    ["run", "-m", "glo[epochs="],
    ["run", "-m", "pca", "--seeds", "x"],
    ["run", "absent.toml"],
    ["list", "nonsense"],
]


@pytest.mark.parametrize("arguments", LIGHT, ids=" ".join)
def test_help_version_and_usage_errors_import_nothing_heavy(arguments: list[str]) -> None:
    code = "import sys; from benchsuite.cli import main; sys.argv = ['benchsuite', *sys.argv[1:]]\n"
    code += "try: main()\nfinally: print('LOADED', *sorted({m.partition('.')[0] for m in sys.modules}))"
    result = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    (loaded,) = (line.split()[1:] for line in result.stdout.splitlines() if line.startswith("LOADED"))
    assert not set(HEAVY) & set(loaded)
    if arguments in (["--help"], ["--version"]):
        assert not {"pluggy", "importlib_metadata"} & set(loaded)
    assert result.returncode == (0 if arguments[-1] in ("--help", "--version") else 2)


USAGE = {
    "an unknown command": (["rnu"], "no command named 'rnu'; did you mean 'run'?"),
    "no methods": (["run"], "no methods; name some with --methods pca,glo"),
    "an unknown method": (["run", "-m", "vea"], "no method named 'vea'; did you mean 'vae'? known: ali"),
    "an unknown parameter": (["run", "-m", "glo[epoch=3]"], "no glo parameter named 'epoch'; did you mean 'epochs'?"),
    "a wrong type": (["run", "-m", "glo[epochs=many]"], "glo: epochs='many' is not allowed; epochs is a whole number"),
    "a value out of range": (
        ["run", "-m", "vae[sigma=0]"],
        "vae: sigma='0' is not allowed; sigma is a number, above 0",
    ),
    "no codes": (["run", "-m", "dcgan[latent_dim=0]"], "dcgan: latent_dim='0' is not allowed; latent_dim is a whole"),
    "no codes in a run": (["run", "-m", "avb", "--latent-dim", "0"], "latent_dim"),
    "no inversion steps": (
        ["run", "-m", "subproblem_gan[inversion_steps=0]"],
        "subproblem_gan: inversion_steps='0' is not allowed; inversion_steps is a whole number, at least 1",
    ),
    "no regression steps": (["run", "-m", "subproblem_gan[regression_steps=0]"], "regression_steps is a whole number"),
    "negative epochs": (["run", "-m", "ali[epochs=-1]"], "ali: epochs='-1' is not allowed; epochs is a whole number"),
    "a beta of one": (["run", "-m", "dcgan[beta1=1]"], "beta1 is a number, at least 0 and below 1"),
    "an unknown loss": (["run", "-m", "dcgan[loss=js2]"], "loss is one of non_saturating, minimax, kl, reverse_kl, js"),
    "an unknown preset": (
        ["run", "-m", "dcgan[preset=tutoral]"],
        "no dcgan preset named 'tutoral'; did you mean 'tutorial'? known: flexible_priors, lipton, tutorial",
    ),
    "a preset where there is none": (["run", "-m", "pca[preset=paper]"], "no pca parameter named 'preset'"),
    "an interval upside down": (["run", "-m", "gan[start_mean=[4,3]]"], "start_mean"),
    "a value outside a choice": (["run", "-m", "glo[init=random]"], "init is one of pca, gaussian"),
    "an unknown dataset": (["run", "-m", "pca", "-d", "digit"], "no dataset named 'digit'; did you mean 'digits'?"),
    "an unknown metric": (["run", "-m", "pca", "--metrics", "psn"], "no metric named 'psn'; did you mean 'psnr'?"),
    "an unknown executor": (["run", "-m", "pca", "--executor", "moon"], "no executor named 'moon'"),
    "an unwritable folder": (["run", "-m", "pca", "--out", "/proc/nowhere"], "cannot write to /proc/nowhere"),
    "a folder of something else": (["run", "-m", "pca", "--out", "."], "holds something else than a run"),
    "an unknown run": (["report", "nowhere"], "nowhere is no run directory; runs here: none"),
    "an unknown reporter": (["report", ".", "--format", "pdf"], "no reporter named 'pdf'"),
    "equal labels": (["run", "-m", "pca,pca"], "'pca' is selected twice"),
    "a sweep over equal values": (["run", "-m", "glo[epochs=[3,3]]"], "is selected twice"),
    "a device that is not there": (["run", "-m", "pca", "--device", "cuda:99"], "there is no device 'cuda:99' here"),
    "a seed that reads as a count": (["run", "-m", "pca", "--seeds", "2024"], "for the one seed write '2024,'"),
    "a seed too large": (
        ["run", "-m", "pca", "--seeds", "99999999999999999999,"],
        "each stands once and is below 2^32",
    ),
    "an infinite number": (["run", "-m", "vae[learning_rate=inf]"], "learning_rate='inf' is not allowed"),
    "a file for a folder": (["run", "-m", "pca", "--out", "a file.txt"], "is a file, not a folder"),
    "a metric twice": (["run", "-m", "pca", "--metrics", "fd,fd"], "'fd' is selected twice"),
    "a labelled metric": (["run", "-m", "pca", "--metrics", "fd@a"], "metrics take no label"),
    "labels of two variants": (["run", "-m", "glo@a,pca@a"], "'a' is selected twice"),
}


@pytest.mark.parametrize("case", USAGE)
def test_bad_input_is_exit_code_two_and_one_clear_message(case: str, command_line: CommandLine, tmp_path: Path) -> None:
    arguments, message = USAGE[case]
    (tmp_path / "a file.txt").touch()
    result = command_line(*arguments, check=2)
    assert message in result.stderr
    assert not result.stdout and not (tmp_path / "runs").exists()


def test_a_list_of_methods_names_their_presets(command_line: CommandLine) -> None:
    listed = command_line("list", "methods", check=0).stdout
    assert "preset=tutorial: latent_dim=100, epochs=5, batch_size=128, learning_rate=0.0002" in listed
    assert "hidden=[128,128]: a list, each a whole number, at least 1, not empty" in listed
    (dcgan,) = (m for m in json.loads(command_line("list", "--json").stdout)["methods"] if m["name"] == "dcgan")
    assert dcgan["presets"]["tutorial"]["batch_size"] == 128


def test_a_preset_is_the_parameters_that_it_stands_for(command_line: CommandLine, tmp_path: Path) -> None:
    """Its values are in the record, what is given beside it wins, and spelling them out is the same cell."""
    selections = [
        "subproblem_gan[preset=hidden_tasks,epochs=1,width=4,keep_inverse_examples=true]@a",
        "subproblem_gan[latent_dim=100,epochs=1,batch_size=128,beta1=0.5,final_rate=1,width=4,tutorial_draws=true,"
        "keep_inverse_examples=true]@a",
    ]
    command_line("run", "-m", selections[0], "--metrics", "moments", "--out", "out", check=0)
    (folder,) = (tmp_path / "out" / "cells").iterdir()
    params = json.loads((folder / "record.json").read_text())["cell"]["params"]
    assert (params["batch_size"], params["epochs"], "preset" in params) == (128, 1, False)
    assert (folder / "inverse_examples.png").exists() and (folder / "samples.png").exists()
    spelt_out = command_line("plan", "-m", selections[1], "--metrics", "moments", "--out", "out", "--json", check=0)
    assert [cell["action"] for cell in json.loads(spelt_out.stdout)["cells"]] == ["done"]


def test_every_command_has_help(command_line: CommandLine) -> None:
    for command in ("run", "plan", "list", "report", "plugins", "env"):
        assert command in command_line("--help", check=0).stdout
        assert "Usage" in command_line(command, "--help", check=0).stdout


def test_a_run_a_second_run_and_a_report(command_line: CommandLine, tmp_path: Path) -> None:
    first = command_line("run", "-m", "pca,real", "--seeds", "3", "--samples", "100", check=0)
    for words in ("Comparison on digits", "psnr [dB] ↑", "Not timed", "Without a number", "Run: runs/pca+real"):
        assert words in first.stdout
    second = command_line("run", "-m", "pca,real", "--seeds", "3", "--samples", "100", check=0)
    assert second.stdout == first.stdout
    assert "cells: 0 to run, 6 done already" in second.stderr
    planned = json.loads(command_line("plan", "-m", "pca,real", "--seeds", "3", "--samples", "100", "--json").stdout)
    assert {cell["action"] for cell in planned["cells"]} == {"done"}
    (run,) = (tmp_path / "runs").iterdir()
    written = command_line("report", run.name, check=0).stdout.split()
    files = ["report.html", "report.md", "results.csv", "timings.csv", "summary.csv", "contest.csv"]
    assert [Path(path).name for path in written] == files
    page = (run / "report" / "report.md").read_text()
    assert all(line in page for line in first.stdout.splitlines() if line.startswith("| pca"))
    for name in ("results.csv", "timings.csv"):
        header = (run / name).read_text().splitlines()[0]
        assert (run / "report" / name).read_text().splitlines()[0] == header


def test_json_is_all_that_stands_on_standard_output(command_line: CommandLine) -> None:
    arguments = ("run", "-m", "pca", "--samples", "100", "--json")
    content = json.loads(command_line(*arguments, check=0).stdout)
    assert content["exit_code"] == 0
    assert {row["metric"] for row in content["results"]} == {
        "authpct",
        "fd",
        "precision",
        "recall",
        "psnr",
        "psnr_pooled",
        "psnr_train",
        "psnr_train_pooled",
        "ssim",
    }
    for command in (["list"], ["env"], ["plugins", "list"]):
        assert json.loads(command_line(*command, "--json", check=0).stdout)


def test_what_a_run_lacks_is_in_its_report_and_comes_back(command_line: CommandLine, tmp_path: Path) -> None:
    run = ("run", "-m", "pca,real", "--samples", "64", "--metrics", "fd", "--out", "out")
    command_line(*run, check=0)
    lost, damaged = sorted((tmp_path / "out").glob("cells/*/record.json"))
    lost.unlink()
    record = json.loads(damaged.read_text())
    record["metrics"][0]["value"] = "abc"
    damaged.write_text(json.dumps(record))
    command_line("report", "out", check=0)
    page = (tmp_path / "out" / "report" / "report.md").read_text()
    assert page.count("| missing |") == 2
    (tmp_path / "out" / "run.json").unlink()
    assert "cells: 2 to run" in command_line(*run, check=0).stderr


def test_a_file_where_a_cell_belongs_is_that_cells_row(command_line: CommandLine, tmp_path: Path) -> None:
    run = ("run", "-m", "pca,real", "--samples", "64", "--metrics", "fd", "--out", "out")
    cells = json.loads(command_line("plan", *run[1:], "--json", check=0).stdout)["cells"]
    (tmp_path / "out" / "cells").mkdir(parents=True)
    (tmp_path / "out" / "cells" / cells[0]["cell"]).touch()
    result = command_line(*run, check=1)
    assert "FileExistsError" in result.stdout or "NotADirectoryError" in result.stdout
    assert re.search(r"\| real +\| +\d", result.stdout) and "| missing |" not in result.stdout


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"cells": ["a"]}'])
def test_a_damaged_run_is_a_clear_error(command_line: CommandLine, tmp_path: Path, content: str) -> None:
    (tmp_path / "run.json").write_text(content)
    message = command_line("report", str(tmp_path), check=2).stderr
    assert "run.json" in message and "\n" not in message.strip()


def test_a_recipe_file_and_flags_make_one_recipe(command_line: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('methods = ["pca", "glo[epochs=1]"]\nseeds = [4, 7]\nmetrics = "psnr"\n')
    from_file = json.loads(command_line("plan", "mine.toml", "--json", check=0).stdout)["cells"]
    assert [(c["method"], c["seed"]) for c in from_file] == [
        ("pca", 4),
        ("pca", 7),
        ("glo[epochs=1]", 4),
        ("glo[epochs=1]", 7),
    ]
    overridden = json.loads(command_line("plan", "mine.toml", "--seeds", "1", "-m", "vae", "--json").stdout)["cells"]
    assert [(c["method"], c["seed"]) for c in overridden] == [("vae", 0)]


def test_a_list_of_values_sweeps_over_them(command_line: CommandLine) -> None:
    swept = json.loads(command_line("plan", "-m", "glo[latent_dim=[4,8],epochs=1]@g", "--json", check=0).stdout)
    assert [c["method"] for c in swept["cells"]] == ["g[latent_dim=4]", "g[latent_dim=8]"]


def test_a_closed_pipe_is_no_error() -> None:
    command = f"{sys.executable} -m benchsuite list methods | head -n 1"
    result = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, env={**os.environ}
    )
    assert (result.stdout, result.stderr) == ("methods:\n", "")
