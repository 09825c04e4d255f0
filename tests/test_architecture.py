"""The floors of the house: a module imports only from floors below its own."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import benchsuite

ROOT = Path(__file__).parents[1]
PACKAGES = (ROOT / "benchsuite", ROOT / "plugins" / "benchsuite_plugins")

# From the ground up. A name that ends in a dot stands for every module inside it.
FLOORS = [
    ["errors"],
    ["parameters"],
    ["contracts", "reports", "hookspecs", "kit.energy"],
    [
        "kit.files",
        "kit.seeds",
        "kit.prefetch",
        "kit.timing",
        "kit.images",
        "kit.arrays",
        "kit.download",
        "kit.scratch",
        "kit.losses",
        "kit.priors",
        "kit.similarity",
        "kit.text",
    ]
    + ["kit.adversarial", "kit.laws", "kit.optimisers", "kit.nets", "kit.pyramid"],
    ["kit.samples", "kit.folders"],
    ["kit.checkpoints", "kit.curves", "kit.moments", "kit.models", "kit.features", "kit.objective", "kit.store"]
    + ["kit.subproblems", "kit.lines", "kit.winners", "kit.adapters", "kit.fitted"],
    ["kit.prepared", "kit.frechet", "kit.kernel", "kit.neighbours", "kit.classifiers"],
    ["kit.solvers", "kit.latents"],
    ["kit.newton"],
    ["kit.training", "kit.recovery"],
    ["kit.gan", "kit.bidirectional", "kit.coding", "kit.estimators", "kit.modules"],
    ["kit.search"],
    ["harness.pluginfiles"],
    ["harness.belonging"],
    ["harness.recipe", "harness.registry", "harness.identity", "harness.server", "harness.pictures", "harness.loading"]
    + ["harness.rescoring", "harness.outputs", "harness.rows", "harness.freshness"],
    ["harness.exhibits", "harness.coding"],
    ["harness.environment", "harness.binding", "harness.store", "harness.keeping"],
    ["harness.plan", "harness.extraction", "harness.preparation", "harness.catalogue"],
    ["harness.evaluation", "harness.scoring"],
    ["harness.gallery"],
    ["harness.runner"],
    ["harness.cellserver", "harness.isolation"],
    ["harness.cellrunner"],
    [
        "results.statistics",
        "results.phases",
        "results.grammar",
        "results.arithmetic",
        "results.scores",
        "results.gathering",
        "results.rules",
        "results.verdicts",
        "results.rates",
    ],
    ["results.detection", "results.moreseeds"],
    ["results.baseline"],
    ["results.summary", "results.changes"],
    ["results.sides"],
    ["results.contest", "results.ranks", "results.costs", "results.expressions"],
    ["results.claims", "results.caveats", "results.overview", "results.provenance"],
    ["results.figures.kinds", "results.figures.page"],
    ["results.figures.material"],
    ["results.figures.sheets", "results.figures.values", "results.figures.planes"],
    ["results.figures.traces"],
    ["results.figures.drawing"],
    ["results.figures"],
    ["results.gallery.stock", "results.gallery.panels"],
    ["results.gallery.ranks", "results.gallery.times", "results.gallery.curves"]
    + ["results.gallery.sheets", "results.gallery.planes", "results.gallery.fronts"],
    ["results.gallery.drawing"],
    ["results.gallery"],
    ["results.pairing"],
    ["results.tables", "results.comparing"],
    ["results.matching"],
    ["results.gate", "results.timegate", "results.ratios", "results.gatetexts", "results.baselinetable"],
    ["results.junit", "results.judging"],
    ["results.itemfile"],
    ["results.items"],
    ["results.reproduce"],
    ["results.pages", "results.index"],
    ["testing.finding"],
    ["testing.contract"],
    ["testing.fakes"],
    ["testing.claims", "testing.returned", "testing.surroundings", "testing.declared", "testing.tiny"]
    + ["testing.labels", "testing.network", "testing.untouched", "testing.splits"],
    ["testing.laws", "testing.trial", "testing.cells", "testing.preparing", "testing.scores"]
    + ["testing.parameterised"],
    ["testing.devices", "testing.models", "testing.watching", "testing.reported"]
    + ["testing.features", "testing.loading"],
    ["testing.elsewhere", "testing.options"],
    ["testing.methods", "testing.datasets", "testing.metrics", "testing.extractors"]
    + ["testing.executors", "testing.reporters"],
    ["testing.inspection"],
    ["testing.checking", "testing.worker"],
    ["testing"],
    ["suite", "scaffold"],
    ["papers", "gating"],
    ["interleaving", "pytest_plugin"],
    ["cli.completion", "cli.lazy"],
    ["cli.options", "cli.tables", "cli.progress", "cli.interrupts", "cli.reporting"],
    ["cli.outcome", "cli.watching"],
    ["cli.run", "cli.plan", "cli.score", "cli.list", "cli.plugins", "cli.prepare", "cli.report", "cli.env"]
    + ["cli.reproduce", "cli.compare", "cli.baseline", "cli.gate"]
    + ["cli.plugins_list", "cli.plugins_check", "cli.plugins_new"],
    ["cli"],
    ["__main__"],
]
FACES = {"__init__", "kit", "harness", "results"}  # package files without code of their own
TYPE_CHECKING_ALLOWED = {"contracts", "hookspecs", "__init__"}
RESULTS_MAY_USE = {"harness.store", "harness.rows", "harness.recipe"}


def floor_of(module: str) -> int:
    for number, names in enumerate(FLOORS):
        if module in names:
            return number
    raise AssertionError(f"benchsuite.{module} stands on no floor; give it one in {__file__}")


def modules() -> dict[str, Path]:
    """Every module of benchsuite by its name below the package."""
    found = {}
    for path in sorted(PACKAGES[0].rglob("*.py")):
        parts = path.relative_to(PACKAGES[0]).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts
        found[".".join(parts)] = path
    return found


def imports(path: Path, *, with_type_checking: bool = True) -> set[str]:
    """The benchsuite and benchsuite_plugins modules that a file imports, anywhere in it."""
    tree = ast.parse(path.read_text())
    skipped: set[ast.AST] = set()
    if not with_type_checking:
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                skipped.update(ast.walk(node))
    found: set[str] = set()
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            known = {f"benchsuite.{name}" for name in modules()}
            found.update(names & known or {node.module or ""})
    return {name for name in found if name.split(".")[0] in ("benchsuite", "benchsuite_plugins")}


def test_a_module_imports_only_from_floors_below_its_own() -> None:
    wrong = []
    for module, path in modules().items():
        if module in FACES:
            continue
        used = imports(path, with_type_checking=module not in TYPE_CHECKING_ALLOWED)
        for name in used - {"benchsuite"}:
            below = name.removeprefix("benchsuite.")
            if floor_of(below) >= floor_of(module):
                wrong.append(f"{module} imports {below}")
    assert not wrong


def test_benchsuite_never_imports_its_plugins() -> None:
    wrong = [m for m, path in modules().items() if any(n.startswith("benchsuite_plugins") for n in imports(path))]
    assert not wrong


def test_kit_knows_neither_harness_nor_results() -> None:
    used = {name for m, path in modules().items() if m.startswith("kit.") for name in imports(path)}
    assert not {name for name in used if re.match(r"benchsuite\.(harness|results|suite|cli)", name)}


def test_results_know_of_the_harness_only_the_store_and_the_recipe() -> None:
    used = {name for m, path in modules().items() if m.startswith("results.") for name in imports(path)}
    harness = {n.removeprefix("benchsuite.") for n in used if n.startswith("benchsuite.harness")}
    assert harness <= RESULTS_MAY_USE


def test_a_plugin_imports_only_the_public_face_and_the_kit() -> None:
    wrong = []
    for path in PACKAGES[1].rglob("*.py"):
        if path.name.startswith("train_"):
            continue  # a script that made a plugin's weights, not a plugin
        for name in imports(path):
            if name != "benchsuite" and not name.startswith("benchsuite.kit"):
                wrong.append(f"{path.name} imports {name}")
    assert not wrong


def test_a_plugin_takes_only_public_names_from_the_face() -> None:
    for path in PACKAGES[1].rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "benchsuite":
                assert {alias.name for alias in node.names} <= set(benchsuite.__all__), path


def test_the_face_names_exactly_what_its_table_resolves() -> None:
    tabled = [name for names in benchsuite.PUBLIC_NAMES.values() for name in names]
    assert sorted(benchsuite.__all__) == sorted([*tabled, "__version__"])
    for name in benchsuite.__all__:
        assert getattr(benchsuite, name) is not None


def test_every_plugin_module_has_its_entry_point() -> None:
    declared = (ROOT / "pyproject.toml").read_text()
    for path in PACKAGES[1].rglob("*.py"):
        if "@hookimpl" in path.read_text():
            module = ".".join(("benchsuite_plugins", *path.relative_to(PACKAGES[1]).with_suffix("").parts))
            assert f'"{module}"' in declared, module


def test_no_file_is_named_for_nothing() -> None:
    names = {path.stem for package in PACKAGES for path in package.rglob("*.py")}
    assert not names & {"utils", "util", "helpers", "helper", "misc", "common"}
