"""The gate tried on real changes of this project's code: ten sabotages, each of which has to be found, and ten
harmless ones.

    python benchmarks/gate/sabotage.py --out runs/sabotage      # about 15 minutes on two cores

Every change is made in a copy of the sources, which ``benchsuite gate --run`` then judges against a baseline of 20
seeds. Afterwards the copy runs whatever of the 20 seeds the gate did not need, which tells the change's effect.
Finished cells are kept in ``--out``, so that the same command goes on.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from changes import HARMLESS, SABOTAGES, Change

from benchsuite.harness.store import RunStore
from benchsuite.kit.text import table
from benchsuite.results.detection import difference
from benchsuite.results.summary import number

ROOT = Path(__file__).parents[2]
SEEDS = 20
METRICS = "psnr,psnr_pooled,psnr_train,psnr_train_pooled,ssim,fd,precision,recall"
METHODS = {
    "vae": "vae[epochs=6]@vae",
    "glo": "glo[epochs=4]@glo",
    "glo-fast": "glo[epochs=4,code_learning_rate=1]@glo-fast",  # whose codes would leave the ball
    "dcgan": "dcgan[epochs=10]@dcgan",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/sabotage"))
    parser.add_argument("--only", default="", help="changes whose name contains this")
    options = parser.parse_args()
    out = options.out.resolve()
    for title, changes in (("Sabotages", SABOTAGES), ("Harmless changes", HARMLESS)):
        rows = [tried(change, out) for change in changes if options.only in change.name]
        header = [
            "change",
            "score",
            "worse by, 20 seeds",
            "in seed sd",
            "seen from",
            "verdicts of the gate",
            "exit code",
        ]
        print(f"\n{title}\n\n{table(header, rows, [False] * 2 + [True] * 3 + [False, True])}", flush=True)


def tried(change: Change, out: Path) -> list[str]:
    """The row of one change: its effect, and what the gate said."""
    baseline = _baseline(change.method, out)
    folder = out / change.name.partition(":")[0].replace(" ", "-").replace("'", "")
    folder = folder.with_name(f"{folder.name}-{abs(hash_of(change.name)):08x}")
    sources = folder / "sources"
    _copy(sources)
    change.apply(sources)
    report, run = folder / "gate.json", folder / "run"
    if not report.exists():
        done = _benchsuite(sources, "gate", str(run), "--run", "--baseline", str(baseline), "--json")
        report.write_text(done)
    found = json.loads(report.read_text())
    _complete(change.method, sources, run)
    counts = ", ".join(f"{count} {verdict}" for verdict, count in found["counts"].items())
    print(f"{change.name}: {counts}", file=sys.stderr, flush=True)
    if not change.metric:
        return [change.name, f"all of {change.method}", "", "", "", counts, str(found["exit_code"])]
    effect = _effect(change, out, run)
    (row,) = (row for row in found["rows"] if row["metric"] == change.metric)
    sees = "–" if row["sees"] is None else number(row["sees"])
    flagged = [
        row["metric"] for row in found["rows"] if row["verdict"] in ("regression", "changed", "new failure", "missing")
    ]
    verdicts = f"{change.metric}: {row['verdict']}; in all {counts}" + (f" ({', '.join(flagged)})" if flagged else "")
    return [change.name, f"{change.metric} of {change.method}", *effect, sees, verdicts, str(found["exit_code"])]


def hash_of(text: str) -> int:
    """A hash that stays the same from one process to the next."""
    return sum(ord(character) * 31**place for place, character in enumerate(text)) % 2**32


def _baseline(method: str, out: Path) -> Path:
    """The baseline of a method by the code as it is, made where it is not there."""
    run, path = out / f"baseline-{method}", out / f"baseline-{method}.json"
    if not path.exists():
        _run(method, ROOT, run, str(SEEDS))
        _benchsuite(ROOT, "baseline", "set", str(run), "--baseline", str(path))
    return path


def _run(method: str, sources: Path, run: Path, seeds: str) -> None:
    _benchsuite(
        sources,
        "run",
        "-m",
        METHODS[method],
        "--metrics",
        METRICS,
        "--keep",
        "none",
        "--seeds",
        seeds,
        "--out",
        str(run),
    )


def _complete(method: str, sources: Path, run: Path) -> None:
    """The seeds that the gate did not need."""
    known = {record.cell.seed for record in RunStore(run).records()}
    rest = [str(seed) for seed in range(SEEDS) if seed not in known]
    _run(method, sources, run / "more-seeds", ",".join(rest) + ",")


def _effect(change: Change, out: Path, run: Path) -> list[str]:
    """By how much the metric is worse over 20 seeds, with its 95% interval, and that in seed standard deviations."""
    before, direction = _values(change.metric, [out / f"baseline-{change.method}"])
    after, _ = _values(change.metric, [run, run / "more-seeds"])
    effect = difference(before, after, higher_is_better=direction == "max")
    if math.isnan(effect.loss):
        return ["–", "–"]
    return [number(effect.loss, effect.half_width), f"{effect.loss / effect.sd:.1f}" if effect.sd else "–"]


def _values(metric: str, runs: Sequence[Path]) -> tuple[list[float], str]:
    rows = [row for run in runs for record in RunStore(run).records() for row in record.metrics if row.metric == metric]
    return [row.value for row in rows if row.value is not None], rows[0].direction


def _copy(to: Path) -> None:
    for name in ("benchsuite", "plugins"):
        shutil.rmtree(to / name, ignore_errors=True)
        shutil.copytree(ROOT / name, to / name, ignore=shutil.ignore_patterns("__pycache__"))


def _benchsuite(sources: Path, *arguments: str) -> str:
    """What the command prints, run by the code in ``sources``; failed cells and closed gates are no errors."""
    path = os.pathsep.join([str(sources), str(sources / "plugins")])
    done = subprocess.run(
        [sys.executable, "-P", "-m", "benchsuite", *arguments],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    if done.returncode not in (0, 1, 3):
        raise SystemExit(f"benchsuite {' '.join(arguments)} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
