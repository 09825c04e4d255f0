"""Shells complete names of plugins, and inside brackets parameters, presets and values, without importing torch."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import environment
from test_catalogue import Answer, ask

from benchsuite.cli.completion import continued

GLO = {
    "name": "glo",
    "summary": "An autodecoder.",
    "parameters": [
        {"name": "epochs", "default": "20", "allowed": "a whole number, at least 1"},
        {"name": "energy", "default": "pca", "allowed": "one of pca, gaussian, or none"},
        {"name": "exact", "default": "false", "allowed": "true or false"},
        {"name": "sizes", "default": "[1]", "allowed": "a list, each one of 1, 2, not empty"},
    ],
    "presets": {"paper": {"epochs": 60}, "pages": {"epochs": 1}},
}
FD = {
    "name": "fd",
    "summary": "",
    "parameters": [{"name": "features", "default": "none", "allowed": "text"}],
    "presets": {},
}
CASES = {
    "": ["glo", "fd"],
    "g": ["glo"],
    "glo,": ["glo,glo", "glo,fd"],
    "glo, f": ["glo, fd"],
    "x": [],
    "glo@label": [],
    "glo[epochs=3]": [],
    "glo[epochs=3]@a,g": ["glo[epochs=3]@a,glo"],
    "glo[epochs=[1,2],exact=true],f": ["glo[epochs=[1,2],exact=true],fd"],
    "glo[": [f"glo[{name}=" for name in ("epochs", "energy", "exact", "sizes", "preset")],
    "fd[": ["fd[features="],
    "x[": [],
    "glo[e": ["glo[epochs=", "glo[energy=", "glo[exact="],
    "glo[epochs=3,e": ["glo[epochs=3,energy=", "glo[epochs=3,exact="],
    "glo[epochs=[1,2],ex": ["glo[epochs=[1,2],exact="],
    "fd,glo[epochs=3]@a,glo[si": ["fd,glo[epochs=3]@a,glo[sizes="],
    "glo[preset=": ["glo[preset=paper", "glo[preset=pages"],
    "glo[preset=pap": ["glo[preset=paper"],
    "glo[energy=": ["glo[energy=pca", "glo[energy=gaussian", "glo[energy=none"],
    "glo[exact=t": ["glo[exact=true"],
    "glo[epochs=": [],
    "glo[sizes=": [],
    "glo[energy=[": [],
    "glo[absent=": [],
    "fd[features=": ["fd[features=pixels", "fd[features=inception"],
    "]": [],
}


@pytest.mark.parametrize("text", CASES)
def test_the_last_entry_of_a_list_is_completed(text: str) -> None:
    assert [found for found, _ in continued(text, [GLO, FD], ["pixels", "inception"])] == CASES[text]


def test_a_completion_says_what_it_is() -> None:
    assert continued("g", [GLO], []) == [("glo", "An autodecoder.")]
    assert continued("glo[ep", [GLO], []) == [("glo[epochs=", "a whole number, at least 1")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in whose cache there is an index."""
    folder = tmp_path_factory.mktemp("completion")
    ask("list", cwd=folder)
    return folder


def complete(folder: Path, *words: str, shell: str = "bash") -> Answer:
    """What click answers the function of a shell, by which ``words`` are typed and the last of them is not finished."""
    variables = {"_BENCHSUITE_COMPLETE": f"{shell}_complete", "COMP_WORDS": "\n".join(["benchsuite", *words])}
    variables["COMP_CWORD"] = words[-1] if shell == "fish" else str(len(words))
    answer = ask(cwd=folder, env=variables)
    assert not answer.err
    return answer


