"""What plugins provide is listed without importing torch, as long as nothing that decides it has changed."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest
from conftest import CommandLine, environment, install

import benchsuite
from benchsuite import Method, hookimpl
from benchsuite.harness import catalogue as catalogues
from benchsuite.harness.catalogue import Catalogue, catalogue, catalogue_of
from benchsuite.harness.freshness import has_changed, stamps, surroundings
from benchsuite.harness.registry import KINDS, PluginInfo, Registry, load_registry

TOLD = "import sys; from benchsuite.cli import main; sys.argv = ['benchsuite', *sys.argv[1:]]\n"
TOLD += "try: main()\nfinally: print('LOADED', 'torch' in sys.modules, file=sys.stderr)"

PLUGIN = """
import benchsuite
from ripples import SMALL
from waves.shape import LARGE


def waviness(generated, *, size: benchsuite.PositiveInt = 1, small: int = SMALL, large: int = LARGE):
    return 0.0


@benchsuite.hookimpl
def benchsuite_metrics():
    return [benchsuite.Metric("waviness", waviness, higher_is_better=None)]
"""


@dataclass(frozen=True)
class Answer:
    """What a process of the command line printed, and whether it has loaded plugins for that."""

    out: str
    err: str
    loaded: bool

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Place:
    """A stranger's distribution as an editable install has it, its metadata in one folder and its source in another."""

    folder: Path

    @property
    def source(self) -> Path:
        return self.folder / "checkout"

    @property
    def metadata(self) -> Path:
        return self.folder / "site" / "waves-1.0.dist-info"

    def write(self) -> None:
        for name, text in {
            "waves/__init__.py": "",
            "waves/plugin.py": PLUGIN,
            "waves/shape.py": "LARGE = 9",
            "ripples/__init__.py": "SMALL = 2",
        }.items():
            (self.source / name).parent.mkdir(parents=True, exist_ok=True)
            (self.source / name).write_text(text)
        self.write_metadata()

    def write_metadata(self) -> None:
        self.metadata.mkdir(parents=True)
        (self.metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: waves\nVersion: 1.0\n")
        (self.metadata / "entry_points.txt").write_text("[benchsuite]\nwaves = waves.plugin\n")

    def ask(self, *arguments: str, env: dict[str, str] | None = None) -> Answer:
        return ask(*arguments, plugins=(self.metadata.parent, self.source), cwd=self.folder, env=env)

    def defaults(self, *arguments: str, env: dict[str, str] | None = None) -> tuple[dict[str, str], bool]:
        """The defaults of the metric's parameters, and whether plugins were loaded."""
        answer = self.ask("list", "metrics", "--json", *arguments, env=env)
        (metric,) = (item for item in answer.json["metrics"] if item["name"] == "waviness")
        return {parameter["name"]: parameter["default"] for parameter in metric["parameters"]}, answer.loaded


def ask(*arguments: str, cwd: Path, plugins: Sequence[Path] = (), env: dict[str, str] | None = None) -> Answer:
    variables = environment(*plugins) | {"BENCHSUITE_CACHE": str(cwd / "cache")} | (env or {})
    run = subprocess.run(
        [sys.executable, "-c", TOLD, *arguments], cwd=cwd, env=variables, capture_output=True, text=True, timeout=240
    )
    err, _, loaded = run.stderr.rpartition("LOADED ")
    assert run.returncode == 0 and "Traceback" not in err, run.stderr
    return Answer(run.stdout, err, {"True": True, "False": False}[loaded.strip()])


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path)
    place.write()
    return place


@pytest.fixture(scope="module")
def shared_place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = Place(tmp_path_factory.mktemp("place"))
    place.write()
    shutil.copytree(Path(benchsuite.__file__).parent, place.source / "benchsuite")
    return place


