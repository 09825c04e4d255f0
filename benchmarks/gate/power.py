"""What the gate can see: Markdown tables of the smallest loss that it finds with 95% probability, and of its power.

    python benchmarks/gate/power.py

Losses are in standard deviations over seeds. ``--check`` holds the closed form to a simulation with the gate's own
test.
"""

from __future__ import annotations

import argparse

import numpy as np

from benchsuite.kit.text import table
from benchsuite.results.detection import difference, looks, power, smallest_loss
from benchsuite.results.rules import Rules

SEEDS = (3, 4, 5, 7, 10, 15, 20, 25, 30)
COMPARISONS = (1, 3, 10, 24, 30)
FIRST = 5
RULES = Rules()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="simulate as well: 4000 tables a row, seed 0")
    check = parser.parse_args().check
    print(f"Smallest loss found with 95% probability; seeds of the baseline and of the candidate, {FIRST} first\n")
    print(_table(lambda steps, count: f"{_smallest(steps, count):.1f}"))
    print("\nPower against a loss of two standard deviations\n")
    print(_table(lambda steps, count: f"{100 * _power(steps, 2.0, count):.0f}%"))
    if check:
        print("\nLoss of two standard deviations, 24 comparisons: closed form, simulated\n")
        for seeds in SEEDS:
            print(f"{seeds:2d} seeds: {_power(_steps(seeds), 2.0, 24):.3f}, {simulated(seeds, 2.0, 24):.3f}")


def _steps(seeds: int):
    return looks(seeds, min(seeds, FIRST))


def _smallest(steps, comparisons: int) -> float:
    return smallest_loss(steps, alarm=RULES.alarm, screen=RULES.screen, comparisons=comparisons)


def _power(steps, loss: float, comparisons: int) -> float:
    return power(steps, loss, alarm=RULES.alarm, screen=RULES.screen, comparisons=comparisons)


def _table(entry) -> str:
    header = ["seeds", *(f"{count} comparison{'' if count == 1 else 's'}" for count in COMPARISONS)]
    rows = [[str(seeds), *(entry(_steps(seeds), count) for count in COMPARISONS)] for seeds in SEEDS]
    return table(header, rows, [True] * len(header))


def simulated(seeds: int, loss: float, comparisons: int, trials: int = 4000) -> float:
    """The share of normal samples whose loss the gate's two looks find, each by Bonferroni."""
    rng, steps = np.random.default_rng(0), _steps(seeds)
    found = 0
    for _ in range(trials):
        baseline, candidate = rng.normal(size=seeds), rng.normal(size=seeds) - loss
        first = difference(baseline, candidate[: steps[0].candidate], higher_is_better=True).p_worse
        last = difference(baseline, candidate, higher_is_better=True).p_worse
        early = len(steps) > 1 and first <= RULES.alarm * steps[0].share / comparisons
        passed = len(steps) == 1 or first <= RULES.screen
        found += early or (passed and last <= RULES.alarm * steps[-1].share / comparisons)
    return found / trials


if __name__ == "__main__":
    main()