# What is typed, as bash splits it, and what stands for the last word of it.
TYPED = {
    "a command": (["repo"], ["report"]),
    "commands": (["re"], ["report", "reproduce"]),
    "a command of a group": (["plugins", "li"], ["list"]),
    "after a command that is none": (["rnu", "-m", "x"], []),
    "a flag": (["run", "--metri"], ["--metrics"]),
    "a kind": (["list", "exe"], ["executors"]),
    "methods": (["run", "-m", "glo,dc"], ["glo,dcgan"]),
    "methods behind a quote": (["run", "--methods", '"glo,dc'], ["glo,dcgan"]),
    "methods to plan": (["plan", "-m", "sub"], ["subproblem_gan"]),
    "an option with its value": (["run", "--methods", "=", "glo,dc"], ["glo,dcgan"]),
    "a parameter": (["run", "-m", '"pca,glo[ep'], ["pca,glo[epochs=", "pca,glo[epochs=..."]),
    "a preset": (["run", "-m", "dcgan[preset", "=", "tu"], ["tutorial", "tutorial..."]),
    "presets": (
        ["run", "-m", '"dcgan[preset='],
        [f"dcgan[preset={n}" for n in ("tutorial", "flexible_priors", "lipton")],
    ),
    "behind a value": (["run", "-m", "glo[epochs", "=", "3,latent"], ["3,latent_dim=", "3,latent_dim=..."]),
    "behind an equals sign": (["run", "-m", "glo[init", "="], ["pca", "gaussian"]),
    "behind a label": (["run", "-m", "glo", "@", "a,dc"], ["a,dcgan"]),
    "datasets": (["run", "-d", "digits,mn"], ["digits,mnist"]),
    "metrics": (["run", "--metrics", "psnr_g"], ["psnr_gap", "psnr_generated"]),
    "metrics to score by": (["score", "a-run", "--metrics", "fd[features", "=", "pix"], ["pixels", "pixels..."]),
    "an executor": (["run", "--executor", ""], ["local"]),
    "formats": (["report", "a-run", "--format", "html,ma"], ["html,markdown"]),
    "what to prepare": (["prepare", "mnist", "inc"], ["inception"]),
    "a plugin to block": (["run", "--no-plugin", "toy_"], ["toy_laws"]),
}


@pytest.mark.parametrize("what", TYPED)
def test_bash_is_answered_from_the_index(what: str, folder: Path) -> None:
    words, expected = TYPED[what]
    answer = complete(folder, *words)
    assert not answer.loaded
    assert answer.out.split() == [f"plain,{value}" for value in expected]


def test_zsh_and_fish_are_told_what_completions_are(folder: Path) -> None:
    words = ("run", "-m", "pca,glo[ep")
    zsh, fish = (complete(folder, *words, shell=shell) for shell in ("zsh", "fish"))
    assert zsh.out.splitlines() == ["plain", "pca,glo[epochs=", "a whole number, at least 0"]
    assert fish.out == "plain,pca,glo[epochs=\ta whole number, at least 0\n"
    assert not zsh.loaded and not fish.loaded


def test_what_is_wrong_is_not_said_in_the_line_that_a_person_types(folder: Path) -> None:
    assert complete(folder, "run", "--no-plugin", "absent", "-m", "glo,dc").out.strip() == "plain,glo,dcgan"
    assert complete(folder, "run", "--no-plugin", "absent", "--no-plugin", "toy_").out.strip() == "plain,toy_laws"
    assert complete(folder, "run", "--plugin", "absent.py", "-m", "glo,dc").out.strip() == "plain,glo,dcgan"
    assert complete(folder, "run", "--absent", "-m", "glo,dc").out.strip() == "plain,glo,dcgan"


def test_a_stale_index_is_made_anew_in_silence(folder: Path) -> None:
    """Of a plugin file that is named earlier in the line, say."""
    code = "import sys, benchsuite\nprint('out'), print('err', file=sys.stderr)\n"
    code += "def waviness(generated): ...\n@benchsuite.hookimpl\ndef benchsuite_metrics():\n"
    code += "    return [benchsuite.Metric('waviness', waviness, None)]\n"
    (folder / "noisy.py").write_text(code)
    words = ("run", "--plugin", "noisy.py", "--metrics", "psnr,wav")
    for loaded in (True, False):
        answer = complete(folder, *words)
        assert (answer.out.strip(), answer.loaded) == ("plain,psnr,waviness", loaded)
    assert complete(folder, "run", "--metrics", "psnr,wav").out.strip() == ""