def indexes(folder: Path) -> list[Path]:
    return sorted((folder / "cache" / "index").iterdir())


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in whose cache there is the index of the built-in plugins."""
    folder = tmp_path_factory.mktemp("built")
    assert ask("list", cwd=folder).loaded
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_from_the_index_is_the_one_that_is_made_afresh(
    kind: str, built: Path, command_line: CommandLine
) -> None:
    kept, afresh = ask("list", kind, "--json", cwd=built), command_line("list", kind, "--json", check=0)
    assert not kept.loaded
    assert kept.out == afresh.stdout
    assert kept.json[kind] == catalogue_of(load_registry()).kinds[kind] != []
    assert ask("list", kind, cwd=built).out == command_line("list", kind, check=0).stdout


@pytest.mark.parametrize(
    "arguments", [["list"], ["list", "--json"], ["plugins", "list"], ["plugins", "list", "--json"]]
)
def test_a_list_of_everything_needs_no_torch_either(
    arguments: list[str], built: Path, command_line: CommandLine
) -> None:
    kept = ask(*arguments, cwd=built)
    assert not kept.loaded and not kept.err
    assert kept.out == command_line(*arguments, check=0).stdout


def edit(name: str, text: str) -> Callable[[Place], None]:
    return lambda place: (place.source / name).write_text(text) and None


def touch(place: Place) -> None:
    os.utime(place.source / "waves" / "__init__.py", ns=(1, 1))


def other_distribution(place: Place) -> None:
    (place.metadata.parent / "other-1.dist-info").mkdir()


def install_again(place: Place) -> None:
    shutil.rmtree(place.metadata)
    place.write_metadata()


# What is done, what the defaults are then.
CAUSES: dict[str, tuple[Callable[[Place], None], dict[str, str]]] = {
    "the plugin's module is edited": (edit("waves/plugin.py", PLUGIN.replace("= 1,", "= 7,")), {"size": "7"}),
    "a module beside it is edited": (edit("waves/shape.py", "LARGE = 10"), {"large": "10"}),
    "another package of the checkout is edited": (edit("ripples/__init__.py", "SMALL = 3"), {"small": "3"}),
    "a module is added to its package": (edit("waves/more.py", ""), {}),
    "a module is written again": (touch, {}),
    "benchsuite is edited": (edit("benchsuite/harness/pictures.py", "# nothing that is needed here"), {}),
    "a distribution is installed": (other_distribution, {}),
    "its distribution is installed again": (install_again, {}),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_plugins_are_loaded_again_once(cause: str, shared_place: Place) -> None:
    change, changed = CAUSES[cause]
    shared_place.ask("list")
    before, loaded = shared_place.defaults()
    assert not loaded, "the index is fresh"
    change(shared_place)
    after, loaded = shared_place.defaults()
    assert loaded
    assert after == before | changed
    assert shared_place.defaults() == (after, False)


EDITING = """
import os
from pathlib import Path
import ripples
if "EDITED" in os.environ:
    edited = Path(ripples.__file__)
    edited.with_name("edited.py").write_text("SMALL = 30")
    if os.environ["EDITED"] == "earlier":
        os.utime(edited.with_name("edited.py"), (1, 1))
    edited.with_name("edited.py").replace(edited)
