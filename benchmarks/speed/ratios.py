"""Ratios to peers, compared with those that are stored: absolute times do not travel between machines, ratios do,
roughly.

    python -m pytest benchmarks/speed --benchmark-enable -q --benchmark-json speed.json
    python benchmarks/speed/ratios.py compare speed.json      # exits with 3 where a ratio got worse
    python benchmarks/speed/ratios.py set speed.json          # makes them what is stored

A ratio is worse where its mean over rounds, of logarithms, is off by more than 25% and Student's pooled t test says
so, one-sided, at 1% by Holm over all ratios. Another processor has other ratios: store them anew there before a
change.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchsuite.harness.environment import describe
from benchsuite.kit.files import write_text
from benchsuite.kit.text import table
from benchsuite.results.detection import difference
from benchsuite.results.statistics import holm
from benchsuite.results.summary import p_value

STORED = Path(__file__).parents[1] / "baselines" / "speed.json"
TOLERANCE, ALARM = 0.25, 0.01
Ratios = Mapping[str, Mapping[str, Any]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("compare", "set"))
    parser.add_argument("report", type=Path, help="what --benchmark-json wrote")
    parser.add_argument("--stored", type=Path, default=STORED)
    options = parser.parse_args()
    new = ratios_of(json.loads(options.report.read_text(encoding="utf-8")))
    if not new:
        parser.error(f"{options.report} has no ratios; was it written by benchmarks/speed with --benchmark-enable?")
    if options.action == "set":
        write_text(options.stored, stored_text(new))
        print(f"{len(new)} ratios stored in {options.stored}")
        return 0
    if not options.stored.exists():
        print(f"nothing is stored in {options.stored}; store these: ratios.py set {options.report}", file=sys.stderr)
        return 4
    rows = compared(json.loads(options.stored.read_text(encoding="utf-8"))["ratios"], new)
    print(
        table(
            ["benchmark", "better", "stored", "now", "worse by", "p", "verdict"],
            rows,
            [False, False, *[True] * 4, False],
        )
    )
    return 3 if any(row[-1] in ("worse", "missing") for row in rows) else 0


def ratios_of(report: Mapping[str, Any]) -> Ratios:
    """``ratios`` and ``better`` of each benchmark in a report of pytest-benchmark that has them."""
    found = {one["fullname"]: one["extra_info"] for one in report["benchmarks"] if "ratios" in one["extra_info"]}
    return {name.rpartition("/")[2]: info for name, info in sorted(found.items())}


def stored_text(ratios: Ratios) -> str:
    """A file of a line for each benchmark."""
    environment = {name: describe()[name] for name in ("processor", "cores", "python", "packages")}
    rounded = {n: {"better": of["better"], "ratios": [round(r, 4) for r in of["ratios"]]} for n, of in ratios.items()}
    lines = [f"  {json.dumps(name)}: {json.dumps(content)}" for name, content in rounded.items()]
    return f'{{\n "environment": {json.dumps(environment)},\n "ratios": {{\n' + ",\n".join(lines) + "\n }\n}\n"


def compared(stored: Ratios, new: Ratios) -> list[list[str]]:
    """A row for each benchmark: what is stored and what is measured, and whether it is worse, better or the same."""
    common = [name for name in stored if name in new]
    differences = [
        difference(
            [math.log(ratio) for ratio in stored[name]["ratios"]],
            [math.log(ratio) for ratio in new[name]["ratios"]],
            higher_is_better=stored[name]["better"] == "high",
        )
        for name in common
    ]
    worse = holm(np.asarray([one.p_worse for one in differences]))
    better = holm(np.asarray([one.p_better for one in differences]))
    rows = []
    for name, one, p_worse, p_better in zip(common, differences, worse, better, strict=True):
        verdict = "same"
        if one.loss > math.log1p(TOLERANCE) and p_worse <= ALARM:
            verdict = "worse"
        elif one.loss < -math.log1p(TOLERANCE) and p_better <= ALARM:
            verdict = "better"
        means = [f"{math.exp(np.mean(np.log(side[name]['ratios']))):.2f} x" for side in (stored, new)]
        p = p_value(float(p_worse if one.loss > 0 else p_better))
        rows.append([name, stored[name]["better"], *means, f"{100 * math.expm1(one.loss):+.0f}%", p, verdict])
    rows += [[name, stored[name]["better"], "", "–", "–", "–", "missing"] for name in stored if name not in new]
    return rows + [[name, new[name]["better"], "–", "", "–", "–", "new"] for name in new if name not in stored]


if __name__ == "__main__":
    sys.exit(main())