def test_the_guide_shows_how_each_shell_is_taught(folder: Path) -> None:
    guide = (Path(__file__).parents[1] / "docs" / "guide.md").read_text()
    for shell, taught in (("bash", "complete -o nosort"), ("zsh", "compdef"), ("fish", 'string split --max 1 ","')):
        answer = ask(cwd=folder, env={"_BENCHSUITE_COMPLETE": f"{shell}_source"})
        assert taught in answer.out and not answer.loaded
        assert f"_BENCHSUITE_COMPLETE={shell}_source benchsuite" in guide


@pytest.fixture
def on_path(folder: Path) -> dict[str, str]:
    """The environment of a shell that finds the command."""
    scripts = Path(sys.executable).parent
    if shutil.which("bash") is None or not (scripts / "benchsuite").exists():
        pytest.skip("needs bash, and benchsuite as a command")
    variables = {"BENCHSUITE_CACHE": str(folder / "cache"), "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}
    return environment() | variables | {"TERM": "dumb", "INPUTRC": os.devnull}


def test_bash_calls_the_function_that_it_was_given(folder: Path, on_path: dict[str, str]) -> None:
    script = """
        eval "$(_BENCHSUITE_COMPLETE=bash_source benchsuite)"
        complete -p benchsuite
        COMP_WORDS=(benchsuite run -m glo,dc); COMP_CWORD=3
        _benchsuite_completion benchsuite
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    bash = ["bash", "--norc", "--noprofile", "-c", script]
    run = subprocess.run(bash, cwd=folder, env=on_path, capture_output=True, text=True, timeout=240)
    assert run.stdout.splitlines() == ["complete -o nosort -F _benchsuite_completion benchsuite", "glo,dcgan"]
    assert not run.stderr


# What is typed before the tab key, and what is then in the line.
LINES = {
    "benchsuite run -m glo,dc": "benchsuite run -m glo,dcgan ",
    'benchsuite run -m "glo[ep': 'benchsuite run -m "glo[epochs=',
    "benchsuite run -m glo[epochs=3,latent": "benchsuite run -m glo[epochs=3,latent_dim=",
    "benchsuite run --methods=pca,dcgan[preset=tu": "benchsuite run --methods=pca,dcgan[preset=tutorial",
    'benchsuite run -m "glo[epochs=3],dc': 'benchsuite run -m "glo[epochs=3],dcgan" ',
    "benchsuite plug": "benchsuite plugins ",
}


@pytest.mark.parametrize("typed", LINES)
def test_the_tab_key_completes_in_a_bash_that_is_typed_into(
    typed: str, folder: Path, on_path: dict[str, str], tmp_path: Path
) -> None:
    pty = pytest.importorskip("pty", reason="no terminals here")
    (tmp_path / "bashrc").write_text('eval "$(_BENCHSUITE_COMPLETE=bash_source benchsuite)"; PS1="ready> "\n')
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(folder)
        os.execvpe("bash", ["bash", "--noprofile", "--rcfile", str(tmp_path / "bashrc"), "-i"], on_path)

    def shown_until(expected: str) -> str:
        """What appears on the terminal, without bells, until it ends so or nothing has come for a while."""
        shown, latest = "", time.monotonic()
        while not shown.endswith(expected) and time.monotonic() < latest + 30:
            if select.select([terminal], [], [], 0.1)[0]:
                shown += os.read(terminal, 4096).decode(errors="replace").replace("\a", "")
                latest = time.monotonic()
        return shown

    try:
        shown_until("ready> ")
        os.write(terminal, f"{typed}\t".encode())
        assert shown_until(LINES[typed]).endswith(LINES[typed])
    finally:
        os.kill(process, signal.SIGKILL)
        os.close(terminal)
        os.waitpid(process, 0)