"""


@pytest.mark.parametrize("when", ["now", "earlier"])
def test_what_is_edited_while_plugins_are_loaded_is_read_the_next_time(when: str, place: Place) -> None:
    """Or is put in place of what was there, with a time that is long past."""
    (place.source / "waves" / "plugin.py").write_text(PLUGIN + EDITING)
    before, _ = place.defaults(env={"EDITED": when})
    assert before["small"] == "2"
    assert place.defaults() == (before | {"small": "30"}, True)
    assert place.defaults() == (before | {"small": "30"}, False)


def test_a_time_in_the_future_is_no_change_and_one_that_was_set_is(tmp_path: Path) -> None:
    file = tmp_path / "waves.py"
    began = time.time_ns()
    file.touch()
    assert has_changed([str(tmp_path)], since=began) and has_changed([str(file)], since=began)
    os.utime(file, ns=(began, began + 10**15))
    assert has_changed([str(tmp_path)], since=began), "its time was changed"
    assert not has_changed([str(tmp_path)], since=time.time_ns() + 10**9)
    assert not has_changed([str(tmp_path / "absent")], since=began)


def test_a_distribution_is_listed_once_it_is_installed_and_until_it_is_removed(tmp_path: Path) -> None:
    def told(*arguments: str) -> Answer:
        return ask(*arguments, "--json", cwd=tmp_path, plugins=[tmp_path / "site"])

    def datasets() -> tuple[set[str], bool]:
        answer = told("list", "datasets")
        return {item["name"] for item in answer.json["datasets"]} & {"specks", "digits"}, answer.loaded

    def versions() -> set[str]:
        return {plugin["version"] for plugin in told("plugins", "list").json if plugin["distribution"] == "acme"}

    (tmp_path / "site").mkdir()
    assert datasets() == ({"digits"}, True)
    site = install("acme", tmp_path / "site")
    assert datasets() == ({"digits", "specks"}, True)
    assert datasets() == ({"digits", "specks"}, False)
    newer = site / "acme-1.3.dist-info"
    (site / "acme-1.2.dist-info").rename(newer)
    (newer / "METADATA").write_text((newer / "METADATA").read_text().replace("Version: 1.2", "Version: 1.3"))
    assert versions() == {"1.3"}
    shutil.rmtree(newer)
    assert datasets() == ({"digits"}, True)
    assert versions() == set()


def test_a_plugin_file_and_what_lies_beside_it_count_where_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "waves.py").write_text(PLUGIN.replace("waves.shape", "shape"))
    (tmp_path / "shape.py").write_text("LARGE = 9")
    (tmp_path / "ripples.py").write_text("SMALL = 2")
    place, flag = Place(tmp_path / "elsewhere"), ("--plugin", str(tmp_path / "waves.py"))
    place.folder.mkdir()
    expected = {"size": "1", "small": "2", "large": "9"}
    assert place.defaults(*flag) == (expected, True)
    assert place.defaults(*flag) == (expected, False)
    assert place.defaults(env={"BENCHSUITE_PLUGINS": str(tmp_path / "waves.py")}) == (expected, False)
    (line,) = (line for line in place.ask("plugins", "list", *flag).out.splitlines() if line.startswith("| waves "))
    row = [cell.strip() for cell in line.strip("|").split("|")]
    assert row == ["waves", "metric", "waviness", str(tmp_path / "waves.py"), "–", "ok"]
    (tmp_path / "shape.py").write_text("LARGE = 10")
    assert place.defaults(*flag) == (expected | {"large": "10"}, True)
    assert '"waviness"' not in place.ask("list", "--json").out
    assert place.defaults(*flag) == (expected | {"large": "10"}, False)


def test_a_plugin_that_is_blocked_is_not_listed(shared_place: Place) -> None:
    ask = shared_place.ask
    for _ in range(2):
        blocked = ask("list", "--json", "--no-plugin", "waves")
        assert '"waviness"' not in blocked.out and '"pca"' in blocked.out
    assert not blocked.loaded
    (row,) = (p for p in ask("plugins", "list", "--json", "--no-plugin", "waves").json if p["name"] == "waves")
    assert (row["status"], row["provides"]) == ("blocked", {})
    assert '"waviness"' in ask("list", "--json").out


BROKEN = "import os\nif 'WAVES_WORK' not in os.environ: raise ImportError('no work for waves')\n"


def test_reasons_of_broken_plugins_are_never_old_ones(place: Place) -> None:
    """Why an import fails may be none of the things that are watched: here it is an environment variable."""
    (place.source / "waves" / "plugin.py").write_text(BROKEN + PLUGIN)
    place.ask("list")
    listed = place.ask("list")
    assert not listed.loaded and "1 broken; see 'benchsuite plugins list'" in listed.err
    reasons = place.ask("plugins", "list")
    assert reasons.loaded
    assert "waves (waves 1.0, module waves.plugin) is broken: ImportError: no work for waves" in reasons.out
    works = {"WAVES_WORK": "1"}
    assert place.ask("plugins", "list", env=works).loaded
    assert not place.ask("plugins", "list", env=works).loaded, "nothing is broken any more"
    assert place.ask("list", env=works).err == "" and place.defaults(env=works)[1] is False


def test_what_a_plugin_prints_is_no_part_of_an_answer(place: Place) -> None:
    (place.source / "waves" / "plugin.py").write_text("print('loading waves')\n" + PLUGIN)
    first, second = place.ask("list", "--json"), place.ask("list", "--json")
    assert "loading waves" in first.err and first.out == second.out
    assert (first.loaded, second.loaded, second.err) == (True, False, "")


def damaged(text: str) -> dict[str, str]:
    other = json.loads(text)
    other["kept"]["kinds"]["methods"][0]["name"] = "other"
    parts = json.loads(text)
    del parts["kept"]["places"]
    return {
        "empty": "",
        "half": text[: len(text) // 2],
        "no JSON": "{'a': 1}",
        "a list": "[]",
        "null": "null",
        "of another format": json.dumps({"format": 2}),
        "changed": json.dumps(other),
        "in part": json.dumps(parts | {"digest": catalogues.digest(parts["kept"])}),
        "deep": "[" * 100_000,
    }


def test_a_damaged_index_is_none(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (index,) = indexes(built)
    monkeypatch.setattr(catalogues, "stamps", lambda modules: json.loads(index.read_text())["kept"]["stamps"])
    monkeypatch.setattr(catalogues, "stamps_of_places", lambda places: {})
    assert isinstance(catalogues._read(index), Catalogue)
    for what, text in damaged(index.read_text()).items():
        (tmp_path / "index.json").write_text(text)
        assert catalogues._read(tmp_path / "index.json") is None, what
    (tmp_path / "index.json").write_bytes(b"\xff\xfe")
    assert catalogues._read(tmp_path / "index.json") is None
    assert catalogues._read(tmp_path) is None and catalogues._read(tmp_path / "absent.json") is None


def test_a_damaged_index_is_replaced(built: Path) -> None:
    right = ask("list", "--json", cwd=built)
    (index,) = indexes(built)
    index.write_text(index.read_text()[:1000])
    again = ask("list", "--json", cwd=built)
    assert again.loaded and again.out == right.out and again.err == right.err
    assert not ask("list", "--json", cwd=built).loaded


def test_a_cache_that_cannot_be_written_costs_time_alone(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "index").touch()  # where the folder belongs
    answer = ask("list", "--json", cwd=tmp_path)
    assert answer.loaded and not answer.err and '"pca"' in answer.out


def test_an_index_that_cannot_be_written_over_is_read(built: Path, tmp_path: Path) -> None:
    shutil.copytree(built / "cache", tmp_path / "cache")
    (tmp_path / "cache" / "index").chmod(0o555)
    assert not ask("list", cwd=built, env={"BENCHSUITE_CACHE": str(tmp_path / "cache")}).loaded


def test_processes_that_make_the_index_at_the_same_time_do_no_harm(tmp_path: Path) -> None:
    variables = environment() | {"BENCHSUITE_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "benchsuite", "list", "--json"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    processes = [subprocess.Popen(command, cwd=tmp_path, env=variables, text=True, **pipes) for _ in range(2)]
    answers = [process.communicate(timeout=240) for process in processes]
    assert answers == [answers[0]] * 2 and '"pca"' in answers[0][0] and not answers[0][1]
    (index,) = indexes(tmp_path)
    assert catalogues.digest(json.loads(index.read_text())["kept"]) == json.loads(index.read_text())["digest"]


def test_old_indexes_do_not_pile_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogues, "_MOST_KEPT", 2)
    for number in range(4):
        path = tmp_path / "index" / f"{number}.json"
        catalogues._keep(path, Catalogue({}, []), [], {}, time.time_ns())
        os.utime(path, (number, number))
    (tmp_path / "index" / ".4.json.part").touch()
    catalogues._keep(tmp_path / "index" / "5.json", Catalogue({}, []), [], {}, time.time_ns())
    assert {path.name for path in (tmp_path / "index").iterdir()} == {".4.json.part", "5.json"}


def test_source_that_was_imported_earlier_is_not_passed_off_as_what_is_there_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This process has plugins loaded already, and their files may have changed since."""
    monkeypatch.setenv("BENCHSUITE_CACHE", str(tmp_path))
    assert "benchsuite_plugins" in sys.modules or load_registry()
    assert catalogue() == catalogue_of(load_registry())
    assert not (tmp_path / "index").exists()


