"""``benchsuite gate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchsuite.cli.options import json_flag, plugin_flags
from benchsuite.errors import BenchsuiteError, UsageError
from benchsuite.harness import server
from benchsuite.harness.recipe import MOST_SEEDS
from benchsuite.kit.files import write_text
from benchsuite.kit.text import clean, clipped
from benchsuite.results.verdicts import EXIT_NO_BASELINE

if TYPE_CHECKING:
    from benchsuite.gating import GateOutcome
    from benchsuite.results.judging import Terms
    from benchsuite.results.verdicts import Gate

_MOST_ROWS = 200
_LONGEST = 1000
_EXIT_INTERRUPTED = 130
_LEAST_PAIRS = 3
_Text = tuple[Path | None, str]
_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command("gate")
@click.argument("run", type=click.Path(path_type=Path), metavar="[RUN]", required=False)
@click.option("--baseline", "-b", type=_FILE, metavar="FILE", help="What to compare with.")
@click.option("--run", "runs", is_flag=True, help="Run what is needed to decide: RUN, and more seeds of suspects.")
@click.option("--against", metavar="GIT_REF", help="Compare with this commit instead, run in turn with the checkout.")
@click.option("--rules", "rules_file", type=_FILE, metavar="TOML", help="Tolerances, directions and error rates.")
@click.option("--seeds", type=click.IntRange(1, MOST_SEEDS), help="Seeds that a candidate begins with.  [default: 5]")
@click.option("--timing", is_flag=True, help="Gate the seconds of training too, where they compare.")
@click.option("--strict", is_flag=True, help="Exit with 3 for what is undecided as well.")
@click.option("--allow-missing-baseline", is_flag=True, help="Exit with 0 where there is no baseline yet.")
@click.option("--jobs", "-j", type=click.IntRange(min=1), help="Cells at once, with --run.")
@click.option("--device", metavar="DEVICE", help="Where cells run, with --run or --against.")
@click.option("--junit", type=_FILE, metavar="XML", help="Write the verdicts as JUnit tests.")
@click.option("--summary", type=_FILE, metavar="MD", help="Append them to this file as Markdown: $GITHUB_STEP_SUMMARY.")
@click.option("--comment", type=_FILE, metavar="MD", help="Write the body of a comment on a pull request.")
@plugin_flags
@json_flag
def command(
    run: Path | None,
    baseline: Path | None,
    runs: bool,
    against: str | None,
    rules_file: Path | None,
    seeds: int | None,
    timing: bool,
    strict: bool,
    allow_missing_baseline: bool,
    jobs: int | None,
    device: str | None,
    junit: Path | None,
    summary: Path | None,
    comment: Path | None,
    as_json: bool,
) -> int:
    """Say which scores of RUN are worse than the baseline's, as far as seeds can tell.

    Exits with 0 where none is; with 3 for a regression, a new failure, a missing score or one that does not compare any
    more; with 4 where there is no baseline, 2 where it cannot be read. With --run, RUN is made from the baseline's
    recipe where it is not there.

    \b
    benchsuite gate runs/candidate --baseline benchmarks/baselines/digits.json
    benchsuite gate --run --baseline benchmarks/baselines/digits.json --junit gate.xml
    benchsuite gate runs/candidate --against main
    """
    _check_flags(run, baseline, runs, against, timing=timing, jobs=jobs, device=device, seeds=seeds)
    for file in (junit, summary, comment):  # before hours are spent
        _check_writable(file)
    if against is None and baseline is not None and not baseline.exists():
        problem = (
            f"there is no baseline {baseline}; set one from a run: benchsuite baseline set RUN --baseline {baseline}"
        )
        _write_problem(problem, junit, summary, comment)
        return _no_baseline(problem, baseline, allow_missing_baseline, as_json)
    if runs:
        server.start_early()
    try:
        outcome = _outcome(run, baseline, runs, against, _terms(rules_file, seeds, strict, timing), jobs, device)
    except BenchsuiteError as error:
        _write_problem(str(error), junit, summary, comment)
        raise
    if outcome.gate is None:
        click.echo("interrupted; what is finished is kept, and the same command goes on", err=True)
        return _EXIT_INTERRUPTED
    _print(outcome, outcome.gate, as_json)
    _write(outcome.gate, junit, summary, comment)
    return outcome.gate.exit_code


def _outcome(
    run: Path | None,
    baseline: Path | None,
    runs: bool,
    against: str | None,
    terms: Terms,
    jobs: int | None,
    device: str | None,
) -> GateOutcome:
    """What the flags ask for."""
    from benchsuite.cli.progress import watch

    if against is not None:
        from benchsuite.interleaving import gate_against

        return gate_against(against, run, baseline, terms, device=device, say=_say)
    from benchsuite.gating import gate, run_and_gate

    if not runs:
        return gate(_given(baseline), _given(run), terms)
    with watch() as observer:
        return run_and_gate(_given(baseline), run, terms, jobs=jobs, device=device, observer=observer)


def _say(line: str) -> None:
    click.echo(line, err=True)


def _check_flags(
    run: Path | None,
    baseline: Path | None,
    runs: bool,
    against: str | None,
    *,
    timing: bool,
    jobs: int | None,
    device: str | None,
    seeds: int | None,
) -> None:
    """Raises UsageError for flags that do not go together, so that none is ignored."""
    if against is not None:
        if run is not None and baseline is not None:
            raise UsageError("--against takes one recipe: that of RUN, or that of --baseline FILE; drop one")
        if seeds is not None and seeds < _LEAST_PAIRS:
            raise UsageError(
                f"--seeds {seeds} is not allowed with --against, which needs at least {_LEAST_PAIRS} pairs"
            )
        if runs or timing or jobs:
            raise UsageError(
                "--against runs both sides one cell at a time, times and all; drop --run, --timing and --jobs"
            )
        return
    if baseline is None:
        raise UsageError("name what to compare with: --baseline FILE, or --against GIT_REF")
    if not runs and run is None:
        raise UsageError("name a run, or let the gate make one with --run")
    if not runs and (jobs or device or seeds):
        raise UsageError("--jobs, --device and --seeds are for what the gate runs; add --run")


def _check_writable(file: Path | None) -> None:
    if file is not None:
        there = file.exists()
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8"):
            pass
        if not there:
            file.unlink()


def _given(path: Path | None) -> Path:
    assert path is not None  # _check_flags has seen to it
    return path


def _no_baseline(problem: str, baseline: Path, allowed: bool, as_json: bool) -> int:
    code = 0 if allowed else EXIT_NO_BASELINE
    click.echo(f"{'Warning' if allowed else 'Error'}: {problem}", err=True)
    if as_json:
        click.echo(json.dumps({"baseline": str(baseline), "exit_code": code, "problem": problem, "rows": []}, indent=1))
    return code


def _terms(rules_file: Path | None, seeds: int | None, strict: bool, timing: bool) -> Terms:
    from dataclasses import replace

    from benchsuite.results.judging import Terms
    from benchsuite.results.rules import Rules, read_rules

    rules = read_rules(rules_file) if rules_file else Rules()
    return Terms(replace(rules, seeds=seeds or rules.seeds), strict=strict, timing=timing)


def _write_problem(problem: str, junit: Path | None, summary: Path | None, comment: Path | None) -> None:
    """What CI shows where there are no verdicts: not those of before, and not nothing."""
    from benchsuite.results import gatetexts
    from benchsuite.results.junit import junit_problem

    told = gatetexts.problem(problem)
    _write_files((junit, junit_problem(problem)), (comment, told), (summary, told))


def _write(gate: Gate, junit: Path | None, summary: Path | None, comment: Path | None) -> None:
    """The files that were asked for. Raises OSError where one cannot be written."""
    from benchsuite.results import gatetexts
    from benchsuite.results.junit import junit as as_junit

    _write_files((junit, as_junit(gate)), (comment, gatetexts.comment(gate)), (summary, gatetexts.summary(gate)))


def _write_files(junit: _Text, comment: _Text, summary: _Text) -> None:
    """Each text to its file, if it has one; that of the summary behind what is there."""
    for path, text in (junit, comment):
        if path:
            write_text(path, text)
    path, text = summary
    if path:
        with path.open("a", encoding="utf-8") as file:
            file.write(text)


def _print(outcome: GateOutcome, gate: Gate, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(gate.to_json(), indent=1, allow_nan=False))
        return
    from benchsuite.cli.tables import print_frame
    from benchsuite.results.gatetexts import (
        advice,
        apart,
        headline,
        legend,
        reasons,
        same_bits,
        several_datasets,
        table_of,
    )

    same, told = apart(gate.rows)
    if told:
        click.echo()
        print_frame(table_of(told[:_MOST_ROWS], with_dataset=several_datasets(gate)))
        if len(told) > _MOST_ROWS:
            click.echo(f"\nand {len(told) - _MOST_ROWS} rows more, which --json has")
        if explained := legend(gate):
            click.echo(f"\n{explained}")
    if same:
        click.echo(f"\n{same_bits(same)}")
    _list("", reasons(gate.rows))
    _list("Changed since the baseline:", gate.changes)
    for notice in gate.notices:
        click.echo(f"\nNote: {_line(notice)}")
    click.echo(f"\nRun: {outcome.store.path}")
    if any(row.verdict == "new failure" for row in gate.rows):
        click.echo("The log of each cell is in its folder: cells/*/log.txt")
    click.echo(headline(gate))
    if gate.blocking:
        click.echo(_line(advice(gate)))


def _list(title: str, sentences: list[str] | tuple[str, ...]) -> None:
    if sentences:
        click.echo(f"\n{title}".rstrip())
    for sentence in sentences:
        click.echo(f"- {_line(sentence)}")


def _line(text: str) -> str:
    return clipped(clean(text, markdown=False), _LONGEST)
