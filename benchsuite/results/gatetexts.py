"""Verdicts in words: tables for terminals and pages, a step's summary, the body of a pull request's comment."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import pandas as pd

from benchsuite.kit.text import clean, clipped, frame_table, named, plural, unlinked
from benchsuite.results.summary import number, p_value
from benchsuite.results.verdicts import Gate, Row

_MOST_CHARACTERS = 65_000  # of a comment; GitHub takes 65,536
_MOST_BYTES = 1_000_000  # of a summary; GitHub takes a mebibyte
_LONGEST = 300
_NONE = "–"
_ARROWS = {"max": " ↑", "min": " ↓", "none": ""}
_HOW = {"test": "", "bits": "same bits", "smoke": "smoke: tolerance alone", "rate": "rate of failures", "": ""}


def headline(gate: Gate) -> str:
    """``Gate closed: 1 regression, 23 pass``."""
    counts = ", ".join(_counted(*found) for found in gate.counts.items()) or "nothing to compare"
    return f"Gate {'closed' if gate.blocking else 'open'}: {counts}"


def _counted(verdict: str, count: int) -> str:
    return plural(count, verdict) if verdict in ("regression", "new failure") else f"{count} {verdict}"


def advice(gate: Gate) -> str:
    """What to do about a gate that is closed; empty where it is open."""
    if not gate.blocking:
        return ""
    return (
        "If this is meant, set the baseline again in the same change, from a run with all its seeds: benchsuite "
        f"baseline set RUN --baseline {gate.baseline}"
    )


def apart(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """The rows that pass because their bits are the baseline's, of which there is nothing to tell, and the others."""
    return [row for row in rows if row.by == "bits"], [row for row in rows if row.by != "bits"]


def same_bits(rows: Sequence[Row]) -> str:
    """A sentence on rows whose bits are the baseline's."""
    which = named(dict.fromkeys(f"{row.method} on {row.dataset}" for row in rows))
    return f"{plural(len(rows), 'score')} with the very bits of the baseline: of {which}."


def table_of(rows: Sequence[Row], *, with_dataset: bool) -> pd.DataFrame:
    """``rows`` as text: score, verdict, both means, the loss with its interval, and what could be seen."""
    return pd.DataFrame(
        [
            {
                "score": f"{row.metric}{_ARROWS[row.direction]} of {row.method}"
                + (f" on {row.dataset}" if with_dataset else ""),
                "verdict": row.verdict,
                "baseline": _plain(row.baseline),
                "this run": _plain(row.value),
                "worse by": _with_width(row),
                "p": p_value(row.p),
                "seen from": _plain(row.sees),
                "seeds": _seeds(row),
            }
            for row in rows
        ]
    )


def legend(gate: Gate) -> str:
    """What the columns of the table are; empty where nothing was tested."""
    if not any(row.by == "test" for row in gate.rows):
        return ""
    return (
        "Means over seeds; worse by: the loss ± half width of its 95% t interval, negative for a gain; p of the loss, "
        f"or the gain, by the pooled t test, adjusted for {plural(gate.comparisons, 'comparison')} and two looks, "
        f"a regression at {gate.alarm:g}; seen from: the smallest loss that would be called a regression with 95% "
        "probability; seeds of the baseline / of this run."
    )


def reasons(rows: Sequence[Row]) -> list[str]:
    """A sentence for each reason, with the scores that it holds for."""
    by_reason: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row.reason:
            by_reason.setdefault((row.verdict, row.reason), []).append(row)
    return [
        f"{verdict}: {_scores(found)}: {clipped(reason, _LONGEST)}" for (verdict, reason), found in by_reason.items()
    ]


def _scores(rows: Sequence[Row]) -> str:
    """``fd, psnr of vae on digits``."""
    places: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        places.setdefault((row.method, row.dataset), []).append(row.metric)
    return "; ".join(f"{', '.join(metrics)} of {method} on {dataset}" for (method, dataset), metrics in places.items())