def test_another_python_or_path_has_an_index_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [surroundings()]
    monkeypatch.setattr(sys, "version", "3.99")
    found.append(surroundings())
    monkeypatch.syspath_prepend(tmp_path)
    found.append(surroundings())
    monkeypatch.setenv("BENCHSUITE_PLUGINS", str(tmp_path / "waves.py"))
    found.append(surroundings())
    monkeypatch.setenv("BENCHSUITE_NO_PLUGINS", "pca")
    found.append(surroundings())
    assert len(set(found)) == 5 and found[-1] == surroundings()


class Finder:
    """As setuptools' editable installs have it: a first name is found by a table, and on no folder of the path."""

    table: ClassVar[dict[str, Path]] = {}

    @classmethod
    def find_spec(cls, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name not in cls.table:
            return None
        file = cls.table[name] / "__init__.py"
        return importlib.util.spec_from_file_location(name, file, submodule_search_locations=[str(file.parent)])


def test_source_is_watched_where_an_editable_install_says_that_it_is(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Finder, "table", {"waves": place.source / "waves"})
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder])
    before = stamps(["waves", "absent"])
    assert stamps(["waves", "absent"]) == before
    (place.source / "waves" / "shape.py").write_text("LARGE = 10")
    after = stamps(["waves", "absent"])
    assert {name for name in before if before[name] != after[name]} == {"waves"}
    (place.source / "absent.py").touch()
    monkeypatch.syspath_prepend(place.source)
    assert stamps(["absent"])["absent"] != before["absent"]
    assert not {"waves", "absent"} & set(sys.modules), "nothing was imported"


