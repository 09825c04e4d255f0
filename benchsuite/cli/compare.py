"""``benchsuite compare``."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchsuite.cli.options import json_flag
from benchsuite.kit.text import clean, clipped, json_safe, named, plural

if TYPE_CHECKING:
    import pandas as pd

    from benchsuite.results.comparing import Comparison

_MOST_SAME = 5  # rows of what is the same, beyond which one line counts them
_MOST_ROWS = 200  # of a table, likewise
_LONGEST = 200  # characters of a text in a table
_NO_VALUE = "–"


@click.command("compare")
@click.argument("run_a", type=click.Path(path_type=Path), metavar="RUN_A")
@click.argument("run_b", type=click.Path(path_type=Path), metavar="RUN_B")
@json_flag
def command(run_a: Path, run_b: Path, as_json: bool) -> None:
    """Say what changed from RUN_A to RUN_B: scores over common seeds, parameters, code, machine and times.

    A method is compared with the one of the same label, a score with one of the same protocol. The exit code is 0
    whatever changed.

    \b
    benchsuite compare before after
    """
    from benchsuite.harness.store import find_run
    from benchsuite.results.comparing import compare

    found = compare(find_run(run_a), find_run(run_b))
    if as_json:
        click.echo(json.dumps(_as_json(found), indent=1, allow_nan=False))
    else:
        _print(found)


def _print(found: Comparison) -> None:
    _line(f"A: {found.a}")
    _line(f"B: {found.b}")
    if found.notices:
        click.echo()
    for notice in found.notices:
        _line(notice)
    if not found.runs.empty:
        click.echo("\nWhat differs between the runs\n")
        _table(found.runs.rename(columns={"what": "", "a": "A", "b": "B"}))
    if not found.changes.empty:
        click.echo("\nWhat differs between cells of one method, dataset and seed\n")
    for sentence in dict.fromkeys(found.changes["sentence"]):
        _line(f"- {sentence}")
    _print_scores(found.scores)
    if not found.times.empty:
        click.echo("\nSeconds of training, mean over seeds that ran alone on one kind of machine\n")
        _table(_times(found.times))
    if found.untimed:
        click.echo()
        _line(found.untimed)


def _line(text: str) -> None:
    click.echo(clipped(clean(text, markdown=False), 5 * _LONGEST))


def _table(frame: pd.DataFrame) -> None:
    from benchsuite.cli.tables import print_frame

    print_frame(frame.head(_MOST_ROWS).map(lambda value: clipped(str(value), _LONGEST)))
    if len(frame) > _MOST_ROWS:
        click.echo(f"\nand {len(frame) - _MOST_ROWS} rows more, which --json has")


def _print_scores(scores: pd.DataFrame) -> None:
    if scores.empty:
        return
    same = scores["verdict"] == "same"
    told = scores if same.sum() <= _MOST_SAME else scores[~same]
    tests = int(scores["p"].notna().sum())
    datasets = scores["dataset"].unique()
    where = f" on {datasets[0]}" if len(datasets) == 1 else ""
    click.echo()
    _line(
        f"Scores{where}: means over common seeds; B - A ± half width of the 95% t interval; p of the paired t test, "
        f"adjusted for {plural(tests, 'test')}"
    )
    click.echo()
    if not told.empty:
        _table(_readable(told))
        click.echo()
    counts = scores["verdict"].value_counts(sort=False)
    click.echo(f"In all: {', '.join(f'{count} {verdict}' for verdict, count in counts.items())}")


def _readable(scores: pd.DataFrame) -> pd.DataFrame:
    """``scores`` as text, with rows joined that say of several metrics or methods that there is nothing to compare."""
    from benchsuite.results.summary import p_value, titles

    widths = scores["high"] - scores["difference"]
    several = scores["dataset"].nunique() > 1
    shown = scores[["dataset", "method", "verdict"]].assign(
        metric=titles(scores),
        A=scores["mean_a"].map(_number),
        B=scores["mean_b"].map(_number),
        change=[_number(*pair) for pair in zip(scores["difference"], widths, strict=True)],
        p=scores["p"].map(p_value),
        seeds=scores["seeds"],
        why=scores["reason"],
    )
    joined = _joined(_joined(shown, "metric"), "method")
    where = " on " + joined["dataset"] if several else ""
    joined["score"] = joined["metric"] + " of " + joined["method"] + where
    columns = ["score", "verdict", "A", "B", "change", "p", "seeds", "why"]
    return joined[columns].rename(columns={"change": "B - A"})


def _joined(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """Rows of ``frame`` that failed or are in one run only, joined where they differ by ``name`` and means alone."""
    alike = frame["verdict"].str.startswith(("failed", "only"))
    keys = [column for column in frame.columns if column not in (name, "A", "B")]
    rows: dict[Any, dict[Any, Any]] = {}
    for place, (joins, row) in enumerate(zip(alike, frame.to_dict("records"), strict=True)):
        key = tuple(row[column] for column in keys) if joins else place
        rows.setdefault(key, row | {name: []})[name].append(row[name])
        if len(rows[key][name]) > 1:
            rows[key] |= {"A": _NO_VALUE, "B": _NO_VALUE}
    return type(frame)([row | {name: named(row[name])} for row in rows.values()], columns=frame.columns)


def _number(mean: float, half_width: float | None = None) -> str:
    from benchsuite.results.summary import number

    return _NO_VALUE if math.isnan(mean) else number(mean, half_width)


def _times(times: pd.DataFrame) -> pd.DataFrame:
    shown = times.assign(A=times["a"].map("{:.2f}".format), B=times["b"].map("{:.2f}".format))
    return shown[["dataset", "method", "seeds", "A", "B"]]


def _as_json(found: Comparison) -> dict[str, Any]:
    frames = {"runs": found.runs, "changes": found.changes, "scores": found.scores, "times": found.times}
    content: dict[str, Any] = {"a": str(found.a), "b": str(found.b), "notices": list(found.notices)}
    content |= {name: _rows(frame) for name, frame in frames.items()}
    return content | {"untimed": found.untimed}


def _rows(frame: pd.DataFrame) -> list[dict[Any, Any]]:
    return [{name: json_safe(value) for name, value in row.items()} for row in frame.to_dict("records")]