def described(row: Row) -> str:
    """All that is known of one row, a line each."""
    lines = [f"{row.verdict}: {row.name}"]
    if row.reason:
        lines.append(row.reason)
    if not math.isnan(row.baseline + row.value):
        unit = f" {row.unit}" if row.unit else ""
        before = f"baseline {number(row.baseline)}{unit} ({plural(row.seeds_baseline, 'seed')})"
        lines.append(f"{before}, this run {number(row.value)}{unit} ({plural(row.seeds, 'seed')})")
    if not math.isnan(row.loss) and row.by != "bits":
        lines.append(f"worse by {_with_width(row)}, tolerance {_plain(row.tolerance)}{_sds(row)}")
    if not math.isnan(row.p):
        lines.append(f"p {p_value(row.p)} (adjusted); a loss of {_plain(row.sees)} would be seen with 95% probability")
    if how := _HOW[row.by]:
        lines.append(how)
    return "\n".join(lines)


def _sds(row: Row) -> str:
    return f", {row.loss / row.sd:.1f} seed standard deviations" if row.sd > 0 else ""


def summary(gate: Gate) -> str:
    """Markdown for the summary of a step: headline, notices, all verdicts, reasons and what changed."""
    parts = [f"## {headline(gate)}", *_quoted([*gate.notices, advice(gate)])]
    same, told = apart(gate.rows)
    if told:
        parts += [frame_table(table_of(told, with_dataset=several_datasets(gate))), *filter(None, [legend(gate)])]
    if same:
        parts.append(same_bits(same))
    parts += _lists(gate)
    text = unlinked("\n\n".join(parts))
    if len(text.encode()) > _MOST_BYTES:
        text = f"{parts[0]}\n\nThe table of all {len(gate.rows)} verdicts is too long for a summary; --json has it."
    return f"{text}\n"


def comment(gate: Gate) -> str:
    """Markdown for a comment on a pull request: what blocks in sight, the rest folded; within GitHub's limit."""
    same, told = apart(gate.rows)
    seen = [row for row in told if row.verdict not in ("pass", "ungated")]
    parts = [f"### {headline(gate)}", *_quoted([*gate.notices, advice(gate)])]
    if seen:
        parts.append(frame_table(table_of(seen, with_dataset=several_datasets(gate))))
    parts += _lists(gate)
    if same:
        parts.append(same_bits(same))
    everything = frame_table(table_of(told, with_dataset=several_datasets(gate))) if told else ""
    folded = f"<details><summary>All that was compared</summary>\n\n{everything}\n\n{legend(gate)}\n\n</details>"
    left_out = f"The table of all {len(gate.rows)} verdicts is too long for a comment; the step's summary has it."
    for chosen in ([*parts, folded] if told else parts, [*parts, left_out], [parts[0], left_out]):
        text = unlinked("\n\n".join(chosen))
        if len(text) <= _MOST_CHARACTERS:
            break
    return f"{comment_mark(gate)}\n\n{text}\n"


def comment_mark(gate: Gate) -> str:
    """The first line of the comment, by which a later run finds the one that it replaces; of each baseline its own."""
    return f"<!-- benchsuite gate {re.sub(r'[^A-Za-z0-9_./]+', '_', gate.baseline)} -->"


def problem(text: str) -> str:
    """Markdown for a summary or a comment where there are no verdicts."""
    return unlinked(f"### The gate could not decide\n\n{clean(text)}") + "\n"


def several_datasets(gate: Gate) -> bool:
    """Whether rows have to say on which dataset they are."""
    return len({row.dataset for row in gate.rows}) > 1


def _quoted(notices: Sequence[str]) -> list[str]:
    return [f"> {clean(notice)}" for notice in notices if notice]


def _lists(gate: Gate) -> list[str]:
    parts = []
    if why := reasons(gate.rows):
        parts.append("\n".join(f"- {clean(sentence)}" for sentence in why))
    if gate.changes:
        parts.append(
            "Changed since the baseline:\n\n"
            + "\n".join(f"- {clean(clipped(text, _LONGEST))}" for text in gate.changes)
        )
    return parts


def _plain(value: float) -> str:
    return _NONE if math.isnan(value) else number(value)


def _with_width(row: Row) -> str:
    if math.isnan(row.loss):
        return _NONE
    if row.by == "bits":
        return "same bits"
    share = f" ({100 * row.loss / abs(row.baseline):+.1f}%)" if row.baseline and math.isfinite(row.loss) else ""
    return number(row.loss, None if math.isnan(row.half_width) else row.half_width) + share


def _seeds(row: Row) -> str:
    return f"{row.seeds_baseline} / {row.seeds}" if row.seeds or row.seeds_baseline else _NONE