def test_source_behind_links_is_watched_and_a_circle_of_them_ends(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = place.folder / "outside" / "inner"
    inner.mkdir(parents=True)
    (inner / "deep.py").write_text("DEEP = 1")
    monkeypatch.syspath_prepend(place.source)
    found = [stamps(["waves"])]
    (place.source / "waves" / "linked").symlink_to(inner.parent)
    found.append(stamps(["waves"]))
    (inner / "back").symlink_to(place.source / "waves")
    (inner / "itself").symlink_to(inner / "itself")
    assert stamps(["waves"]) == found[-1], "what is there already is nothing new"
    (inner / "deep.py").write_text("DEEP = 10")
    found.append(stamps(["waves"]))
    assert len({each["waves"] for each in found}) == 3


@pytest.mark.parametrize("value", ["waves.plugin", " waves.plugin:hooks", "waves:hooks", "waves [extra]", "waves"])
def test_the_package_of_an_entry_point_is_told_from_its_text(value: str) -> None:
    assert catalogues._first_name(value) == "waves"
    assert stamps([catalogues._first_name("")]) and stamps([catalogues._first_name("not-a module")])


def test_what_cannot_be_imported_is_not_watched(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(place.source)
    before = stamps(["waves"])
    (place.source / "waves" / "__pycache__").mkdir()
    (place.source / "waves" / "__pycache__" / "shape.cpython-311.pyc").touch()
    (place.source / "waves" / "notes.txt").touch()
    assert stamps(["waves"]) == before


def test_what_is_wrong_in_one_plugin_leaves_the_others_described() -> None:
    @dataclass(frozen=True)
    class Odd(Method):
        name = "odd"
        presets = 3

        def build(self, spec: Any) -> Any: ...

        def fit(self, model: Any, train: Any, run: Any) -> None: ...

    @dataclass(frozen=True)
    class Even(Odd):
        """Even."""

        name = "even"
        presets = {"far": {"path": Path("/far"), "sizes": (1, 2)}}
        Label: str = "KL"

    @hookimpl
    def benchsuite_methods() -> Any:
        return [Odd, Even]

    module = ModuleType("odd")
    benchsuite_methods.__module__ = "odd"
    module.benchsuite_methods = benchsuite_methods  # type: ignore[attr-defined]
    registry = Registry()
    registry.add("odd", lambda: module, PluginInfo("odd", "odd", "acme", "1.0"))
    even, odd = catalogue_of(registry).kinds["methods"]
    assert odd["summary"].startswith("cannot be described: AttributeError") and odd["parameters"] == []
    assert even["summary"] == "Even." and even["presets"] == {"far": {"path": "/far", "sizes": [1, 2]}}
    assert [p["default"] for p in even["parameters"]] == ["KL"], "text is written as it is"


def test_each_kind_that_a_plugin_provides_is_a_row(acme: Path, tmp_path: Path) -> None:
    table = ask("plugins", "list", cwd=tmp_path, plugins=[acme]).out
    lines = table.splitlines()
    header, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|"))
    assert header == ["plugin", "kind", "provides", "distribution", "version", "status"]
    assert [row[1:] for row in rows if row[0] == "stored"] == [
        ["method", "repreparing", "acme", "1.2", "ok"],
        ["dataset", "many", "acme", "1.2", "ok"],
        ["features", "thumbnail, brewed", "acme", "1.2", "ok"],
    ]
    (watcher,) = (row for row in rows if row[0] == "watcher")
    assert watcher[1:3] == ["hooks", "benchsuite_cell_finished, benchsuite_cell_started"]
    assert [row[1:] for row in rows if row[0] == "unimportable"] == [["–", "–", "acme", "1.2", "broken"]]
    reason = "unimportable (acme 1.2, module acme.unimportable) is broken: ImportError: acme needs a library that is "
    assert f"\n\n{reason}not there, at {acme / 'acme' / 'unimportable.py'}:3\n" in table


def test_reasons_are_read_in_a_terminal_of_a_hundred_columns(acme: Path, tmp_path: Path) -> None:
    pytest.importorskip("pty", reason="no terminals here")
    command = f"stty cols 100; {sys.executable} -m benchsuite plugins list"
    shown = subprocess.run(
        [sys.executable, "-c", "import pty, sys; pty.spawn(['sh', '-c', sys.argv[1]])", command],
        env={**environment(acme), "COLUMNS": "100", "TERM": "dumb", "BENCHSUITE_CACHE": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
    ).stdout.splitlines()
    assert max(len(line) for line in shown) <= 100
    text = " ".join(line.strip() for line in shown)
    assert (
        "misspelt (acme 1.2, module acme.misspelt) is broken: no hook named 'benchsuite_method'; did you mean" in text
    )
